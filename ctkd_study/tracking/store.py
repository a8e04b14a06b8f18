"""One study's experiment and runs in an MLflow store.

Every run carries a mark of what it holds (``RunSnapshot.marks``), written in the same call as the values. If a run's
mark and last values match the record, the run holds exactly the record's first groups and only the rest is sent; the
list of runs is enough to see that. If they do not match (a process was killed during a call, or somebody changed the
run), the run's whole history is read and compared: missing points are sent, and a run with any other point is created
anew, because MLflow cannot delete a value.
"""

import dataclasses
import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ctkd_study.errors import TrackingError
from ctkd_study.tracking.client import client_of, find_experiment, is_outage, sqlite_file
from ctkd_study.tracking.metric_names import is_ours
from ctkd_study.tracking.snapshot import SENT, MetricPoint, RunSnapshot
from ctkd_study.tracking.view import VIEW_TAG, AccuracyRange, shared_view

if TYPE_CHECKING:
    from mlflow.entities import Experiment, Run

#: MLflow accepts 1000 points per call, and a slow server should answer within a request's timeout.
_POINTS_PER_CALL = 800
_LONGEST_NOTE = 20_000
_NOTE, _NOTE_DIGEST = "mlflow.note.content", "ctkd.noted"

#: Numbered groups of points.
_Groups = list[tuple[int, tuple[MetricPoint, ...]]]


@dataclasses.dataclass
class Tally:
    """What was sent and changed so far."""

    rows: int = 0
    """Epochs of which at least one value was sent."""
    created: int = 0
    rewritten: int = 0
    """Runs that held something that the record does not, and were deleted and created again."""
    removed: int = 0
    """Runs deleted because they were duplicates or had no record."""


@dataclasses.dataclass
class _StoredRun:
    id: str
    tags: dict[str, str]
    params: dict[str, str]
    latest: dict[str, float]
    """The last value of each of our metrics."""
    status: str
    start_ms: int | None
    end_ms: int | None
    checked: bool = False
    """Whether the run is known to hold exactly what its mark says."""


class StudyRuns:
    """The runs of one study.

    Args:
        uri: MLflow's tracking URI.
        study, uid: the study's name and identity. The uid finds the experiment; the name may be another experiment's.
        note: Markdown for the head of the experiment's page.
        exclusive: whether the caller keeps other processes from writing the study's runs at the same time.
        page_size: runs per request when they are listed.

    Raises (all methods): whatever MLflow raises; ``is_outage`` tells what it means.
    """

    def __init__(self, uri: str, study: str, uid: str, note: str, exclusive: bool, page_size: int = 500) -> None:
        self._study, self._uid, self._note = study, uid, note[:_LONGEST_NOTE]
        self._exclusive, self._page_size = exclusive, page_size
        self._uri, self._client = uri, client_of(uri)
        self._known_experiment: Experiment | None = None
        self._runs: dict[str, _StoredRun] = {}
        self._complete = False
        """Whether a trial that is not in ``_runs`` is known to have no run."""
        self.tally = Tally()

    def __len__(self) -> int:
        return len(self._runs)

    def refresh(self) -> None:
        """Read all runs of the study from MLflow, and delete duplicates."""
        self._runs = self._search(f"tags.`ctkd.uid` = '{self._uid}'")
        self._complete = True

    def mark_stale(self) -> None:
        """Expect that other processes have created runs since the last ``refresh``."""
        self._complete = False

    def trials(self, role: str) -> set[str]:
        """Return the ids of the trials of a role that have a run."""
        return {trial for trial, run in self._runs.items() if run.tags.get("ctkd.role") == role}

    def write(self, snapshot: RunSnapshot, thorough: bool) -> None:
        """Make a trial's run hold its snapshot; ``thorough`` compares all history, not just mark and last values."""
        try:
            self._write(snapshot, thorough)
        except Exception as error:
            if is_outage(error):
                raise
            # Somebody deleted the run or its experiment, or wrote to it at the same time: read it again, once.
            self._known_experiment, self._complete = None, False
            self._runs.pop(snapshot.trial, None)
            self._write(snapshot, thorough=True)

    def remove(self, trial: str) -> None:
        """Delete a trial's run; MLflow keeps deleted runs until `mlflow gc`."""
        self._client.delete_run(self._runs.pop(trial).id)
        self.tally.removed += 1

    def decorate(self, accuracy: AccuracyRange | None) -> None:
        """Write the preset view of the charts into the experiment and, unless somebody has edited it, the note."""
        experiment = self._experiment()
        wanted = {VIEW_TAG: shared_view(experiment.creation_time or 0, accuracy)}
        written, note = experiment.tags.get(_NOTE_DIGEST), experiment.tags.get(_NOTE, "")
        if written in (_digest(note), _digest(self._note)):
            # The digest comes first: after a crash between the two, the next attempt still knows the note as ours.
            wanted |= {_NOTE_DIGEST: _digest(self._note), _NOTE: self._note}
        for key, value in wanted.items():
            if experiment.tags.get(key) != value:
                self._client.set_experiment_tag(experiment.experiment_id, key, value)
                experiment.tags[key] = value

    def _experiment(self) -> "Experiment":
        if self._known_experiment is None:
            found = find_experiment(self._client, self._uid) or self._create_experiment()
            if found.lifecycle_stage == "deleted":
                # Whoever tracks the study wants to see it.
                self._client.restore_experiment(found.experiment_id)
            self._known_experiment = found
        return self._known_experiment

    def _create_experiment(self) -> "Experiment":
        from mlflow.exceptions import MlflowException

        tags = {"ctkd.uid": self._uid, "ctkd.study": self._study, _NOTE: self._note, _NOTE_DIGEST: _digest(self._note)}
        database = sqlite_file(self._uri)
        location = (database.parent.absolute() / "mlartifacts" / self._uid).as_uri() if database is not None else None
        for name in (self._study, f"{self._study}-{self._uid[:8]}", f"{self._study}-{self._uid}"):
            try:
                return self._client.get_experiment(self._client.create_experiment(name, location, tags))
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
                # The name belongs to another study, or another process has just created this study's experiment.
                if found := find_experiment(self._client, self._uid):
                    return found
        raise TrackingError(f"the study's experiment needs a free name, but {self._study!r} and {name!r} are taken")

    def _write(self, snapshot: RunSnapshot, thorough: bool) -> None:
        run = self._find(snapshot.trial) or self._create(snapshot, {})
        missing = self._missing(run, snapshot, thorough)
        if missing is None:
            self._client.delete_run(run.id)
            self.tally.rewritten += 1
            # Keep the tags and the note that users wrote.
            theirs = {key for key in run.tags if key == _NOTE or not key.startswith(("ctkd.", "mlflow."))}
            run = self._create(snapshot, {key: run.tags[key] for key in theirs})
            missing = self._missing(run, snapshot, thorough)
        if missing is None:
            raise TrackingError(f"another process keeps writing the run of {snapshot.trial}")
        self._send(run, snapshot, missing)
        self._set_status(run, snapshot)
        run.checked = True

    def _find(self, trial: str) -> _StoredRun | None:
        if trial not in self._runs and not self._complete:
            self._runs |= self._search(f"tags.`ctkd.uid` = '{self._uid}' and tags.`ctkd.trial_id` = '{trial}'")
        return self._runs.get(trial)

    def _create(self, snapshot: RunSnapshot, tags: dict[str, str]) -> _StoredRun:
        experiment_id = self._experiment().experiment_id
        created = self._client.create_run(experiment_id, snapshot.start_ms, tags | snapshot.tags, snapshot.trial)
        self.tally.created += 1
        self._runs[snapshot.trial] = _stored(created)
        if self._exclusive:
            return self._runs[snapshot.trial]
        # Another process may have created the same run just now: both processes keep the one with the lower id.
        del self._runs[snapshot.trial]
        self._complete = False
        run = self._find(snapshot.trial)
        if run is None:
            raise TrackingError(f"the run of {snapshot.trial} was deleted while it was created")
        return run

    def _missing(self, run: _StoredRun, snapshot: RunSnapshot, thorough: bool) -> _Groups | None:
        """Return the points that the run lacks, by group; None if it holds something that the record does not."""
        same_start = snapshot.start_ms in (None, run.start_ms)
        same_params = all(run.params.get(key, value) == value for key, value in snapshot.params.items())
        if not (same_start and same_params and run.tags.get("ctkd.fingerprint") == snapshot.tags["ctkd.fingerprint"]):
            return None
        marked = snapshot.groups_marked(run.tags.get(SENT))
        if marked is not None and (run.checked or (not thorough and run.latest == snapshot.latest(marked))):
            return list(enumerate(snapshot.groups))[marked:]
        history = {
            MetricPoint(metric.key, metric.value, metric.timestamp, metric.step)
            for key in run.latest
            for metric in self._client.get_metric_history(run.id, key)
        }
        if not history.issubset(point for group in snapshot.groups for point in group):
            return None
        lacking = ((n, tuple(p for p in group if p not in history)) for n, group in enumerate(snapshot.groups))
        return [(number, points) for number, points in lacking if points]

    def _send(self, run: _StoredRun, snapshot: RunSnapshot, missing: _Groups) -> None:
        from mlflow.entities import Metric, Param, RunTag

        batches = list(_batches(missing)) or [([], [])]
        for numbers, points in batches:
            last = numbers is batches[-1][0]
            # Groups are sent in order, so a mark covers all groups before it.
            tags = {**snapshot.tags, SENT: snapshot.marks[-1]} if last else {SENT: snapshot.marks[numbers[-1] + 1]}
            tags = {key: value for key, value in tags.items() if run.tags.get(key) != value}
            params = {key: value for key, value in snapshot.params.items() if key not in run.params}
            if not (points or params or tags):
                continue
            self._client.log_batch(
                run.id,
                metrics=[Metric(*point) for point in points],
                params=[Param(key, value) for key, value in params.items()],
                tags=[RunTag(key, value) for key, value in tags.items()],
            )
            self.tally.rows += sum(number < snapshot.epochs for number in numbers)
            run.latest |= {point.key: point.value for point in points}
            run.params |= params
            run.tags |= tags
        for key in [key for key in run.tags if key.startswith("ctkd.") and key != SENT and key not in snapshot.tags]:
            self._client.delete_tag(run.id, key)
            del run.tags[key]

    def _set_status(self, run: _StoredRun, snapshot: RunSnapshot) -> None:
        if snapshot.status == "RUNNING":
            if run.status != "RUNNING":
                self._client.update_run(run.id, status="RUNNING")
        elif run.status != snapshot.status or snapshot.end_ms not in (None, run.end_ms):
            self._client.set_terminated(run.id, snapshot.status, snapshot.end_ms)
        run.status, run.end_ms = snapshot.status, snapshot.end_ms

    def _search(self, query: str) -> dict[str, _StoredRun]:
        experiment_id, runs, token = self._experiment().experiment_id, [], None
        while True:
            page = self._client.search_runs([experiment_id], query, max_results=self._page_size, page_token=token)
            runs += [_stored(run) for run in page if "ctkd.trial_id" in run.data.tags]
            if not (token := page.token):
                break
        found: dict[str, _StoredRun] = {}
        for run in sorted(runs, key=lambda run: run.id):
            if found.setdefault(run.tags["ctkd.trial_id"], run) is not run:
                self._client.delete_run(run.id)
                self.tally.removed += 1
        return found


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _stored(run: "Run") -> _StoredRun:
    return _StoredRun(
        id=run.info.run_id,
        tags=dict(run.data.tags),
        params=dict(run.data.params),
        latest={key: value for key, value in run.data.metrics.items() if is_ours(key)},
        status=run.info.status,
        start_ms=run.info.start_time,
        end_ms=run.info.end_time,
    )


def _batches(groups: _Groups) -> Iterator[tuple[list[int], list[MetricPoint]]]:
    """Combine whole groups to batches of at most ``_POINTS_PER_CALL`` points, unless one group has more."""
    numbers: list[int] = []
    points: list[MetricPoint] = []
    for number, group in groups:
        if points and len(points) + len(group) > _POINTS_PER_CALL:
            yield numbers, points
            numbers, points = [], []
        numbers.append(number)
        points.extend(group)
    if numbers:
        yield numbers, points
