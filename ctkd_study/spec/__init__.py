"""A study as types: from a study file, or a Python mapping, to a checked ``StudySpec`` with its arms and settings.

Takes the text of a study file with its overrides, or plain values. Gives a ``StudySpec`` that is valid as a whole, or a
``SpecError`` that names every fault with its line.
"""

from ctkd_study.spec.arms import Arm, PlannedTrial, Setting
from ctkd_study.spec.published import Published
from ctkd_study.spec.reading import choice, from_mapping, grid, load, loguniform, uniform
from ctkd_study.spec.schema import json_schema
from ctkd_study.spec.study_spec import GpuShare, MetricName, StudySpec
from ctkd_study.spec.study_warnings import selection_warning, warnings
from ctkd_study.spec.until import UntilOptions
from ctkd_study.spec.values import NAME, leaves, text
from ctkd_study.spec.vary import FEWEST_GROUPS, Vary

__all__ = ["FEWEST_GROUPS", "NAME", "Arm", "GpuShare", "MetricName", "PlannedTrial", "Published", "Setting"]
__all__ += ["StudySpec", "UntilOptions", "Vary", "choice", "from_mapping", "grid", "json_schema", "leaves"]
__all__ += ["load", "loguniform", "selection_warning", "text", "uniform", "warnings"]
