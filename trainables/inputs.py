"""What a trial reads besides its configuration: its data and its teacher's weights, told apart by content.

The SHA-256 of both is in the record of every trial that was trained on them. A trial goes on only with the same
content, and the trials of one study all have the same.
"""

import contextlib
import dataclasses
from collections.abc import Iterator


class ChangedInputs(ValueError):
    """The data or the teacher is not what it was. The text says what to do."""


class DownloadFailed(FileNotFoundError):
    """A data set is not on this machine, and the network does not give it; it may later."""


class MissingInput(FileNotFoundError):
    """A file of the user's own is not on this machine. Trying again does not help."""


@contextlib.contextmanager
def read_from_user() -> Iterator[None]:
    """Tell a missing file of the user's from one of a storage that is sick.

    Raises:
        MissingInput: the block raised FileNotFoundError, and not because a download failed.
    """
    try:
        yield
    except DownloadFailed:
        raise
    except FileNotFoundError as fault:
        raise MissingInput(str(fault)).with_traceback(fault.__traceback__) from None


@dataclasses.dataclass(frozen=True)
class Inputs:
    """SHA-256 of what trials read, 64 hex digits each; None where it is unknown, or nothing is read."""

    data: str | None = None
    """Of images, labels and split."""
    teacher: str | None = None
    """Of the file of the teacher's weights."""

    def differences(self, now: "Inputs") -> list[str]:
        """Say what is known on both sides and differs, one line each, this side first."""
        pairs = (("data (content)", self.data, now.data), ("teacher (weights)", self.teacher, now.teacher))
        return [
            f"{name}: {short(old)} -> {short(new)}"
            for name, old, new in pairs
            if old is not None and new is not None and old != new
        ]

    def or_else(self, other: "Inputs") -> "Inputs":
        """Return these inputs; what is unknown of them is taken from the others."""
        return Inputs(self.data or other.data, self.teacher or other.teacher)

    def require(self, now: "Inputs", since: str) -> None:
        """Refuse inputs that differ from these.

        Args:
            now: what there is now.
            since: what was done with these, in words.

        Raises:
            ChangedInputs: something differs.
        """
        if lines := self.differences(now):
            raise ChangedInputs(
                f"the data set or the teacher has changed since {since}: {'; '.join(lines)}. Put back what was there "
                "and run again with --retry, or start anew with --fresh"
            )


def short(sha256: str) -> str:
    """Return the first digits of a hash, for people."""
    return sha256[:12]
