"""The base of every options class: strict, frozen, and without unknown keys."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, Strict, ValidationInfo

#: A tuple that may be written as a list; its items stay strict.
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


#: A file or folder on this machine. Validated with ``context={"folder": ...}``, a relative path is taken from there: a
#: study file's paths are relative to the file. Without that context it stays as written.
LocalPath = Annotated[str, Field(min_length=1), AfterValidator(_resolved)]


class Options(BaseModel):
    """Options of one part: what a user may write, with its meaning, unit and range.

    Values are taken as written: ``"4"`` is no number, ``true`` is no integer, an unknown key is an error,
    and infinities are refused. Subclasses document each field by ``Field(description=...)``, which the JSON
    Schema of the study file shows to editors.
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
        """The options as plain JSON values, defaults filled in."""
        return self.model_dump(mode="json")
