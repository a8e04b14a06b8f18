"""What MLflow should hold for one trial: a pure function of the trial's record.

Every name, value and time that MLflow shows for a trial is computed here from the record alone. So the same record
gives the same run, bit for bit, whichever process sends it and whenever.
"""

import dataclasses
import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from ctkd_study.errors import dotted
from ctkd_study.spec import leaves, text
from ctkd_study.tracking.metric_names import LONGEST_NAME, metric_name
from trainables.record import Manifest, Row, Status

RunStatus = Literal["RUNNING", "FINISHED", "FAILED"]

Role = Literal["trial", "teacher"]

_LONGEST_PARAM, _LONGEST_TAG = 6000, 8000
#: The tag that says how much of a record a run holds; see ``RunSnapshot.marks``.
SENT = "ctkd.sent"


class MetricPoint(NamedTuple):
    """One value of one metric. MLflow stores equal points once, so they can be sent again."""

    key: str
    value: float
    timestamp: int
    """Milliseconds since 1970."""
    step: int
    """The epoch."""


@dataclasses.dataclass(frozen=True)
class RunSnapshot:
    """What one MLflow run should hold."""

    trial: str
    """The trial's id, and the run's name."""
    params: dict[str, str]
    tags: dict[str, str]
    """Without ``SENT``."""
    status: RunStatus
    start_ms: int | None
    end_ms: int | None
    """Milliseconds since 1970; None if the record has no time, and then MLflow's time is not compared."""
    groups: tuple[tuple[MetricPoint, ...], ...]
    """One group of points per epoch and, once the trial has ended, one for its results. A group is sent whole."""
    epochs: int
    """Number of groups that are epochs."""
    marks: tuple[str, ...]
    """``marks[n]`` identifies the first n groups: n and a digest of all their bits."""

    @property
    def late_accuracies(self) -> list[float]:
        """The accuracies in the second half of the training, in percent."""
        late = self.groups[self.epochs // 2 : self.epochs]
        return [point.value for group in late for point in group if point.key in ("val/top1", "test/top1")]

    def latest(self, groups: int) -> dict[str, float]:
        """Return the last value of each metric in the first groups, which MLflow keeps beside a run's history."""
        return {point.key: point.value for group in self.groups[:groups] for point in group}

    def groups_marked(self, mark: str | None) -> int | None:
        """Return the number of groups that a mark identifies; None if it is not a mark of this record."""
        return self.marks.index(mark) if mark in self.marks else None


_STATUS: Mapping[Status, RunStatus] = MappingProxyType(
    {"running": "RUNNING", "finished": "FINISHED", "stopped": "FINISHED", "failed": "FAILED"}
)


def snapshot_of(manifest: Manifest, rows: Sequence[Row], study: str, uid: str, role: Role) -> RunSnapshot:
    """Return what the run of a trial's record should hold.

    Args:
        manifest: of the newest complete checkpoint.
        rows: that checkpoint's history.
        study, uid: the study that shows the run; a teacher may have been trained by another one.
    """
    stamps = [(int(row["time_ms"] or 0), int(row["epoch"] or 0)) for row in rows]
    named = [{metric_name(name): row[name] for name in row if name not in ("epoch", "time_ms")} for row in rows]
    groups = [tuple(_points(values, *stamp)) for values, stamp in zip(named, stamps, strict=True)]
    ended = manifest.status != "running"
    if ended and stamps:
        # Stamped as the last row, so that results that are sent again are the same points.
        groups.append(tuple(_points(_result_values(manifest), *stamps[-1])))
    starts: list[int | None] = [start.time_ms for start in manifest.starts] or [at for at, _ in stamps] or [None]
    grouped = {"arm": manifest.arm or role, "seed": str(manifest.seed), "setting": manifest.setting or role}
    return RunSnapshot(
        trial=manifest.trial,
        params=_params(manifest, grouped),
        tags=_tags(manifest, study, uid, role, grouped),
        status=_STATUS[manifest.status],
        start_ms=starts[0],
        end_ms=(stamps[-1][0] if stamps else starts[-1]) if ended else None,
        groups=tuple(groups),
        epochs=len(rows),
        marks=tuple(_marks(groups)),
    )


def _result_values(manifest: Manifest) -> Row:
    values = manifest.summary.model_dump()
    found: Row = {"selected/epoch": values.pop("selected_epoch")}
    totals = ("_seconds", "tflop")
    return found | {f"{'total' if name.endswith(totals) else 'selected'}/{name}": values[name] for name in values}


def _points(values: Row, timestamp: int, step: int) -> Iterator[MetricPoint]:
    for key, value in values.items():
        if isinstance(value, int | float) and math.isfinite(value):
            yield MetricPoint(key, float(value), timestamp, step)


def _marks(groups: Sequence[Sequence[MetricPoint]]) -> Iterator[str]:
    digest = hashlib.sha256()
    for number, group in enumerate([(), *groups]):
        # A float's repr is exact.
        digest.update("".join(f"{key} {value!r} {at} {step}\n" for key, value, at, step in group).encode())
        yield f"{number}:{digest.hexdigest()[:32]}"


def _params(manifest: Manifest, grouped: dict[str, str]) -> dict[str, str]:
    """Return the configuration's leaves by dotted key, and what the charts group by."""
    found = {dotted(path): value for path, value in leaves(manifest.config) if value is not None}
    found = {re.sub(r"[^A-Za-z0-9_.\- ]", "_", key)[:LONGEST_NAME]: value for key, value in found.items()}
    return {key: _stored(value, _LONGEST_PARAM) for key, value in (found | grouped).items()}


def _tags(manifest: Manifest, study: str, uid: str, role: Role, grouped: dict[str, str]) -> dict[str, str]:
    tags = {
        "ctkd.uid": uid,
        "ctkd.study": study,
        "ctkd.trial_id": manifest.trial,
        "ctkd.role": role,
        "ctkd.fingerprint": manifest.fingerprint,
        "ctkd.status": manifest.status,
        **{f"ctkd.{key}": value for key, value in grouped.items()},
        # The short names, too: MLflow's charts show a tag under its whole name, and users group by these three.
        **grouped,
    }
    if manifest.reason is not None:
        tags["ctkd.reason"] = manifest.reason
    if manifest.machine:
        tags["ctkd.machine"] = json.dumps(manifest.machine, sort_keys=True, default=str)
    return {key: _stored(value, _LONGEST_TAG) for key, value in tags.items()}


def _stored(value: Any, longest: int) -> str:
    # PostgreSQL rejects NUL. MLflow truncates long texts silently; truncated here, they stay equal to the stored ones.
    return text(value).replace("\0", "")[:longest]
