"""Which faults pass and which come again, and how they are told."""

import json
import pickle
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from trainables import faults
from trainables.data import DATASETS
from trainables.inputs import DownloadFailed, MissingInput
from trainables.record import Damaged, Superseded
from trainables.storage import NotAFile


@pytest.mark.parametrize(
    ("error", "kind", "ends_process"),
    [
        (OSError(28, "No space left on device"), "infrastructure", False),
        (FileNotFoundError(), "infrastructure", False),
        (PermissionError(), "infrastructure", False),
        (TimeoutError(), "infrastructure", False),
        (ConnectionError(), "infrastructure", False),
        (MemoryError(), "infrastructure", True),
        (torch.OutOfMemoryError(), "infrastructure", True),
        (torch.AcceleratorError("CUDA error"), "infrastructure", True),
        (faults.Interrupted(), "infrastructure", False),
        (Superseded(), "infrastructure", False),
        (Damaged(), "infrastructure", False),
        (RuntimeError("CUDA error: no kernel image"), "program", False),
        (ValueError(), "program", False),
        (KeyError("x"), "program", False),
        (RecursionError(), "program", False),
        (pickle.UnpicklingError(), "program", False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_kinds_of_faults(error: Exception, kind: str, ends_process: bool) -> None:
    assert (faults.kind(error), faults.ends_process(error)) == (kind, ends_process)


def test_what_lies_there_wrongly_does_not_pass_though_it_is_no_fault_of_the_trial_s() -> None:
    for error in (MissingInput("gone"), NotAFile("a pipe")):
        assert (faults.kind(error), faults.may_pass(error)) == ("infrastructure", False)
    for other in (OSError(5, "EIO"), FileNotFoundError(), DownloadFailed(), MemoryError()):
        assert faults.may_pass(other)
    assert not faults.may_pass(ValueError())


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ValueError("one\n  two\tthree "), "ValueError: one two three"),
        (ValueError(), "ValueError"),
        (KeyError("a"), "KeyError: 'a'"),
        (TypeError("<T at 0x7f00deadbeef> and <T at 0x1>"), "TypeError: <T at 0x...> and <T at 0x...>"),
        (OSError(28, "No space left on device", "/a/b"), "OSError: [Errno 28] No space left on device: '/a/b'"),
    ],
)
def test_words_are_equal_for_equal_faults(error: Exception, words: str) -> None:
    assert faults.words(error) == words


def caught(act: Any) -> Exception:
    try:
        act()
    except Exception as error:
        return error
    raise AssertionError


def module_at(path: Path, text: str) -> types.ModuleType:
    """A module of somebody else's that lies in a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    module = types.ModuleType(path.stem)
    exec(compile(text, str(path), "exec"), module.__dict__)
    return module


def module_at_standard_library(text: str) -> types.ModuleType:
    """A module that counts as one of the language's own."""
    module = types.ModuleType("threading")
    exec(compile(text, "/usr/lib/python3.11/threading.py", "exec"), module.__dict__)
    return module


def test_the_place_is_where_the_program_raised_it() -> None:
    def raising() -> None:
        raise ValueError("no")

    line = raising.__code__.co_firstlineno + 1
    assert faults.described(caught(raising)) == f"ValueError: no ({__file__}:{line} in raising)"


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda: np.zeros(2) @ np.zeros(3), "ValueError: matmul: "),
        (lambda: torch.zeros(2) @ torch.zeros(3), "RuntimeError: "),
        (lambda: json.loads("{"), "JSONDecodeError: "),
        (lambda: torch.nn.Linear(2, 2)(torch.zeros(1, 3)), "RuntimeError: mat1 and mat2"),
    ],
    ids=["numpy", "torch", "json", "a layer"],
)
def test_what_a_library_raises_was_caused_by_who_called_it(act: Any, words: str) -> None:
    described = faults.described(caught(act))
    assert described.startswith(words)
    assert f"({__file__}:{act.__code__.co_firstlineno} in <lambda>)" in described


def test_a_plug_in_is_named_rather_than_our_code_around_it(tmp_path: Path) -> None:
    """Also one that is installed, and calls our code, which finds the fault."""
    plug_in = module_at(
        tmp_path / "lib" / "python3.11" / "site-packages" / "rings" / "data.py",
        "def load(registry):\n    return registry.parse({'name': 'nothing'})\n",
    )
    described = faults.described(caught(lambda: plug_in.load(DATASETS)))
    assert described.endswith("site-packages/rings/data.py:2 in load)")


def test_without_a_plug_in_our_own_line_is_named() -> None:
    text = "from trainables import checksums\ntry:\n    checksums.unsealed(b'[]')\nexcept ValueError as fault:\n"
    library = module_at_standard_library(text + "    found = fault\n")
    assert faults.described(library.found).startswith("ValueError: it is no JSON object (")
    assert "trainables/checksums.py" in faults.described(library.found)


def test_an_error_that_was_never_raised_has_no_place() -> None:
    assert faults.described(ValueError("no")) == "ValueError: no"


def test_the_full_text_is_the_traceback_with_what_caused_it() -> None:
    def raising() -> None:
        try:
            raise KeyError("first")
        except KeyError as fault:
            raise ValueError("second") from fault

    text = faults.full(caught(raising))
    assert text.startswith("Traceback (most recent call last):\n")
    assert "KeyError: 'first'" in text
    assert text.endswith("ValueError: second\n")
