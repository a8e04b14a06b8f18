"""The base of every options class: strict, frozen, and without unknown keys."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Strict

#: A tuple that may be written as a list; its items stay strict.
IntTuple = Annotated[tuple[int, ...], Strict(False)]


class Options(BaseModel):
    """Options of one part: what a user may write, with its meaning, unit and range.

    Values are taken as written: ``"4"`` is no number, ``true`` is no integer, an unknown key is an error,
    and infinities are refused. Subclasses document each field by ``Field(description=...)``, which the JSON
    Schema of the study file shows to editors.
    """

    model_config = ConfigDict(
        strict=True, frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=(), hide_input_in_errors=True
    )

    def plain(self) -> dict[str, Any]:
        """The options as plain JSON values, defaults filled in."""
        return self.model_dump(mode="json")
