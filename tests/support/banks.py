"""Trials and studies of digits that are seen in several views, so that a bank pays."""

from pathlib import Path
from typing import Any

from tests.support import settings
from trainables.config import TrialConfig

CROP = {"name": "digits", "validation": 100, "train_examples": 40, "views": {"kind": "crop", "padding": 2}}

BASE: dict[str, Any] = {
    "name": "banked",
    "data": CROP,
    "teacher": settings.TEACHER,
    "student": settings.STUDENT,
    "recipe": settings.RECIPE,
    "distiller": {"name": "kd"},
    "seeds": 2,
    "margin": 1.0,
    "arms": {
        "two": {"temperature": {"kind": "fixed", "value": 2}},
        "pkt": {"temperature": {"kind": "fixed", "value": 4}, "distiller": {"name": "pkt"}},
        "alone": {"distiller": {"name": "none"}},
    },
}


def banked(folder: Path, seed: int = 0, epochs: int = 3, **changes: Any) -> TrialConfig:
    recipe = {**settings.RECIPE, "epochs": epochs}
    return settings.trial(folder, seed, **{"data": CROP, "teacher_source": "bank32", "recipe": recipe, **changes})
