"""One study's experiment and runs in an MLflow store.

Every run carries the mark of what it holds (``Image.marks``), written in the same call as the values and after them. A
run whose mark and last values are those of the record therefore holds exactly the record's first rows, and only the
rest is sent; one glance at the list of runs tells. Where that does not hold (a process was killed between values and
mark, somebody changed something) the run's whole history is read and compared: what is missing is sent, and a run with
anything that the record does not have is written anew, since MLflow cannot take back a value.
"""

import dataclasses
import hashlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from ctkd_study.errors import TrackingError
from ctkd_study.tracking.client import artifact_location, client_of, find_experiment, is_outage
from ctkd_study.tracking.snapshot import SENT, Image, Point, is_ours
from ctkd_study.tracking.view import VIEW_TAG, Span, shared_view

if TYPE_CHECKING:
    from mlflow.entities import Experiment, Run

#: Points per call: MLflow takes 1000 values at once, and a slow server should answer within a request's timeout.
_POINTS_PER_CALL = 800
_RUNS_PER_PAGE = 500
_LONGEST_NOTE = 20_000

_NOTE, _NOTED = "mlflow.note.content", "ctkd.noted"


@dataclasses.dataclass
class Tally:
    """What was done."""

    rows: int = 0
    """Epochs of which at least one value was sent."""
    created: int = 0
    rewritten: int = 0
    """Runs that held what the record does not, and were deleted and created again."""
    removed: int = 0
    """Runs that were deleted: doubles, and those without a record."""


@dataclasses.dataclass
class _HeldRun:
    id: str
    tags: dict[str, str]
    params: dict[str, str]
    latest: dict[str, float]
    """The last value of each of our metrics."""
    status: str
    start_ms: int | None
    end_ms: int | None
    checked: bool = False
    """Whether this object has seen that the run holds exactly what its mark says."""


class StudyRuns:
    """The runs of one study.

    Args:
        uri: MLflow's tracking URI.
        study, uid: the study's name and identity. The experiment is found by the uid; the name may be taken.
        note: Markdown for the head of the experiment's page.
        alone: whether no other process writes this study's runs meanwhile.

    Raises (all methods): whatever MLflow raises; ``is_outage`` tells what it means.
    """

    def __init__(self, uri: str, study: str, uid: str, note: str, alone: bool) -> None:
        self._study, self._uid, self._note, self._alone = study, uid, note[:_LONGEST_NOTE], alone
        self._uri, self._client = uri, client_of(uri)
        self._found: Experiment | None = None
        self._looked = False
        self._runs: dict[str, _HeldRun] = {}
        self.tally = Tally()

    def __len__(self) -> int:
        return len(self._runs)

    def look(self) -> None:
        """Reads all runs of the study, and deletes doubles."""
        self._runs = self._search(f"tags.`ctkd.uid` = '{self._uid}'")
        self._looked = True

    def expect_others(self) -> None:
        """Says that another process may have created runs since the last ``look``."""
        self._looked = False

    def ids(self, role: str) -> set[str]:
        """Ids of the trials of a role that have a run."""
        return {trial for trial, run in self._runs.items() if run.tags.get("ctkd.role") == role}

    def bring(self, image: Image, thorough: bool) -> None:
        """Makes a trial's run hold its image.

        Args:
            image: the trial's.
            thorough: whether to compare the run's whole history, not its mark and last values alone.
        """
        try:
            self._bring(image, thorough)
        except Exception as error:
            if is_outage(error):
                raise
            # Somebody deleted the run or its experiment, or wrote the same run at the same time: look again, once.
            self._found, self._looked = None, False
            self._runs.pop(image.trial, None)
            self._bring(image, thorough=True)

    def remove(self, trial: str) -> None:
        """Deletes a trial's run; MLflow keeps deleted runs until it is told to collect them."""
        self._client.delete_run(self._runs.pop(trial).id)
        self.tally.removed += 1

    def dress(self, accuracy: Span | None) -> None:
        """Puts the preset view of the comparison, and the note unless somebody has edited it, into the experiment."""
        experiment = self._experiment()
        wanted = {VIEW_TAG: shared_view(experiment.creation_time or 0, accuracy)}
        ours, note = experiment.tags.get(_NOTED), experiment.tags.get(_NOTE, "")
        if ours in (_digest(note), _digest(self._note)):
            # The digest first: then a note that was not written for a crash is still known as ours.
            wanted |= {_NOTED: _digest(self._note), _NOTE: self._note}
        for key, value in wanted.items():
            if experiment.tags.get(key) != value:
                self._client.set_experiment_tag(experiment.experiment_id, key, value)
                experiment.tags[key] = value

    # -- the experiment ----------------------------------------------------------------------------------------------

    def _experiment(self) -> "Experiment":
        if self._found is None:
            self._found = find_experiment(self._client, self._uid) or self._create_experiment()
            if self._found.lifecycle_stage == "deleted":
                # It is this study's own, and whoever tracks the study wants to see it.
                self._client.restore_experiment(self._found.experiment_id)
        return self._found

    def _create_experiment(self) -> "Experiment":
        from mlflow.exceptions import MlflowException

        tags = {"ctkd.uid": self._uid, "ctkd.study": self._study, _NOTE: self._note, _NOTED: _digest(self._note)}
        for name in (self._study, f"{self._study}-{self._uid[:8]}", f"{self._study}-{self._uid}"):
            try:
                created = self._client.create_experiment(name, artifact_location(self._uri, self._uid), tags)
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
                # Another study's, or this one's by another process just now.
                if found := find_experiment(self._client, self._uid):
                    return found
            else:
                return self._client.get_experiment(created)
        raise TrackingError(f"an experiment needs a free name, but {self._study!r} is taken, and so is {name!r}")

    # -- runs --------------------------------------------------------------------------------------------------------

    def _bring(self, image: Image, thorough: bool) -> None:
        run = self._find(image.trial) or self._create(image, {})
        missing = self._missing(run, image, thorough)
        if missing is None:
            self._client.delete_run(run.id)
            self.tally.rewritten += 1
            # What people wrote on the run goes along.
            theirs = {key: run.tags[key] for key in run.tags if not key.startswith(("ctkd.", "mlflow."))}
            notes = {key: run.tags[key] for key in (_NOTE,) if key in run.tags}
            run = self._create(image, theirs | notes)
            missing = self._missing(run, image, thorough)
        if missing is None:
            raise TrackingError(f"another process keeps writing the run of {image.trial}")
        self._send(run, image, missing)
        self._set_status(run, image)
        run.checked = True

    def _find(self, trial: str) -> _HeldRun | None:
        if trial not in self._runs and not self._looked:
            self._runs |= self._search(f"tags.`ctkd.uid` = '{self._uid}' and tags.`ctkd.trial_id` = '{trial}'")
        return self._runs.get(trial)

    def _create(self, image: Image, tags: dict[str, str]) -> _HeldRun:
        experiment_id = self._experiment().experiment_id
        created = self._client.create_run(experiment_id, image.start_ms, {**tags, **image.tags}, image.trial)
        self.tally.created += 1
        self._runs[image.trial] = _held(created)
        if self._alone:
            return self._runs[image.trial]
        # Nothing in MLflow keeps two processes from creating the same run: the lower id stays, for both.
        del self._runs[image.trial]
        self._looked = False
        run = self._find(image.trial)
        if run is None:
            raise TrackingError(f"the run of {image.trial} was deleted while it was created")
        return run

    def _missing(self, run: _HeldRun, image: Image, thorough: bool) -> list[tuple[int, tuple[Point, ...]]] | None:
        """The groups that the run lacks, in whole or in part; None where it holds what the record does not."""
        same_start = image.start_ms in (None, run.start_ms)
        same_params = all(run.params.get(key, value) == value for key, value in image.params.items())
        if not (same_start and same_params and run.tags.get("ctkd.fingerprint") == image.fingerprint):
            return None
        held = image.held(run.tags.get(SENT))
        if held is not None and (run.checked or (not thorough and run.latest == image.latest(held))):
            return list(enumerate(image.groups))[held:]
        history = self._history(run)
        if not history.issubset(point for group in image.groups for point in group):
            return None
        lacking = ((n, tuple(p for p in group if p not in history)) for n, group in enumerate(image.groups))
        return [(number, points) for number, points in lacking if points]

    def _history(self, run: _HeldRun) -> set[Point]:
        return {
            Point(metric.key, metric.value, metric.timestamp, metric.step)
            for key in run.latest
            for metric in self._client.get_metric_history(run.id, key)
        }

    def _send(self, run: _HeldRun, image: Image, missing: Iterable[tuple[int, tuple[Point, ...]]]) -> None:
        from mlflow.entities import Metric, Param, RunTag

        batches = list(_batches(missing)) or [([], [])]
        params = {key: value for key, value in image.params.items() if key not in run.params}
        for numbers, points in batches:
            last = numbers is batches[-1][0]
            # Groups are sent in order, so that a mark holds for all before it.
            tags = {**image.tags, SENT: image.marks[-1]} if last else {SENT: image.marks[numbers[-1] + 1]}
            tags = {key: value for key, value in tags.items() if run.tags.get(key) != value}
            if not (points or params or tags):
                continue
            self._client.log_batch(
                run.id,
                metrics=[Metric(point.key, point.value, point.timestamp, point.step) for point in points],
                params=[Param(key, value) for key, value in params.items()],
                tags=[RunTag(key, value) for key, value in tags.items()],
            )
            self.tally.rows += sum(number < image.epochs for number in numbers)
            run.latest |= {point.key: point.value for point in points}
            run.params |= params
            run.tags |= tags
            params = {}
        for key in [key for key in run.tags if key.startswith("ctkd.") and key != SENT and key not in image.tags]:
            self._client.delete_tag(run.id, key)
            del run.tags[key]

    def _set_status(self, run: _HeldRun, image: Image) -> None:
        if image.status == "RUNNING":
            if run.status != "RUNNING":
                self._client.update_run(run.id, status="RUNNING")
        elif run.status != image.status or image.end_ms not in (None, run.end_ms):
            self._client.set_terminated(run.id, image.status, image.end_ms)
        run.status, run.end_ms = image.status, image.end_ms

    def _search(self, query: str) -> dict[str, _HeldRun]:
        experiment_id, runs, token = self._experiment().experiment_id, [], None
        while True:
            page = self._client.search_runs([experiment_id], query, max_results=_RUNS_PER_PAGE, page_token=token)
            runs += [_held(run) for run in page if "ctkd.trial_id" in run.data.tags]
            token = page.token
            if not token:
                break
        found: dict[str, _HeldRun] = {}
        for run in sorted(runs, key=lambda run: run.id):
            if found.setdefault(run.tags["ctkd.trial_id"], run) is not run:
                self._client.delete_run(run.id)
                self.tally.removed += 1
        return found


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _held(run: "Run") -> _HeldRun:
    return _HeldRun(
        id=run.info.run_id,
        tags=dict(run.data.tags),
        params=dict(run.data.params),
        latest={key: value for key, value in run.data.metrics.items() if is_ours(key)},
        status=run.info.status,
        start_ms=run.info.start_time,
        end_ms=run.info.end_time,
    )


def _batches(groups: Iterable[tuple[int, tuple[Point, ...]]]) -> Iterator[tuple[list[int], list[Point]]]:
    """Whole groups together, up to ``_POINTS_PER_CALL`` points."""
    numbers: list[int] = []
    points: list[Point] = []
    for number, group in groups:
        if points and len(points) + len(group) > _POINTS_PER_CALL:
            yield numbers, points
            numbers, points = [], []
        numbers.append(number)
        points.extend(group)
    if numbers:
        yield numbers, points
