"""Which nodes of a cluster keep failing, so that trials are tried again elsewhere."""

from collections import Counter
from collections.abc import Callable, Collection

_FAULTS = 3  # in a row, with no step done there in between


class NodeHealth:
    """Counts the faults of nodes.

    Args:
        alive: ids of the nodes that are there now.
    """

    def __init__(self, alive: Callable[[], Collection[str]]) -> None:
        self._alive = alive
        self._faults: Counter[str] = Counter()

    def worked(self, node: str) -> None:
        """A trial did a step there."""
        self._faults.pop(node, None)

    def failed(self, node: str) -> None:
        """A trial was interrupted there."""
        self._faults[node] += 1

    def avoided(self) -> tuple[str, ...]:
        """Return the nodes that keep failing; none where no other would be left."""
        bad = {node for node, faults in self._faults.items() if faults >= _FAULTS}
        return tuple(sorted(bad)) if bad and set(self._alive()) - bad else ()
