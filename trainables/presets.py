"""Recipes from the literature, by name: ``recipe: {preset: cifar100}``.

A preset is an abbreviation of its keys. It is expanded before anything else happens, so fingerprints, records and
merged arms contain the keys only. A key written beside ``preset`` replaces that of the preset as a whole.
"""

import copy
import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any


@dataclasses.dataclass(frozen=True)
class Preset:
    """A published recipe."""

    source: str
    """The publication."""
    recipe: Mapping[str, Any]
    """All keys of a ``Recipe``, as in a study file."""


_CIFAR100: Mapping[str, Any] = MappingProxyType(
    {
        "epochs": 240,
        "batch_size": 64,
        "lr": 0.05,
        "momentum": 0.9,
        "weight_decay": 5e-4,
        "schedule": {"kind": "step", "milestones": [150, 180, 210], "gamma": 0.1},
    }
)

PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        "cifar100": Preset(
            "CTKD (Li et al., AAAI 2023, arXiv 2211.16231), section 4; it is that of CRD (Tian et al., ICLR 2020), "
            "which the distillation literature shares",
            _CIFAR100,
        ),
        "cifar100_mobile": Preset(
            "the same, for students of the MobileNetV2 and ShuffleNet families",
            MappingProxyType({**_CIFAR100, "lr": 0.01}),
        ),
        "imagenet": Preset(
            "CTKD (Li et al., AAAI 2023, arXiv 2211.16231), section 4, ResNet34 to ResNet18",
            MappingProxyType(
                {
                    "epochs": 120,
                    "batch_size": 256,
                    "lr": 0.1,
                    "momentum": 0.9,
                    "weight_decay": 1e-4,
                    "schedule": {"kind": "step", "milestones": [30, 60, 90], "gamma": 0.1},
                }
            ),
        ),
    }
)


def expanded(recipe: Any) -> Any:
    """Return a recipe with its preset expanded.

    Anything that is not a mapping, or names an unknown preset, is returned as it is; validation reports what is wrong.
    """
    if not isinstance(recipe, dict) or "preset" not in recipe:
        return recipe
    name, own = recipe["preset"], {key: value for key, value in recipe.items() if key != "preset"}
    if name is None:
        return own
    if not isinstance(name, str) or name not in PRESETS:
        return recipe
    return {**copy.deepcopy(dict(PRESETS[name].recipe)), **own}
