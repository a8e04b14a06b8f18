"""Every exception of the two packages passes from one process to another with its text."""

import importlib
import pickle
import pkgutil
from collections.abc import Callable, Iterator

import pytest

import ctkd_study
import trainables
from ctkd_study.errors import Fault, Place, SpecError


def exceptions() -> Iterator[type[BaseException]]:
    """The exception classes that modules of the packages define."""
    seen = set()
    for package in (ctkd_study, trainables):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            module = importlib.import_module(found.name)
            for value in vars(module).values():
                if isinstance(value, type) and issubclass(value, BaseException) and value.__module__ == found.name:
                    seen.add(value)
    yield from sorted(seen, key=lambda kind: f"{kind.__module__}.{kind.__qualname__}")


FAULT = Fault("arms.grid", 3, "must be a mapping, but got 3", Place("study.yaml", 7))
#: What is made of something else than a text.
MADE: dict[type[BaseException], Callable[[], BaseException]] = {SpecError: lambda: SpecError([FAULT, FAULT])}


@pytest.mark.parametrize("kind", [*exceptions()], ids=lambda kind: kind.__name__)
def test_an_exception_is_the_same_in_another_process(kind: type[BaseException]) -> None:
    error = MADE.get(kind, lambda: kind("one thing; and another"))()
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), vars(copy)) == (type(error), str(error), vars(error))
    assert str(copy)


def test_the_walk_finds_them() -> None:
    names = {kind.__name__ for kind in exceptions()}
    assert {"SpecError", "TeacherError", "Interrupted", "Superseded", "Held", "NotAFile", "PluginError"} <= names
