"""The base class of networks from other libraries, and the check of their names."""

# B batch, C classes, D width of the pooled vector

import difflib
from collections.abc import Iterable
from typing import Any

from pydantic_core import PydanticCustomError
from torch import Tensor, nn

from trainables.models.base import Network
from trainables.models.pointwise import make_safe

_KEY = "body."


class ForeignNetwork(Network):
    """A network of another library, with that library's state-dict keys, so that published weights load unchanged."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        make_safe(body)
        self.body = body
        self.register_state_dict_post_hook(_drop_key)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_pre_hook(_add_key)  # type: ignore[no-untyped-call]


def _drop_key(module: nn.Module, state: dict[str, Tensor], prefix: str, *_: Any) -> None:
    # In place and for every key, so that the order of the keys is kept.
    for key in [key for key in state if key.startswith(prefix)]:
        state[prefix + key.removeprefix(prefix + _KEY)] = state.pop(key)


def _add_key(module: nn.Module, state: dict[str, Tensor], prefix: str, *_: Any) -> None:
    for key in [key for key in state if key.startswith(prefix)]:
        state[prefix + _KEY + key.removeprefix(prefix)] = state.pop(key)


def require_known(library: str, name: str, known: Iterable[str]) -> None:
    """Refuse a name that the library does not have, and suggest a similar one.

    Raises:
        PydanticCustomError: the name is unknown.
    """
    names = sorted(known)
    if name in names:
        return
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    hint = f"nearest: {', '.join(near)}" if near else f"such as {', '.join(names[:8])}"
    raise PydanticCustomError(
        "unknown_network", "must name a network of {library} ({hint})", {"library": library, "hint": hint}
    )
