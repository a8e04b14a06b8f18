"""YAML to plain values with lines; what is refused, and where."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ctkd_study.errors import Place, SpecError
from ctkd_study.spec.document import MAX_BYTES, MAX_DEPTH, Document, from_plain, parse, read
from tests.support.studies import Expected, assert_faults

SCALARS: Mapping[str, Any] = {
    "5e-4": 5e-4,
    "1E+3": 1000.0,
    ".5": 0.5,
    ".5e3": 500.0,
    "0b1": "0b1",
    "-0x1F": "-0x1F",
    "1_0.5": "1_0.5",
    "=": "=",
    "-3.": -3.0,
    "12": 12,
    "+7": 7,
    "012": 12,
    "0o17": 15,
    "0xFF": 255,
    "1_000": "1_000",
    "1:30": "1:30",
    "no": "no",
    "on": "on",
    "y": "y",
    "True": True,
    "false": False,
    "null": None,
    "~": None,
    "": None,
    "2024-01-01": "2024-01-01",
    "'4'": "4",
    '"null"': "null",
    "-.inf": -math.inf,
    "1e999": math.inf,
    "text with 'quotes'": "text with 'quotes'",
}


@pytest.mark.parametrize(("text", "value"), SCALARS.items(), ids=SCALARS)
def test_scalars_follow_yaml_12(text: str, value: Any) -> None:
    got = parse(f"key: {text}\n").data["key"]
    assert got == value
    assert type(got) is type(value)


def test_quoted_text_is_text() -> None:
    for text in ("true", "~", "12", ".5", ""):
        assert parse(f"key: '{text}'\nother: |-\n  {text}").data == {"key": text, "other": text}


def test_keys_are_text_whatever_they_look_like() -> None:
    assert parse("1: a\nnull: b\ntrue: c\n2024-01-01: d\n").data == {
        "1": "a",
        "null": "b",
        "true": "c",
        "2024-01-01": "d",
    }


def test_whole_numbers_have_at_most_63_bits() -> None:
    largest = 2**63 - 1
    assert parse(f"a: {largest}\nb: -{largest}\n").data == {"a": largest, "b": -largest}
    assert parse(f"a: {'0' * 30}9\n").data == {"a": 9}
    assert from_plain({"a": [largest, -largest]}).data == {"a": [largest, -largest]}
    for number in (2**63, -(2**63)):
        for document in (parse(f"a: {number}\n"), from_plain({"a": number})):
            assert [fault.message for fault in document.faults] == ["whole numbers have at most 63 bits"]


def test_a_study_may_be_as_deep_as_the_limit() -> None:
    depth = "".join("{a: " for _ in range(MAX_DEPTH)) + "1" + "}" * MAX_DEPTH
    data = parse(depth).data
    assert from_plain(data).data == data
    with pytest.raises(SpecError, match="levels deep"):
        parse(f"{{a: {depth}}}")


def test_not_a_number_is_read_as_one() -> None:
    assert math.isnan(parse("key: .NaN").data["key"])


def test_values_know_their_lines() -> None:
    document = parse("a: 1\nb:\n  c: [x,\n    y]\n  d: {e:\n 2}\n", "s.yaml")
    lines = {".".join(map(str, path)): place.line for path, place in document.places.items()}
    assert lines == {"": 1, "a": 1, "b": 2, "b.c": 3, "b.c.0": 3, "b.c.1": 4, "b.d": 5, "b.d.e": 5}
    assert document.place(("b", "d", "missing", 3)).line == 5
    assert document.place(("missing",)).line == 1


#: Faults that leave the rest readable: the text, and (line, key, part of the message) of each.
LESSER: dict[str, tuple[str, Expected]] = {
    "duplicate key": ("a: 1\nb: 2\na: 3\n", [(3, "a", "there already, on line 1")]),
    "duplicate below": ("a:\n  b: 1\n  'b': 2\n", [(3, "a.b", "there already, on line 2")]),
    "alias": ("a: &x 1\nb: *x\n", [(1, "a", "anchors and aliases"), (2, "b", "anchors and aliases")]),
    "alias as key": ("a: 1\n*a : 2\n", [(2, "", "keys must be plain text")]),
    "tag": ("a: !!float 4\n", [(1, "a", "tags are not allowed, but got tag:yaml.org,2002:float")]),
    "object tag": ("b: 1\na: !!python/object/apply:os.system [x]\n", [(2, "a", "tags are not allowed")]),
    "local tag": ("a:\n  - !thing {b: 1}\n", [(2, "a[0]", "tags are not allowed, but got !thing")]),
    "list as key": ("a: 1\n? [b, c]\n: 2\n", [(2, "", "keys must be plain text")]),
    "directive": ("%YAML 1.1\n---\na: no\n", [(2, "", "YAML 1.2, but got 1.1")]),
    "tag directive": (
        "%TAG ! tag:x,2000:\n%TAG !e! tag:y:\n---\na: 1\n",
        [(3, "", "tags are not allowed, but got a %TAG directive for !, !e!")],
    ),
    "control character": ('a: 1\nb: "x\\0"\n', [(2, "b", "no control characters")]),
    "half surrogate": ('a: "\\ud800"\n', [(1, "a", "no half surrogates")]),
    "half surrogate as key": ('"\\ud800": 1\n', [(1, "", "keys must be text without control characters")]),
    "long number": (f"a: {'9' * 5000}\n", [(1, "a", "at most 63 bits")]),
    "two at once": ("a: !x 1\nb: 1\nb: 2\n", [(1, "a", "tags"), (3, "b", "there already")]),
}

#: Faults after which there is no reading on.
FATAL: dict[str, tuple[str, Expected]] = {
    "empty": ("", [(None, "", "but got nothing")]),
    "only a comment": ("# nothing\n", [(None, "", "but got nothing")]),
    "a list": ("- 1\n- 2\n", [(1, "", "must be a mapping of keys to values, but got a list")]),
    "text": ("\nhello\n", [(2, "", "must be a mapping of keys to values, but got text")]),
    "unclosed list": ("a: 1\nb: [1, 2\n", [(3, "", "this is not YAML: while parsing a flow sequence, expected ',' ")]),
    "unclosed quote": ("a: 1\nb: 'x\n", [(3, "", "this is not YAML")]),
    "tab": ("a:\n\tb: 1\n", [(2, "", "this is not YAML")]),
    "colon": ("a: b: c\n", [(1, "", "mapping values are not allowed")]),
    "beyond Unicode": ('a: 1\nb: "\\U00110000"\n', [(2, "", "this is not YAML")]),
    "unknown version": ("%YAML 1.99\n---\na: 1\n", [(1, "", "this is not YAML: version minor part can only be ")]),
    "deep": ("a: 1\nb: " + "[" * 400, [(2, "", f"at most {MAX_DEPTH} levels deep")]),
    "deep mapping": ("\n".join(f"{' ' * level}a:" for level in range(200)), [(MAX_DEPTH + 1, "", "levels deep")]),
    "bell": ("a: 1\nb: \a\n", [(2, "", "no control characters, but got U+0007")]),
    "line separator": ("\nb: x\u2028y\n", [(2, "", "no control characters, but got U+2028")]),
    "syntax after a lesser fault": ("a: !x 1\nb: ]\n", [(2, "", "this is not YAML")]),
    "two documents": ("a: 1\n---\nb: 2\n", [(2, "", "one document, but another begins here")]),
    "tagged root": ("!!map\na: 1\n", [(1, "", "tags are not allowed")]),
}


@pytest.mark.parametrize("case", LESSER)
def test_lesser_faults_have_lines(case: str) -> None:
    text, expected = LESSER[case]
    document = parse(text, "s.yaml")
    assert_faults(document.faults, expected)
    assert all(fault.file == "s.yaml" for fault in document.faults)


@pytest.mark.parametrize("case", FATAL)
def test_fatal_faults_have_lines(case: str) -> None:
    text, expected = FATAL[case]
    with pytest.raises(SpecError) as caught:
        parse(text, "s.yaml")
    assert_faults(caught.value.faults, expected)
    assert all(fault.file == "s.yaml" for fault in caught.value.faults)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: &x 1\n", "&x"),
        ("a: *x\n", "*x"),
        ("a: !t 1\n", "!t"),
        ('a: "\\a"\n', r"'\x07'"),
        ('"\\a": 1\n', r"'\x07'"),
        (f"a: {'9' * 70}\n", "9" * 60),
    ],
)
def test_faults_of_the_writing_show_what_is_written(text: str, value: str) -> None:
    (fault,) = parse(text).faults
    assert fault.value == value


def test_an_anchor_that_is_there_twice_gives_faults_and_no_warning(recwarn: pytest.WarningsRecorder) -> None:
    assert [fault.line for fault in parse("a: &x 1\nb: &x 2\n").faults] == [1, 2]
    assert list(recwarn) == []


def test_a_file_may_say_that_it_is_yaml_12() -> None:
    document = parse("%YAML 1.2\n---\na: no\n")
    assert (document.data, document.faults) == ({"a": "no"}, [])


def test_the_first_of_two_equal_keys_counts() -> None:
    assert parse("a: 1\nb: {c: [1, {d: 2}]}\nb: {c: [2]}\n").data == {"a": 1, "b": {"c": [1, {"d": 2}]}}


def test_what_could_not_be_read_is_marked() -> None:
    document = parse("a: *x\nb: {c: !t 1}\nd: 2\n")
    assert document.broken == {("a",), ("b", "c")}
    assert document.data["d"] == 2


def test_text_in_another_encoding_names_the_byte() -> None:
    with pytest.raises(SpecError, match=r"s\.yaml:2: a study file must be in UTF-8, but got byte 0xfc"):
        parse("a: 1\nb: für\n".encode("latin-1"), "s.yaml")
    with pytest.raises(SpecError, match=r"s\.yaml:1: a study file must be in UTF-8, but got byte 0xed"):
        parse("a: \ud800", "s.yaml")


def test_a_byte_order_mark_is_no_fault() -> None:
    assert parse("a: ü\n".encode("utf-8-sig")).data == {"a": "ü"}


def test_files_have_a_limit(tmp_path: Path) -> None:
    path = tmp_path / "big.yaml"
    path.write_text("\a".ljust(MAX_BYTES, "x"))
    assert "control characters" in refused(path)[0], "it is read, which ends at once"
    path.write_text("\a".ljust(MAX_BYTES + 1, "x"))
    assert refused(path) == (f"a study file has at most {MAX_BYTES:,} bytes, but this one has more", Place(str(path)))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    absent = tmp_path / "absent.yaml"
    assert refused(absent) == ("the study file cannot be read: No such file or directory", Place(str(absent)))
    assert refused(tmp_path) == ("the study file cannot be read: Is a directory", Place(str(tmp_path)))
    assert refused("nul\0.yaml") == ("the study file cannot be read: embedded null byte", Place("nul\0.yaml"))


def refused(path: str | Path) -> tuple[str, Place]:
    """The one fault of a file as a whole: what is said, and where."""
    with pytest.raises(SpecError) as caught:
        read(path)
    (fault,) = caught.value.faults
    assert fault.key == ""
    return fault.message, fault.place


# -- overrides -------------------------------------------------------------------------------------------------------


def overridden(*texts: str) -> Document:
    """A small document with overrides."""
    document = parse("a: 1\nb: {c: 2, d: [1, 2]}\ne: *x\n", "s.yaml")
    document.faults.clear()
    for text in texts:
        document.override(text)
    return document


def test_overrides_replace_add_and_are_named() -> None:
    document = overridden("a=5e-4", "b.d={x: 1}", "new.deep.key=no", "e=3", "b.c=")
    assert document.data == {"a": 5e-4, "b": {"c": None, "d": {"x": 1}}, "e": 3, "new": {"deep": {"key": "no"}}}
    assert document.faults == []
    assert document.broken == set()
    assert str(document.place(("b", "d", "x"))) == "--set b.d={x: 1}"
    assert {str(document.place(path)) for path in [("new",), ("new", "deep")]} == {"--set new.deep.key=no"}
    assert document.place(("b",)).line == 2


def test_overrides_keep_equals_signs_in_values() -> None:
    assert overridden("a=b=c").data["a"] == "b=c"


@pytest.mark.parametrize(
    ("text", "key", "fragment"),
    [
        ("a", "", "PATH=VALUE"),
        ("=1", "", "PATH=VALUE"),
        ("b..c=1", "", "PATH=VALUE"),
        ("a.b=1", "a.b", "a is no mapping, it has no key 'b'"),
        ("b.d.x=1", "b.d.x", "b.d is no mapping"),
        ("a=[1", "a", "this is not YAML"),
        ("a=!x 1", "a", "tags are not allowed"),
        ("a={b: *c}", "a.b", "anchors and aliases"),
        ("a=\a", "a", "this is not YAML"),
        ("a=\udcff", "a", "this is not YAML"),
    ],
)
def test_wrong_overrides(text: str, key: str, fragment: str) -> None:
    (fault,) = overridden(text).faults
    assert (fault.key, fault.line) == (key, None)
    assert fragment in fault.message
    assert str(fault).encode().startswith(b"--set ")


@pytest.mark.parametrize(("text", "value"), [("a=!x 1", "!x"), ("a.b=[1]", [1])])
def test_a_fault_of_an_override_holds_what_is_written(text: str, value: Any) -> None:
    (fault,) = overridden(text).faults
    assert fault.value == value


def test_an_override_with_control_characters_is_shown_escaped() -> None:
    (fault,) = overridden("a=\a").faults
    assert fault.place.override == r"'a=\x07'"


# -- Python values ---------------------------------------------------------------------------------------------------


def test_python_values_are_copied() -> None:
    data = {"a": (1, 2.5, None), "b": {"c": True}}
    document = from_plain(data)
    assert document.data == {"a": [1, 2.5, None], "b": {"c": True}}
    assert document.data["b"] is not data["b"]
    assert document.place(("a",)) == document.place(("b", "c"))


def cyclic() -> dict[str, Any]:
    """A mapping that holds itself."""
    mapping: dict[str, Any] = {}
    mapping["a"] = mapping
    return mapping


@pytest.mark.parametrize(
    ("data", "key", "fragment"),
    [
        ({"a": object()}, "a", "but got object"),
        ({"a": [1, {2}]}, "a[1]", "but got set"),
        ({"a": {1: 2}}, "a", "keys must be text"),
        ({"a": "\ud800"}, "a", "half surrogates"),
        ({"a": 2**70}, "a", "at most 63 bits"),
        (cyclic(), ".".join("a" * (MAX_DEPTH + 1)), "levels deep"),
    ],
)
def test_python_values_that_no_file_could_hold(data: dict[str, Any], key: str, fragment: str) -> None:
    (fault,) = from_plain(data).faults
    assert fault.key == key
    assert fragment in fault.message


@pytest.mark.parametrize(
    ("data", "value", "message"),
    [
        ({"a": "\a"}, r"'\x07'", "text must hold no control characters and no half surrogates"),
        ({("x",) * 20: 2}, None, f"keys must be text without control characters, but got {('x',) * 20!s:.60}"),
    ],
)
def test_python_values_that_cannot_be_written_are_shown(data: Any, value: str | None, message: str) -> None:
    (fault,) = from_plain(data).faults
    assert (fault.value, fault.message) == (value, message)


@pytest.mark.parametrize(("data", "kind"), [([], "a list"), ("text", "text"), (3, "int"), (None, "null")])
def test_a_study_is_a_mapping(data: Any, kind: str) -> None:
    with pytest.raises(SpecError) as caught:
        from_plain(data)
    (fault,) = caught.value.faults
    assert (fault.key, fault.message) == ("", f"a study must be a mapping of keys to values, but got {kind}")
