"""Small trials and studies on real data, for tests."""

from pathlib import Path
from typing import Any

from trainables.config import TrialConfig

RECIPE: dict[str, Any] = {"epochs": 3, "batch_size": 32, "lr": 0.05, "schedule": {"kind": "cosine"}}
STUDENT: dict[str, Any] = {"model": "resnet8", "widths": [4, 4, 8, 16]}
TEACHER: dict[str, Any] = {**STUDENT, "recipe": {**RECIPE, "epochs": 2}}

TEMPERATURES: dict[str, dict[str, Any]] = {
    "fixed": {"temperature": {"kind": "fixed", "value": 4.0}},
    "global": {"temperature": {"kind": "global"}},
    "instance": {"temperature": {"kind": "instance"}},
    "alone": {"distiller": {"name": "none"}, "teacher": None, "teacher_source": None},
}


def trial(folder: Path, seed: int = 0, arm: str = "fixed", **changes: Any) -> TrialConfig:
    """A trial on digits that takes a fraction of a second; teachers and banks lie in the folder."""
    config = {
        "seed": seed,
        "data": {"name": "digits", "validation": 100, "train_examples": 100},
        "teacher": TEACHER,
        "teacher_source": "bank32",
        "student": STUDENT,
        "recipe": RECIPE,
        "distiller": {"name": "kd"},
        "run": {"teachers": str(folder), "trial": f"{arm}-s{seed}", "arm": arm, "checkpoint": {"epochs": 1}},
        **TEMPERATURES[arm],
        **changes,
    }
    return TrialConfig.model_validate(config)
