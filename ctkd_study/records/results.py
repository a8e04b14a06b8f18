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
    teacher_device_seconds: float
    """The teacher's work in this trial."""
    teacher_tflop: float
    eval_device_seconds: float
    """Evaluation, on validation and test."""
    eval_tflop: float
    selecting: float
    """Part of the evaluated examples by which epochs and settings are selected: all but the test examples."""
    test_top5: float | None = None
    """As ``test_ece``: at the same epoch."""
    test_ece: float | None = None
    """Expected calibration error, percent."""
    wasted_device_seconds: float = 0.0
    """Work lost to faults; no part of ``device_seconds``."""
    wall_seconds: float = 0.0
    """Of training, the teacher's work and evaluation on validation."""
    suggestion: int | None = None
    """Its number in the search of its seed, from 1; None in a grid."""
    remarks: tuple[str, ...] = ()
    """What one should know who reads the numbers."""

    @property
    def apart_device_seconds(self) -> float:
        """What a practitioner pays besides the headline: the teacher's work in this trial, evaluation on validation."""
        return self.teacher_device_seconds + self.selecting * self.eval_device_seconds

    @property
    def apart_tflop(self) -> float:
        """The same in arithmetic."""
        return self.teacher_tflop + self.selecting * self.eval_tflop

    @property
    def all_device_seconds(self) -> float:
        """All work in this trial: training, the teacher's work, evaluation on validation and test."""
        return self.device_seconds + self.teacher_device_seconds + self.eval_device_seconds

    @classmethod
    def from_manifest(cls, manifest: Manifest, wasted_device_seconds: float = 0.0) -> "TrialResult":
        """The result that a record holds."""
        summary = manifest.summary
        share = summary.device_seconds / summary.epoch_seconds if summary.epoch_seconds else 1.0
        validation, test = int(manifest.config.get("data", {}).get("validation", 0)), manifest.test_examples or 0
        selecting = validation / (validation + test) if validation else 1.0  # without validation, the test selects
        return cls(
            **manifest.model_dump(include={"arm", "setting", "seed", "suggestion", "status", "reason", "remarks"}),
            **summary.model_dump(include=_OF_SUMMARY),
            id=manifest.trial,
            teacher_device_seconds=summary.teacher_seconds * share,
            teacher_tflop=summary.teacher_tflop,
            eval_device_seconds=summary.eval_seconds * share,
            eval_tflop=summary.eval_tflop,
            selecting=selecting,
            wall_seconds=summary.epoch_seconds + summary.teacher_seconds + selecting * summary.eval_seconds,
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
