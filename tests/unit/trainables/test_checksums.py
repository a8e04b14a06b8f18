"""Files that a manifest proves whole, and the manifest that proves itself."""

import json

import pytest

from trainables import checksums

CONTENTS = {"a": b"one", "b": b"two"}
HASHES = {
    "a": "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed",
    "b": "3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3",
}
SEALED = b"""\
{
 "b": 4.0,
 "a": "\xc3\xa9",
 "checksum": "9041267760e13523182fd0e10b2837189182ddf462061e40251820e233166f16"
}"""


def test_stamps_are_size_and_sha256() -> None:
    assert {name: stamp.model_dump() for name, stamp in checksums.stamp(CONTENTS).items()} == {
        "a": {"size": 3, "sha256": HASHES["a"]},
        "b": {"size": 3, "sha256": HASHES["b"]},
    }


def test_the_first_fault_is_named() -> None:
    stamps = checksums.stamp(CONTENTS)

    def fault(contents: dict[str, bytes], hashed: bool = True) -> str | None:
        sizes = {name: len(content) for name, content in contents.items()}
        return checksums.fault(sizes, stamps, (lambda name: checksums.sha256(contents[name])) if hashed else None)

    assert fault({}) == fault({}, hashed=False) == "a has no bytes, not 3"
    assert fault(CONTENTS) is None
    assert fault({**CONTENTS, "more": b"?"}) is None, "what is not listed does not matter"
    longer = {**CONTENTS, "b": b"twice"}
    assert fault(longer) == fault(longer, hashed=False) == "b has 5 bytes, not 3"
    changed = {**CONTENTS, "b": b"owt"}
    assert fault(changed) == "b has changed"
    assert fault(changed, hashed=False) is None


def test_what_is_sealed_is_plain_json_with_its_own_checksum() -> None:
    assert checksums.sealed({"b": 4.0, "a": "é"}) == SEALED
    assert checksums.unsealed(SEALED) == {"b": 4.0, "a": "é"}


def test_the_order_of_keys_and_the_layout_are_not_sealed() -> None:
    content = json.loads(SEALED)
    assert checksums.unsealed(json.dumps(dict(sorted(content.items()))).encode()) == {"b": 4.0, "a": "é"}


def test_every_changed_bit_that_changes_the_meaning_is_noticed() -> None:
    meaning = json.loads(SEALED)
    unnoticed = []
    for place in range(8 * len(SEALED)):
        changed = bytearray(SEALED)
        changed[place // 8] ^= 1 << place % 8
        try:
            content = checksums.unsealed(bytes(changed))
        except ValueError:
            continue
        unnoticed.append({**content, "checksum": meaning["checksum"]} == meaning)
    assert all(unnoticed), "a blank for a line's end is all that may change"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "Expecting value"),
        (b"{", "Expecting property name"),
        (b"\xff", "can't decode"),
        (b"[]", "it is no JSON object"),
        (b"null", "it is no JSON object"),
        (b"{}", "it has changed since it was written"),
        (b'{"checksum": null}', "it has changed since it was written"),
        (b"[" * 100_000, "it is nested too deeply"),
        (b'{"a": ' + b"[" * 900 + b"]" * 900 + b"}", "it is nested too deeply"),
        (b'{"a": "\\ud800"}', "surrogates not allowed"),
    ],
)
def test_what_was_not_sealed_is_refused(text: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        checksums.unsealed(text)
