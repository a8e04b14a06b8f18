"""What MLflow should hold of a trial: a pure function of the trial's record.

The trial's folder is the record and MLflow its projection. Everything MLflow shows of a trial is worked out here, so
that the projection of one record is the same whenever and by whomever it is made, to the last bit of every number.
"""

import dataclasses
import hashlib
import json
import math
import re
from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

from trainables.record import Manifest, Row

Role = Literal["trial", "teacher"]

#: Where the charts of MLflow group a row's value: the part before the slash is the section.
METRICS = {
    "train_loss": "train/loss",
    "ce_loss": "train/ce_loss",
    "kd_loss": "train/kd_loss",
    "other_loss": "train/other_loss",
    "train_top1": "train/top1",
    "val_loss": "val/loss",
    "val_top1": "val/top1",
    "val_top5": "val/top5",
    "test_loss": "test/loss",
    "test_top1": "test/top1",
    "test_top5": "test/top5",
    "temperature": "temperature/mean",
    "temperature_min": "temperature/min",
    "temperature_max": "temperature/max",
    "temperature_std": "temperature/std",
    "lambda": "curriculum/lambda",
    "lr": "train/lr",
    "epoch_seconds": "cost/epoch_seconds",
    "eval_seconds": "cost/eval_seconds",
    "teacher_seconds": "cost/teacher_seconds",
    "device_seconds": "cost/device_seconds",
    "images_per_second": "speed/images_per_second",
    "tflop": "cost/tflop",
    "eval_tflop": "cost/eval_tflop",
    "teacher_tflop": "cost/teacher_tflop",
}

#: Every section that a projection writes to; what people log elsewhere is theirs and is left alone.
SECTIONS = frozenset(
    {"train", "val", "test", "temperature", "curriculum", "cost", "speed", "other", "selected", "total"}
)

_PREFIXED = re.compile(r"(train|val|test|temperature)_(.+)")
_SUFFIXED = (("_per_second", "speed"), ("_seconds", "cost"), ("_tflop", "cost"))
_LONGEST_NAME, _LONGEST_PARAM, _LONGEST_TAG = 200, 6000, 8000

#: The tag that says how much of a record a run holds, see ``Image.marks``.
SENT = "ctkd.sent"


class Point(NamedTuple):
    """One value of one metric. MLflow takes the same point twice as one, but any difference makes a second point."""

    key: str
    value: float
    timestamp: int
    """Milliseconds since 1970."""
    step: int
    """The epoch."""


def metric_name(name: str) -> str:
    """The MLflow metric of a row's value.

    Every name has one: one that is not in ``METRICS`` goes by its beginning or end, or to ``other``, and never to a
    metric of ``METRICS``. MLflow refuses a whole batch for one illegal key, so characters outside of
    ``[A-Za-z0-9_-]`` become ``_``.
    """
    if name in METRICS:
        return METRICS[name]
    legal = re.sub(r"[^A-Za-z0-9_-]", "_", name)[:_LONGEST_NAME] or "_"
    if match := _PREFIXED.fullmatch(legal):
        candidate = f"{match[1]}/{match[2]}"
    else:
        candidate = next((f"{section}/{legal}" for end, section in _SUFFIXED if legal.endswith(end)), f"other/{legal}")
    return f"other/{legal}" if candidate in METRICS.values() else candidate


def is_ours(key: str) -> bool:
    """Whether a metric of a run is the projection's, not one that somebody logged beside it."""
    section, slash, _ = key.partition("/")
    return bool(slash) and section in SECTIONS


@dataclasses.dataclass(frozen=True)
class Image:
    """What one MLflow run should hold."""

    trial: str
    """The trial's id, and the run's name."""
    role: Role
    fingerprint: str
    params: dict[str, str]
    tags: dict[str, str]
    """Without ``SENT``."""
    status: Literal["RUNNING", "FINISHED", "FAILED"]
    start_ms: int | None
    end_ms: int | None
    """Both are None where the record has no time; then MLflow's clock is taken, and not compared again."""
    groups: tuple[tuple[Point, ...], ...]
    """What is sent whole: one group per epoch and, once the trial has ended, one of its results."""
    epochs: int
    """How many groups are epochs."""
    marks: tuple[str, ...]
    """``marks[n]`` stands for exactly the first n groups: their number and a digest of every bit of them."""

    def latest(self, groups: int) -> dict[str, float]:
        """The last value of each metric in the first groups: what MLflow keeps beside a run's history."""
        return {point.key: point.value for group in self.groups[:groups] for point in group}

    def held(self, mark: str | None) -> int | None:
        """How many groups a mark stands for; None where it stands for something else than this record."""
        return self.marks.index(mark) if mark in self.marks else None


def image_of(manifest: Manifest, rows: Sequence[Row], study: str, uid: str, role: Role) -> Image:
    """The image of a trial's record.

    Args:
        manifest: of the newest complete checkpoint.
        rows: that checkpoint's history.
        study, uid: the study it is shown in; a teacher may have been trained by another one.
        role: whether it is a trial of the study or its teacher.
    """
    groups = [tuple(_row_points(row)) for row in rows]
    last = _last(rows)
    if manifest.status != "running" and last is not None:
        groups.append(tuple(_result_points(manifest, *last)))
    ended = manifest.status != "running"
    starts: list[int | None] = [start.time_ms for start in manifest.starts]
    starts = starts or [int(row["time_ms"] or 0) for row in rows] or [None]
    return Image(
        trial=manifest.trial,
        role=role,
        fingerprint=manifest.fingerprint,
        params=_params(manifest, role),
        tags=_tags(manifest, study, uid, role),
        status={"running": "RUNNING", "finished": "FINISHED", "failed": "FAILED"}[manifest.status],  # type: ignore[arg-type]
        start_ms=starts[0],
        end_ms=(last[0] if last else starts[-1]) if ended else None,
        groups=tuple(groups),
        epochs=len(rows),
        marks=tuple(_marks(groups)),
    )


def _last(rows: Sequence[Row]) -> tuple[int, int] | None:
    """Time stamp and epoch of the last row."""
    return (int(rows[-1]["time_ms"] or 0), int(rows[-1]["epoch"] or 0)) if rows else None


def _row_points(row: Row) -> Iterator[Point]:
    timestamp, epoch = int(row["time_ms"] or 0), int(row["epoch"] or 0)
    values = {metric_name(name): value for name, value in row.items() if name not in ("epoch", "time_ms")}
    return _points(values, timestamp, epoch)


def _result_points(manifest: Manifest, timestamp: int, epoch: int) -> Iterator[Point]:
    # The last row's time stamp: a result that is sent again must be the same point.
    values: dict[str, float | int | None] = {}
    for name, value in manifest.summary.model_dump().items():
        if name == "selected_epoch":
            values["selected/epoch"] = value
        else:
            section = "total" if name.endswith(("_seconds", "tflop")) else "selected"
            values[f"{section}/{name}"] = value
    return _points(values, timestamp, epoch)


def _points(values: dict[str, float | int | None], timestamp: int, step: int) -> Iterator[Point]:
    for key, value in values.items():
        if isinstance(value, int | float) and math.isfinite(value):
            yield Point(key, float(value), timestamp, step)


def _marks(groups: Sequence[Sequence[Point]]) -> Iterator[str]:
    digest = hashlib.sha256()
    yield f"0:{digest.hexdigest()[:32]}"
    for number, group in enumerate(groups, 1):
        # repr of a float is exact.
        digest.update("".join(f"{key} {value!r} {at} {step}\n" for key, value, at, step in group).encode())
        yield f"{number}:{digest.hexdigest()[:32]}"


def _params(manifest: Manifest, role: Role) -> dict[str, str]:
    """The configuration's leaves by dotted key, and what the charts group by."""
    leaves = {re.sub(r"[^A-Za-z0-9_.\- ]", "_", key): value for key, value in _leaves(manifest.config, "")}
    plain = {"arm": manifest.arm or role, "setting": manifest.setting or role, "seed": manifest.seed}
    return {key[:_LONGEST_NAME]: _text(value)[:_LONGEST_PARAM] for key, value in {**leaves, **plain}.items()}


def _leaves(value: Any, at: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, entry in value.items():
            yield from _leaves(entry, f"{at}.{key}" if at else str(key))
    elif value is not None:
        yield at, value


def _tags(manifest: Manifest, study: str, uid: str, role: Role) -> dict[str, str]:
    grouped = {"arm": manifest.arm or role, "seed": str(manifest.seed), "setting": manifest.setting or role}
    tags = {
        "ctkd.uid": uid,
        "ctkd.study": study,
        "ctkd.trial_id": manifest.trial,
        "ctkd.role": role,
        "ctkd.fingerprint": manifest.fingerprint,
        "ctkd.status": manifest.status,
        **{f"ctkd.{key}": value for key, value in grouped.items()},
        # Charts group by tags under their whole names, and these three are what people group by.
        **grouped,
    }
    if manifest.reason is not None:
        tags["ctkd.reason"] = manifest.reason
    if manifest.machine:
        tags["ctkd.machine"] = json.dumps(manifest.machine, sort_keys=True, default=str)
    # PostgreSQL takes no NUL, and what MLflow itself cuts without a word would differ at every comparison.
    return {key: value.replace("\0", "")[:_LONGEST_TAG] for key, value in tags.items()}


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value.replace("\0", "")
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # T = 4 and T = 4.0 are one temperature
    return json.dumps(value, separators=(",", ":"))
