"""A study platform for Curriculum Temperature Knowledge Distillation: from a question to an answer.

``from ctkd_study import Study, compare_studies, grid`` is the Python interface; what lies in submodules may change.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ctkd_study.errors import SpecError, StudyError
    from ctkd_study.spec import choice, grid, loguniform, uniform
    from ctkd_study.study import Study, compare_studies

__all__ = ["SpecError", "Study", "StudyError", "choice", "compare_studies", "grid", "loguniform", "uniform"]


def __getattr__(name: str) -> Any:
    # Loaded when asked for: the command line answers --help without torch.
    from importlib import import_module

    homes = dict.fromkeys(("SpecError", "StudyError"), "errors")
    homes |= dict.fromkeys(("choice", "grid", "loguniform", "uniform"), "spec")
    homes |= dict.fromkeys(("Study", "compare_studies"), "study")
    if name not in homes:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{homes[name]}"), name)
