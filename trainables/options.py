"""The base of all options classes: strict, frozen, without unknown keys."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, Strict, ValidationInfo

#: A tuple of integers that may be given as a list.
IntTuple = Annotated[tuple[int, ...], Strict(False)]


def _resolved(path: str, info: ValidationInfo) -> str:
    if "\0" in path:
        raise ValueError("a path must not hold a null character")
    folder = (info.context or {}).get("folder")
    if folder is None:
        return path
    try:
        return str(Path(folder) / Path(path).expanduser())
    except RuntimeError:
        raise ValueError(f"{path!r} begins with the home folder of an unknown user") from None


#: A file or folder on this machine. With ``context={"folder": ...}``, validation resolves a relative path against that
#: folder, because paths in a study file are relative to the file. Without a context the path is kept as written.
LocalPath = Annotated[str, Field(min_length=1), AfterValidator(_resolved)]


class Options(BaseModel):
    """Options of one part, as a user writes them, each with meaning, unit and range.

    Values are not converted: ``"4"`` is not a number, ``true`` is not an integer. Unknown keys and infinities are
    errors. Subclasses describe each field with ``Field(description=...)``, which editors show from the JSON Schema.
    """

    model_config = ConfigDict(
        strict=True,
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        protected_namespaces=(),
        hide_input_in_errors=True,
    )

    def plain(self) -> dict[str, Any]:
        """Return the options as plain JSON values, with defaults filled in."""
        return self.model_dump(mode="json")
