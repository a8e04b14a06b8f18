"""The trials' records, as typed results."""

import dataclasses

from trainables.record import Manifest, Row, Status

_OF_SUMMARY = {"val_loss", "val_top1", "test_loss", "test_top1", "test_top5", "test_ece", "device_seconds", "tflop"}


@dataclasses.dataclass(frozen=True)
class TrialResult:
    """One trial that has a record. Accuracies in percent, seconds of wall time, TFLOP of 10^12 operations."""

    id: str
    arm: str
    setting: str
    """The setting as people read it, e.g. ``T=4``; unique within its arm."""
    seed: int
    status: Status
    reason: str | None
    """Why it failed."""
    val_loss: float | None
    """As the next three: at the epoch that validation selects (in the paper's protocol: the test set)."""
    val_top1: float | None
    test_loss: float | None
    test_top1: float | None
    device_seconds: float
    """Headline cost: training, without teacher and evaluation, times the share of the device."""
    tflop: float
    apart_device_seconds: float
    """The teacher's work in this trial, and evaluation, times the share of the device."""
    apart_tflop: float
    test_top5: float | None = None
    """As ``test_ece``: at the same epoch."""
    test_ece: float | None = None
    """Expected calibration error, percent."""
    wasted_device_seconds: float = 0.0
    """Work lost to faults; no part of ``device_seconds``."""
    suggestion: int | None = None
    """Its number in the search of its seed, from 1; None in a grid."""
    remarks: tuple[str, ...] = ()
    """What one should know who reads the numbers."""

    @classmethod
    def from_manifest(cls, manifest: Manifest, wasted_device_seconds: float = 0.0) -> "TrialResult":
        """The result that a record holds."""
        summary = manifest.summary
        share = summary.device_seconds / summary.epoch_seconds if summary.epoch_seconds else 1.0
        return cls(
            **manifest.model_dump(include={"arm", "setting", "seed", "suggestion", "status", "reason", "remarks"}),
            **summary.model_dump(include=_OF_SUMMARY),
            id=manifest.trial,
            apart_device_seconds=(summary.teacher_seconds + summary.eval_seconds) * share,
            apart_tflop=summary.teacher_tflop + summary.eval_tflop,
            wasted_device_seconds=wasted_device_seconds,
        )


@dataclasses.dataclass(frozen=True)
class History:
    """How a trial went, epoch by epoch."""

    arm: str
    setting: str
    seed: int
    rows: tuple[Row, ...]
    bounds: tuple[float, float] | None = None
    """Between which a learned temperature lies."""
