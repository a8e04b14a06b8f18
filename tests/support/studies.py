"""A small study to be changed, and what to expect of its faults."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ctkd_study.errors import Fault
from ctkd_study.spec import Setting, StudySpec, document, load

#: Line, key, and a part of the message of each fault.
Expected = Sequence[tuple[int | None, str, str]]

LINES = """\
name: small
data: {name: digits, validation: 100}
teacher: {model: resnet8, recipe: {epochs: 2}}
student: {model: resnet8}
recipe: {epochs: 3}
distiller: {name: kd}
seeds: 3
margin: 5
arms:
  four: {temperature: {kind: fixed, value: 4}}""".splitlines()


def file_with(changes: dict[int, str] | None = None) -> str:
    """The small study, some of its lines replaced; line 11 and later are added."""
    lines = dict(enumerate(LINES, start=1)) | (changes or {})
    return "\n".join(lines[number] for number in sorted(lines)) + "\n"


def read(tmp_path: Path, text: str, *overrides: str) -> StudySpec:
    """Loads a text."""
    path = tmp_path / "study.yaml"
    path.write_text(text)
    return load(path, overrides)


def plain(**changes: Any) -> dict[str, Any]:
    """The small study as a mapping, some keys replaced."""
    return {**document.parse(file_with()).data, **changes}


def only(spec: StudySpec, arm: str) -> Setting:
    """The setting of an arm that has one."""
    (setting,) = (setting for setting in spec.settings() if setting.arm == arm)
    return setting


def assert_faults(faults: Sequence[Fault], expected: Expected) -> None:
    """The faults are these and no others: line, key, and a part of the message of each."""
    assert [(fault.line, fault.key) for fault in faults] == [(line, key) for line, key, _ in expected], faults
    for fault, (_, _, fragment) in zip(faults, expected, strict=True):
        assert fragment in fault.message
