"""When a trial that a fault has interrupted is tried again."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class RetryPolicy:
    """Tries again after growing pauses; every checkpoint that a trial saves in between makes it start over."""

    tries: int = 10
    """How many times in a row a trial may be interrupted without getting further; then it stays unfinished."""
    first_pause: float = 1.0
    """Seconds until the second try; each further pause is twice as long."""
    longest_pause: float = 60.0

    def pause(self, interruptions: int) -> float | None:
        """Return the seconds until the next try; None if there is none.

        Args:
            interruptions: how many there have been since the trial last got further.
        """
        if interruptions >= self.tries:
            return None
        return min(self.first_pause * 2.0 ** (interruptions - 1), self.longest_pause)
