"""Whatever is thrown at it, a study file gives a study or faults; and a study keeps its meaning."""

import itertools
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, example, given, reject, settings
from hypothesis import strategies as st

from ctkd_study.errors import Fault, SpecError
from ctkd_study.spec import StudySpec, document, from_mapping, load
from trainables.config import TrialConfig
from trainables.curriculum import CURRICULA
from trainables.registry import Registry
from trainables.temperatures import TEMPERATURES

QUICKSTART = Path(__file__).parents[3] / "studies" / "digits" / "quickstart.yaml"
TEXT = QUICKSTART.read_text()
BASE = document.read(QUICKSTART).data
pytestmark = pytest.mark.slow
RELAXED = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])


def check(spec: StudySpec) -> None:
    """A study is whole: its settings are there, and differ."""
    found = spec.settings()
    assert {setting.arm for setting in found} == spec.arms.keys()
    assert len({(setting.arm, setting.key) for setting in found}) == len(found)
    assert len({(setting.arm, setting.label) for setting in found}) == len(found)
    for setting in found:
        assert TrialConfig.model_validate(setting.config.plain()) == setting.config


def read_or_faults(path: Path, content: bytes, *overrides: str) -> None:
    """Loads a file; anything but a study or faults that can be printed is a failure."""
    path.write_bytes(content)
    faults: tuple[Fault, ...] = ()
    try:
        check(load(path, overrides))
    except SpecError as error:
        faults = error.faults
        str(error).encode()
    for fault in faults:
        assert fault.message
        assert fault.file == str(path) or fault.place.override is not None
        assert fault.line is None or 1 <= fault.line <= content.count(b"\n") + content.count(b"\r") + 1


def outcome(build: Callable[[], StudySpec]) -> StudySpec | set[tuple[str, str]]:
    """The study, or its faults without their places."""
    try:
        return build()
    except SpecError as error:
        return {(fault.key, fault.message) for fault in error.faults}


# -- no text gives a traceback ---------------------------------------------------------------------------------------

INDICATORS = st.text(st.sampled_from("abk01.-+:,?[]{}#&*!|>'\"%@`\\ \n\t~=<_\ud7ff\u2028ü\x07"), max_size=60)


@RELAXED
@given(content=st.binary(max_size=80) | INDICATORS.map(lambda text: text.encode()))
@example(content=b"? ")
@example(content=b"- " * 5000)
@example(content=b"{" * 5000)
@example(content=b"a: 1\n" * 2000)
def test_no_bytes_give_a_traceback(tmp_path: Path, content: bytes) -> None:
    read_or_faults(tmp_path / "s.yaml", content)


@RELAXED
@given(start=st.integers(0, len(TEXT)), length=st.integers(0, 40), text=INDICATORS)
def test_no_edit_of_a_study_gives_a_traceback(tmp_path: Path, start: int, length: int, text: str) -> None:
    read_or_faults(tmp_path / "s.yaml", (TEXT[:start] + text + TEXT[start + length :]).encode())


@RELAXED
@given(text=INDICATORS | st.text(max_size=30).map(lambda text: f"arms.grid.{text}"))
@example(text="arms.grid=*x")
@example(text="arms.grid.temperature.value.grid=[1]")
@example(text="teacher.recipe=3")
@example(text="arms=\ud800")
def test_no_override_gives_a_traceback(tmp_path: Path, text: str) -> None:
    read_or_faults(tmp_path / "s.yaml", TEXT.encode(), text)


# -- no structure gives a traceback ----------------------------------------------------------------------------------

WORDS = st.sampled_from(
    [
        "name",
        "kind",
        "model",
        "grid",
        "fixed",
        "global",
        "kd",
        "none",
        "cosine",
        "step",
        "digits",
        "resnet8",
        "crop",
        "x",
        "",
    ]
)
SCALARS = st.none() | st.booleans() | st.integers(-3, 2**64) | st.floats() | WORDS | st.text(max_size=5)
KEYS = WORDS | st.sampled_from(
    [*StudySpec.model_fields, "recipe", "schedule", "milestones", "value", "epochs", "lr", "views"]
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(KEYS, inner, max_size=3)
        | st.fixed_dictionaries({"grid": st.lists(inner, max_size=3)})
    ),
    max_leaves=8,
)


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in the quickstart."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, item in inner for found in paths(item, (*path, key)))]


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """A copy with the value at the path replaced; a path's last key may be new."""
    if not path:
        return new
    if isinstance(value, list):
        return [replaced(item, path[1:], new) if number == path[0] else item for number, item in enumerate(value)]
    return {**value, path[0]: replaced(value.get(path[0]), path[1:], new)}


CHANGES = st.lists(st.tuples(st.sampled_from(paths(BASE)), st.none() | KEYS, VALUES), min_size=1, max_size=3)


def changed(changes: list[tuple[tuple[Any, ...], str | None, Any]]) -> Any:
    """The quickstart with some places replaced, or some keys added."""
    data: Any = BASE
    for path, key, value in changes:
        if path in paths(data):
            at = data
            for part in path:
                at = at[part]
            data = replaced(data, (*path, key) if key is not None and isinstance(at, dict) else path, value)
    return data


@settings(RELAXED, max_examples=400)
@given(changes=CHANGES)
@example(changes=[(("arms", "grid", "temperature"), None, {"grid": [None]})])
@example(changes=[(("teacher",), None, {"model": "resnet8", "recipe": {"grid": [1]}})])
@example(changes=[(("arms", "grid", "temperature", "kind"), None, {"grid": ["fixed", "global"]})])
@example(changes=[(("recipe",), None, None)])
@example(changes=[(("arms",), None, {"a": {"student": {"model": {"grid": ["resnet8", "resnet20"]}}}})])
@example(changes=[(("recipe", "lr"), None, 2**62)])
def test_no_mapping_gives_a_traceback_and_every_study_survives_a_round_trip(changes: Any) -> None:
    data = changed(changes)
    result = outcome(lambda: from_mapping(data))
    if isinstance(result, StudySpec):
        check(result)
        again = from_mapping(result.plain())
        assert again == result
        assert again.settings() == result.settings()
    else:
        assert result
        repr(sorted(result)).encode()


@RELAXED
@given(data=VALUES | st.dictionaries(st.integers() | st.text(max_size=3), SCALARS, max_size=2))
def test_no_python_value_gives_a_traceback(data: Any) -> None:
    with pytest.raises(SpecError) as caught:
        from_mapping(data)
    str(caught.value).encode()


@RELAXED
@given(changes=CHANGES)
def test_a_file_says_what_a_mapping_says(tmp_path: Path, changes: Any) -> None:
    data = changed(changes)
    assume(isinstance(data, dict))
    try:
        # JSON is YAML 1.2 but for its words for what is not finite.
        text = json.dumps(data, ensure_ascii=False, allow_nan=False, indent=1)
    except ValueError:
        reject()
    assume(all(character.isprintable() or character == "\n" for character in text))
    path = tmp_path / "s.yaml"
    path.write_text(text)
    assert outcome(lambda: load(path)) == outcome(lambda: from_mapping(data, tmp_path))


# -- arms ------------------------------------------------------------------------------------------------------------

TEMPERATURE_VALUES = st.lists(st.floats(0.5, 100) | st.integers(1, 100), min_size=1, max_size=5, unique_by=float)
EPOCHS = st.lists(st.integers(1, 300), min_size=1, max_size=4, unique=True)


@RELAXED
@given(
    values=TEMPERATURE_VALUES, epochs=EPOCHS, seeds=st.lists(st.integers(0, 2**31), min_size=1, max_size=4, unique=True)
)
def test_what_is_tried_is_the_product(values: list[float], epochs: list[int], seeds: list[int]) -> None:
    block = {"temperature": {"kind": "fixed", "value": {"grid": values}}, "recipe": {"epochs": {"grid": epochs}}}
    spec = from_mapping({**BASE, "seeds": seeds, "vary": {}, "confirm": None, "arms": {"a": block}})
    tried = [
        (setting.config.temperature.plain()["value"], setting.config.recipe.epochs)
        for setting in spec.settings()
        if setting.config.temperature
    ]
    assert tried == [(float(value), count) for value, count in itertools.product(values, epochs)]
    assert spec.seeds == tuple(seeds)
    check(spec)


def without_required(registry: Registry[Any]) -> list[str]:
    """The entries of which nothing must be said but their tag."""
    return [
        tag
        for tag, options in registry.classes.items()
        if not any(field.is_required() for key, field in options.model_fields.items() if key != registry.tag)
    ]


LEARNED = [kind for kind in without_required(TEMPERATURES) if TEMPERATURES[kind].learned]


@RELAXED
@given(kind=st.sampled_from(without_required(CURRICULA)), learned=st.sampled_from(LEARNED))
def test_keys_do_not_depend_on_the_order_of_keys(kind: str, learned: str) -> None:
    block: dict[str, dict[str, Any]] = {
        "temperature": {"kind": learned},
        "curriculum": {"kind": kind},
        "recipe": {"lr": 0.25, "epochs": 4},
    }
    backwards = {key: dict(reversed(list(value.items()))) for key, value in reversed(block.items())}
    one, other = (
        from_mapping({**BASE, "confirm": None, "arms": {"a": arm}}).settings()[0] for arm in (block, backwards)
    )
    assert one == other


@RELAXED
@given(value=st.floats(allow_nan=True))
def test_a_number_is_taken_as_it_is_or_refused(value: float) -> None:
    data = {**BASE, "margin": value}
    if math.isfinite(value) and 0 < value <= 100:
        assert from_mapping(data).margin == value
    else:
        with pytest.raises(SpecError, match=r"margin: must be (greater than 0|at most 100|a finite number), but got "):
            from_mapping(data)
