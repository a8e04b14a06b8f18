"""A study as Python sees it: read or built, planned, run, compared."""

import contextlib
import dataclasses
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from ctkd_study import tracking
from ctkd_study.analysis import (
    METRICS,
    Across,
    Comparison,
    Question,
    Replay,
    StudyDesign,
    across,
    compare,
    evaluate,
    remarks,
    replays,
    stops_early,
)
from ctkd_study.cluster import RayRunner, check_address, this_machine
from ctkd_study.errors import StudyError
from ctkd_study.launch import Outcome, Runner, launch
from ctkd_study.plan import (
    Estimate,
    Plan,
    StudyState,
    check_networks,
    decisions,
    estimate,
    faulty_arms,
    histories,
    known_sizes,
    needs,
    read_data,
    results,
    rows_of_arms,
    study_bill,
    teacher_bank_cost,
    teacher_charges,
    teacher_facts,
)
from ctkd_study.records import Asked, History, Provenance, StudyFolder, provenance, record_look
from ctkd_study.report import sentence, show_progress
from ctkd_study.spec import NAME, MetricName, StudySpec, from_mapping, load
from ctkd_study.tracking import Projection, Tracker, TrackingOutcome
from trainables.bank import BankCost
from trainables.storage import Storage

_MLFLOW_SECONDS, _MLFLOW_SECONDS_WHEN_STOPPED = 30.0, 3.0


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

    def plan(self, storage: str = "results") -> Plan:
        """The study's trials, in order, as ``run`` would record them in this storage."""
        return self._state(storage).plan

    def estimate(self, storage: str = "results") -> Estimate:
        """Say what the study will take: from finished trials, else from a few steps on this machine; trains nothing.

        What fails is named in the estimate, and the rest is estimated all the same.

        Raises:
            StudyError: the data set cannot be read.
        """
        cpu = self.spec.cores_per_trial
        with _readable_faults():
            state = self._state(storage).read()
            faulty = faulty_arms(state.plan, known_sizes(state.plan))
            configs = [setting.config for setting in state.spec.settings()]
            gpu = this_machine().gpu_share(self.spec.resources.gpu, configs, cpu)
            fits = max(this_machine().slots(cpu, gpu), 1)  # a study for a cluster may be planned on a laptop
            slots = min(fits, self.spec.concurrency or len(state.plan.trials))
            trained = state.teacher_records()
            facts = teacher_facts(state) if trained else None
            return estimate(
                state.plan,
                state.manifests,
                slots,
                len(state.teacher_configs) - len(trained),
                state.storage.location,
                gpu,
                faulty=faulty,
                trained=facts.cost.device_seconds / len(trained) if facts is not None and facts.cost else None,
            )

    def design(self, storage: str = "results") -> StudyDesign:
        """Say what the study would need, with a fixed number of seeds and if they were added until it is decided.

        Raises:
            StudyError: the data set cannot be read, or there is nothing to decide.
        """
        state = self._state(storage).read()
        return needs(state.spec, state.manifests, self.estimate(storage))

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
        """Run what is due of the study.

        Args:
            storage: a folder or ``s3://bucket/prefix``.
            tracking_uri: MLflow's; default: ``mlflow.db`` in the storage.
            address: of a running Ray cluster; default: that of the environment variable RAY_ADDRESS, else one is
                started on this machine.
            fresh: start anew; the old records are renamed.
            retry: run failed trials again.
            console: where progress is shown; default: nowhere.
            runner: how trials are run; default: as Ray Tune trials.

        Raises:
            StudyError: see ``launch``.
        """
        place, console = _storage(storage), console or Console(quiet=True)
        address = os.environ.get("RAY_ADDRESS") or None if address is None else address
        address = None if address == "local" else address  # as Ray names what it starts itself
        uri = tracking_uri or tracking.default_uri(place)
        tracking.check_uri(uri)
        if address is not None:
            check_address(address)
        with _readable_faults(), contextlib.ExitStack() as stack:
            # Ray's process starts while the study is read.
            runner = runner or stack.enter_context(RayRunner(address))
            state = StudyState(self.spec, place, fresh)
            if address is None:  # on a cluster, the data may be on its nodes alone
                data = read_data(state.plan)
                check_networks(state.with_data(data).plan, data[0].arrays.sizes)
                this_machine().check(self.spec.cores_per_trial, self.spec.resources.gpu, self.spec.numerics.device)
            return launch(
                state,
                runner,
                console,
                fresh=fresh,
                retry=retry,
                watch=lambda progress: show_progress(progress, console, self.spec.price_per_device_hour),
                track=lambda uid: _tracked(_projection(state, uid, uri), console),
            )

    def compare(
        self,
        storage: str = "results",
        *,
        baseline: str | None = None,
        metric: MetricName | None = None,
        margin: float | None = None,
        charge_teacher: bool = False,
        state: StudyState | None = None,
    ) -> Comparison:
        """Compare the study's strategies, as far as there are records, and record that somebody looked.

        Args:
            storage: a folder or ``s3://bucket/prefix``.
            baseline: the arm that the others are compared with; default: the study's.
            metric: by what the strategies are compared on the test set; default: the study's. By another one, what is
                found is exploratory.
            margin: what would not matter, in the unit of the metric; default: the study's, if the metric is.
            charge_teacher: whether every strategy pays for the teacher and evaluation, too; see ``teacher_charges``.
            state: the records, where they have been read already, e.g. ``Outcome.state`` of a run.

        Raises:
            StudyError: there are no records, the baseline is not an arm, or what the teacher cost is not known.
            ChangedStudyError: the records are of other trials, or not of one data set and teacher.
        """
        if margin is not None and not 0 < margin <= 100:
            raise StudyError(f"the margin must be above 0 and at most 100, but got {margin:g}")
        compared_by, declared = METRICS[metric or self.spec.metric], metric in (None, self.spec.metric)
        if margin is None and not declared:
            raise StudyError(
                f"the study's margin is one of {self.spec.metric}; with --metric {compared_by.name}, give another, in "
                f"{compared_by.unit}, with --margin"
            )
        state = state.refuse_changes() if state is not None else self._recorded(storage)
        facts, spec, found = teacher_facts(state), state.spec, decisions(state.spec, state.manifests)
        published = spec.published
        charges = teacher_charges(state) if charge_teacher else None
        question = Question(
            study=spec.name,
            text=spec.question,
            protocol=spec.protocol,
            margin=margin or spec.margin,
            seeds=spec.all_seeds[: found.seeds] if found is not None else spec.seeds,
            data=getattr(spec.data, "name", ""),
            validation=spec.data.validation,
            test=next((m.test_examples for m in state.manifests.values() if m.test_examples), None),
            chance=next((m.chance for m in state.manifests.values() if m.chance is not None), None),
            teacher=facts,
            vary=spec.vary,
            seeds_planned=spec.until.seeds if spec.until is not None else spec.seeds_planned,
            baseline=baseline or spec.baseline,
            confirm=spec.confirm,
            price_per_device_hour=spec.price_per_device_hour,
            currency=spec.currency,
            charges_teacher=charge_teacher,
            metric=compared_by,
            metric_declared=declared,
            published=published,
            published_differs=published.differences(spec.protocol, spec.data, spec.recipe) if published else (),
        )
        reach = found.reach if found is not None else {}
        trials = results(state)
        strategies = evaluate(spec.resolved_arms, question.seeds, trials, spec.protocol, charges, reach)
        comparison = compare(question, strategies, found if declared else None, state.test_correct)
        said = remarks(comparison, self.histories(state=state))
        comparison = dataclasses.replace(comparison, remarks=said, bill=study_bill(state, trials))
        seen = max((len(pair.seeds) for pair in comparison.pairs), default=0)
        if seen and declared:  # the looks are at the declared metric
            asked = Asked(question.margin, comparison.baseline, comparison.confirmed)
            verdicts = {pair.a: pair.verdict for pair in comparison.pairs}
            looks, changed = record_look(state.folder, seen, verdicts, asked)
            comparison = dataclasses.replace(comparison, looks=looks, set_after_looking=changed)
        return dataclasses.replace(comparison, sentence=sentence(comparison))

    def histories(self, storage: str = "results", *, state: StudyState | None = None) -> list[History]:
        """The epochs of the trials with a learned temperature, as far as there are records; for the course of T."""
        return histories(state or self._recorded(storage))

    def replays(
        self, comparison: Comparison, storage: str = "results", *, state: StudyState | None = None
    ) -> list[Replay]:
        """What other searches over the grids' settings would have picked and paid; reads every epoch of their trials.

        Args:
            comparison: what ``compare`` returned.
            storage: a folder or ``s3://bucket/prefix``.
            state: the records, where they have been read already.
        """
        state = state or self._recorded(storage)
        grids = {each.strategy.name for each in comparison.summaries if stops_early(each.strategy.arm)}
        return replays(comparison, results(state), rows_of_arms(state, grids))

    def provenance(self, storage: str = "results", *, state: StudyState | None = None) -> Provenance:
        """How the study was run: launches, versions, commits and machines."""
        state = state or self._recorded(storage)
        return provenance(state.folder, state.manifests.values())

    def sync(self, storage: str = "results", tracking_uri: str | None = None) -> TrackingOutcome:
        """Make MLflow hold exactly what the records do."""
        state = self._recorded(storage)
        uri = tracking_uri or tracking.default_uri(state.storage)
        tracking.check_uri(uri)
        return tracking.sync(_projection(state, state.folder.stored()[1], uri))

    def serve(
        self,
        storage: str = "results",
        tracking_uri: str | None = None,
        host: str = "127.0.0.1",
        port: int = 5000,
        browser: bool = True,
    ) -> None:
        """Serve MLflow until a signal stops it, opened at the study's comparison.

        Raises:
            StudyError: the port is taken, there are no records, or MLflow does not hold the study.
            KeyboardInterrupt, SystemExit: a signal stopped it.
        """
        place = _storage(storage)
        _, uid = StudyFolder(place, self.spec.name).stored()
        tracking.serve(tracking_uri or tracking.default_uri(place), uid, host, port, browser)

    def bank(self, storage: str = "results", *, state: StudyState | None = None) -> BankCost | None:
        """What the banks of the study's teachers cost; None where there are none."""
        state = state or self._state(storage).read()
        cost = teacher_bank_cost(state)
        return cost if cost.pairs else None

    def _state(self, storage: str) -> StudyState:
        return StudyState(self.spec, _storage(storage))

    def _recorded(self, storage: str) -> StudyState:
        """The study with its records.

        Raises:
            UnknownStudyError: it was never run in this storage.
            ChangedStudyError: its records are of other trials.
        """
        StudyFolder(_storage(storage), self.spec.name).stored()
        return self._state(storage).read().refuse_changes()


def compare_studies(
    studies: Sequence[Study],
    storage: str = "results",
    *,
    baseline: str | None = None,
    metric: MetricName | None = None,
    margin: float | None = None,
    charge_teacher: bool = False,
) -> Across:
    """Compare the strategies of several studies: in each, and on average over them.

    Args:
        studies: at least two, all in the storage; their strategies are the same if the arms have the same name.
        storage, baseline, metric, margin, charge_teacher: as for ``Study.compare``, for all of the studies.

    Raises:
        StudyError: see ``across`` and ``Study.compare``.
    """
    options: dict[str, Any] = {"baseline": baseline, "metric": metric, "margin": margin}
    options |= {"charge_teacher": charge_teacher}
    return across([study.compare(storage, **options) for study in studies])


def _projection(state: StudyState, uid: str, uri: str) -> Projection:
    return Projection(uri, state.spec.name, uid, state.folder.root, state.teacher_folders, state.spec.question)


@contextlib.contextmanager
def _tracked(projection: Projection, console: Console) -> Iterator[Callable[[str], None]]:
    tracker, patience = Tracker(projection), _MLFLOW_SECONDS
    tracker.start()
    try:
        yield tracker.changed
    except BaseException:
        patience = _MLFLOW_SECONDS_WHEN_STOPPED
        raise
    finally:
        console.print(str(tracker.finish(patience)), markup=False, emoji=False, highlight=False, soft_wrap=True)


def _storage(location: str) -> Storage:
    """The storage at a location.

    Raises:
        StudyError: it is no location, or holds keys, which would be shown by `ps` and in messages.
    """
    if re.match(r"\w+://[^/]*(@|:.*@)", location):
        raise StudyError("--storage must not hold access keys; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY instead")
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
