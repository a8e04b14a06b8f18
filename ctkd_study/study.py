"""A study as Python sees it: read or built, planned, run, compared."""

import contextlib
import os
import socket
import subprocess
import webbrowser
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from ctkd_study import tracking
from ctkd_study.analysis import ArmPlan, Comparison, Cost, Question, TeacherFacts, compare, evaluate
from ctkd_study.cluster import RayRunner, check_address, this_machine
from ctkd_study.errors import StudyError
from ctkd_study.launch import Outcome, Runner, launch
from ctkd_study.plan import Estimate, Plan, check_networks, estimate, make_plan, settled
from ctkd_study.records import STUDY, History, StudyFolder, TrialResult
from ctkd_study.report.live_table import shown
from ctkd_study.spec import NAME, Setting, StudySpec, from_mapping, load
from ctkd_study.tracking import Projection, Tracker, TrackingOutcome
from trainables import record, teacher
from trainables.bank import BankCost
from trainables.config import TrialConfig
from trainables.storage import Storage
from trainables.temperatures.learned import LearnedOptions


class Study:
    """One question: data, teacher, student, recipe, arms, seeds.

    Args:
        keys: the keys of a study file, as keyword arguments.

    Raises:
        SpecError: names every fault.
    """

    def __init__(self, **keys: Any) -> None:
        self.spec: StudySpec = from_mapping(keys, Path.cwd())

    @classmethod
    def from_spec(cls, spec: StudySpec) -> "Study":
        """The study of a specification that is known to be right."""
        study = cls.__new__(cls)
        study.spec = spec
        return study

    @classmethod
    def from_file(cls, path: str | Path, overrides: Sequence[str] = ()) -> "Study":
        """Reads a study file.

        Args:
            path: the file.
            overrides: ``PATH=VALUE`` each, applied before validation.

        Raises:
            SpecError: names every fault, with its line.
        """
        return cls.from_spec(load(Path(path), overrides))

    @classmethod
    def named(cls, study: str, storage: str = "results") -> "Study":
        """The study of a file (if the name ends in .yaml or .yml), else the one of this name in the storage."""
        if study.endswith((".yaml", ".yml")):
            return cls.from_file(study)
        if not NAME.fullmatch(study):
            raise StudyError(f"a study is a file that ends in .yaml, or a name of [a-z0-9_-], but got {study!r}")
        return cls.from_spec(StudyFolder(_storage(storage), study).stored()[0])

    def plan(self) -> Plan:
        """The study's trials, in order."""
        return make_plan(self.spec)

    def estimate(self, storage: str = "results") -> Estimate:
        """What the study will take: from finished trials, else from a few steps on this machine; trains nothing.

        Raises:
            StudyError: the data set cannot be read.
        """
        place, resources = _storage(storage), self.spec.resources
        cpu = resources.cpu or float(self.spec.numerics.threads)
        with _readable_faults():
            plan = self._planned(place)
            check_networks(plan)
            configs = [setting.config for setting in plan.spec.settings()]
            gpu = this_machine().gpu_share(resources.gpu, configs, cpu)
            fits = max(this_machine().slots(cpu, gpu), 1)  # a study for a cluster may be planned on a laptop
            slots = min(fits, self.spec.concurrency or len(plan.trials))
            finished = StudyFolder(place, self.spec.name).manifests(plan)
            return estimate(plan, finished, slots, self._teacher_ready(place), place.location, gpu)

    def run(
        self,
        storage: str = "results",
        *,
        tracking_uri: str | None = None,
        address: str | None = None,
        fresh: bool = False,
        retry: bool = False,
        console: Console | None = None,
        runner: Runner | None = None,
    ) -> Outcome:
        """Runs what is left of the study.

        Args:
            storage: a folder or ``s3://bucket/prefix``.
            tracking_uri: MLflow's; by default ``mlflow.db`` in the storage.
            address: of a running Ray cluster; by default that of the environment variable RAY_ADDRESS, else one is
                started on this machine.
            fresh: starts anew; the old records are renamed.
            retry: runs failed trials again.
            console: where progress is shown; by default nowhere.
            runner: how trials are run; by default as Ray Tune trials.

        Raises:
            StudyError: see ``launch``.
        """
        place, console = _storage(storage), console or Console(quiet=True)
        address = os.environ.get("RAY_ADDRESS") or None if address is None else address
        address = None if address == "local" else address  # as Ray names what it starts itself
        uri = tracking_uri or tracking.default_uri(place)
        tracking.check_uri(uri)
        if address is None:  # on a cluster, the data may be on its nodes alone
            check_networks(self.plan())
            resources, numerics = self.spec.resources, self.spec.numerics
            this_machine().check(resources.cpu or float(numerics.threads), resources.gpu, numerics.device)
        else:
            check_address(address)
        with _readable_faults():
            plan = self._planned(place, fresh)
            return launch(
                plan,
                place,
                runner or RayRunner(address),
                console,
                watch=lambda progress: shown(progress, console, self.spec.price_per_device_hour),
                fresh=fresh,
                retry=retry,
                tracked=lambda folder, uid: self._tracked(folder, uid, uri, console),
            )

    def compare(
        self,
        storage: str = "results",
        *,
        baseline: str | None = None,
        margin: float | None = None,
        charge_teacher: bool = False,
    ) -> Comparison:
        """Compares the study's strategies from the records that there are, and records that somebody looked.

        Args:
            storage: a folder or ``s3://bucket/prefix``.
            baseline: the arm that the others are compared with; by default the study's.
            margin: accuracy points that would not matter; by default the study's.
            charge_teacher: whether every strategy pays the teacher's training, its work in the trials, and evaluation.

        Raises:
            StudyError: there are no records, or the baseline is not an arm.
        """
        if margin is not None and not 0 < margin <= 100:
            raise StudyError(f"the margin must be above 0 and at most 100 points, but got {margin:g}")
        place = _storage(storage)
        folder = StudyFolder(place, self.spec.name)
        folder.stored()
        plan, wasted = self._planned(place), folder.wasted()
        manifests = folder.manifests(plan)
        folder.refuse_changes(plan, manifests)
        results = [TrialResult.from_manifest(m, wasted.get(key, 0.0)) for key, m in manifests.items()]
        facts = self._teacher_facts(place)
        spec = self.spec
        question = Question(
            study=spec.name,
            text=spec.question,
            protocol=spec.protocol,
            margin=margin or spec.margin,
            seeds=spec.seeds,
            data=getattr(spec.data, "name", ""),
            validation=spec.data.validation,
            test=next((m.test_examples for m in manifests.values() if m.test_examples), None),
            teacher=facts,
            seeds_planned=spec.seeds_planned,
            baseline=baseline or spec.baseline,
            price_per_device_hour=spec.price_per_device_hour,
            currency=spec.currency,
            charges_teacher=charge_teacher,
            published=spec.published,
            published_differs=spec.published.differences(spec.protocol, spec.data, spec.recipe)
            if spec.published
            else (),
        )
        teacher_cost = (facts.cost if facts is not None else None) or Cost()
        strategies = evaluate(
            _arm_plans(plan), spec.seeds, results, spec.protocol, teacher_cost if charge_teacher else None
        )
        found = compare(question, strategies, looks=0)
        seen = max((len(pair.seeds) for pair in found.pairs), default=0)
        if not seen:
            return found
        looks = folder.look(seen, {pair.a: pair.verdict for pair in found.pairs})
        return compare(question, strategies, looks)

    def histories(self, storage: str = "results") -> list[History]:
        """The epochs of the trials with a learned temperature, as far as there are records; for the course of T."""
        folder = StudyFolder(_storage(storage), self.spec.name)
        present = set(folder.root.names())
        found = []
        for trial in self.plan().trials:
            temperature = trial.config.temperature
            if trial.id not in present or temperature is None or not temperature.learned:
                continue
            newest = record.scan(folder.trial(trial.id), check_hashes=False).newest
            if newest is not None:
                bounds = temperature.bounds if isinstance(temperature, LearnedOptions) else None
                found.append(History(trial.arm, trial.setting.label, trial.seed, tuple(newest.rows()), bounds))
        return found

    def sync(self, storage: str = "results", tracking_uri: str | None = None) -> TrackingOutcome:
        """Makes MLflow hold exactly what the records do."""
        place = _storage(storage)
        folder = StudyFolder(place, self.spec.name)
        _, uid = folder.stored()
        plan = self._planned(place)
        folder.refuse_changes(plan, folder.manifests(plan))
        tracking.check_uri(tracking_uri or tracking.default_uri(place))
        return tracking.sync(self._projection(folder, uid, tracking_uri or tracking.default_uri(place)))

    def serve(
        self,
        storage: str = "results",
        tracking_uri: str | None = None,
        host: str = "127.0.0.1",
        port: int = 5000,
        browser: bool = True,
    ) -> None:
        """Serves MLflow until it is interrupted, opened at the study's comparison."""
        place = _storage(storage)
        uri = tracking_uri or tracking.default_uri(place)
        _, uid = StudyFolder(place, self.spec.name).stored()
        if uri.startswith(("http://", "https://")):
            address = tracking.comparison_url(uri, uid)
            print(address)
            if browser:
                webbrowser.open(address)
            return
        with contextlib.closing(socket.socket()) as probe:
            if probe.connect_ex((host, port)) == 0:
                raise StudyError(f"port {port} of {host} is taken; choose another with --port")
        address = tracking.comparison_url(uri, uid, f"http://{host}:{port}")
        server = subprocess.Popen(tracking.server_command(uri, host, port), env=tracking.server_environment())
        try:
            print(f"MLflow serves {uri} at\n{address}\nCtrl-C stops it.")
            if browser:
                webbrowser.open(address)
            server.wait()
        finally:
            server.terminate()
            server.wait()

    def bank(self, storage: str = "results") -> BankCost | None:
        """What the banks of the study's teacher cost; None where there are none."""
        config = self._teacher_config()
        cost = teacher.bank_cost(config, _storage(storage)) if config is not None else BankCost()
        return cost if cost.pairs else None

    def _planned(self, place: Storage, fresh: bool = False) -> Plan:
        """The plan, with what is chosen at a study's first run as it was chosen there."""
        folder = StudyFolder(place, self.spec.name)
        before = folder.stored()[0] if not fresh and folder.root.exists(STUDY) else None
        return make_plan(settled(self.spec, before))

    def _teacher_config(self) -> TrialConfig | None:
        """A trial that reads the study's teacher, if there is one."""
        return next((trial.config for trial in self.plan().trials if trial.config.teacher is not None), None)

    def _teacher_ready(self, place: Storage) -> bool:
        config = self._teacher_config()
        return config is None or teacher.record_of(config, place) is not None

    def _teacher_facts(self, place: Storage) -> TeacherFacts | None:
        config = self._teacher_config()
        if config is None or config.teacher is None:
            return None
        name = getattr(config.teacher, "model", "teacher")
        if config.teacher.checkpoint is not None:
            return TeacherFacts(f"{name} from {Path(config.teacher.checkpoint).name}", may_have_seen_validation=True)
        newest = teacher.record_of(config, place)
        if newest is None:
            return TeacherFacts(name)
        summary, bank = newest.manifest.summary, teacher.bank_cost(config, place)
        cost = Cost(summary.device_seconds + bank.device_seconds, summary.tflop + bank.tflop)
        return TeacherFacts(name, summary.test_top1, cost)

    def _projection(self, folder: StudyFolder, uid: str, uri: str) -> Projection:
        config = self._teacher_config()
        home = None
        if config is not None and config.teacher is not None and config.teacher.recipe is not None:
            home = folder.storage.within(teacher.TEACHERS, teacher.fingerprint(config))
        return Projection(uri, self.spec.name, uid, folder.root, home, self.spec.question)

    @contextlib.contextmanager
    def _tracked(self, folder: StudyFolder, uid: str, uri: str, console: Console) -> Iterator[Callable[[str], None]]:
        tracker = Tracker(self._projection(folder, uid, uri))
        tracker.start()
        try:
            yield tracker.changed
        finally:
            console.print(str(tracker.finish()), highlight=False, soft_wrap=True)


def _arm_plans(plan: Plan) -> list[ArmPlan]:
    arms: dict[str, list[Setting]] = {}
    for setting in plan.spec.settings():
        arms.setdefault(setting.arm, []).append(setting)
    return [
        ArmPlan(
            name=arm,
            settings=tuple(setting.label for setting in settings),
            fixed=all(getattr(setting.config.temperature, "kind", None) == "fixed" for setting in settings),
            uses_teacher=any(setting.config.distiller.needs != "nothing" for setting in settings),
            overrides_student=any(setting.overrides_student for setting in settings),
            overrides_epochs=any(setting.overrides_epochs for setting in settings),
        )
        for arm, settings in arms.items()
    ]


def _storage(location: str) -> Storage:
    """The storage at a location.

    Raises:
        StudyError: it is no location.
    """
    try:
        return Storage.at(location)
    except (OSError, ValueError) as fault:
        raise StudyError(f"--storage must be a folder or s3://bucket/prefix, but got {location!r}: {fault}") from fault


@contextlib.contextmanager
def _readable_faults() -> Iterator[None]:
    """Turns what a missing data set or a wrong file raises into a text for people."""
    try:
        yield
    except (FileNotFoundError, ValueError) as fault:
        raise StudyError(str(fault)) from fault
