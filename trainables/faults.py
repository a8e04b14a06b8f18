"""Kinds of faults: those of the infrastructure pass, those of the program come again.

A full disk, a lost connection or a lack of memory says nothing about a trial: it is tried again, and never recorded as
failed. An exception of the program is a trial's own fault if it comes twice, in the same epoch, with the same words.
"""

import re
import traceback
from pathlib import Path
from typing import Literal

import torch

from trainables.inputs import MissingInput
from trainables.record import Damaged, Superseded
from trainables.storage import NotAFile

Kind = Literal["infrastructure", "program"]

_HERE = Path(__file__).parent
_OURS = (_HERE, _HERE.with_name("ctkd_study"))
#: Files of the language and of large libraries: an error that surfaces there was caused by who called them.
_LIBRARIES = re.compile(
    r"^<frozen |/lib/python3[^/]*/(?!(site|dist)-packages/)"
    r"|/(site|dist)-packages/(numpy|pydantic|ray|torch|torchvision)/"
)


class Interrupted(Exception):
    """A piece of work was ended by a fault that may pass; trying again goes on from what it saved."""


def kind(error: BaseException) -> Kind:
    """Return the kind of fault that an exception shows."""
    passing = (OSError, MemoryError, Interrupted, Superseded, Damaged)
    return "infrastructure" if isinstance(error, passing) or ends_process(error) else "program"


def may_pass(error: BaseException) -> bool:
    """Whether trying again can help: not where a file of the user's is missing, or a link lies in a file's place."""
    return kind(error) == "infrastructure" and not isinstance(error, (MissingInput, NotAFile))


def ends_process(error: BaseException) -> bool:
    """Whether the process can't be trusted after it: an error of the GPU stays, and memory may not come back."""
    return isinstance(error, (MemoryError, torch.OutOfMemoryError, torch.AcceleratorError))


def words(error: BaseException) -> str:
    """Return type and message in one line; equal for equal faults, so without addresses of objects."""
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return re.sub(r"\b0x[0-9a-f]+", "0x...", " ".join(text.split()))


def described(error: BaseException) -> str:
    """Return type, message, and file and line of the code that caused it: a plug-in's, where one was running."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not _LIBRARIES.search(frame.filename)]
    found = ([frame for frame in own if not _is_ours(frame)] or own or list(frames))[-1:]
    return words(error) + "".join(f" ({frame.filename}:{frame.lineno} in {frame.name})" for frame in found)


def is_ours(error: BaseException) -> bool:
    """Whether only this project, and libraries that it called, took part in an exception: no plug-in did."""
    frames = traceback.extract_tb(error.__traceback__)
    return all(_is_ours(frame) or _LIBRARIES.search(frame.filename) for frame in frames)


def _is_ours(frame: traceback.FrameSummary) -> bool:
    return any(Path(frame.filename).is_relative_to(folder) for folder in _OURS)


def full(error: BaseException) -> str:
    """Return the traceback."""
    return "".join(traceback.format_exception(error))
