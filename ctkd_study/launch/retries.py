"""How often a trial is tried again when its worker dies or raises."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class RetryPolicy:
    """How often a trial is tried again in one launch before it counts as failed."""

    lost_workers: int = 3
    """How many times its worker may die, or raise."""
