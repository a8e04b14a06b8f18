"""Text from outside (study files, records, exceptions), made safe to print."""

import re

#: The part of a URI before its password, and the names under which drivers take one, also percent-encoded.
_IN_AUTHORITY = re.compile(r"(//[^\s/:]*):\S*@")
_AS_PARAMETER = re.compile(r"((?:passw(?:or)?d|pwd|secret|token)(?:=|%3D))[^\s&;'\"]+", re.IGNORECASE)

#: What a terminal obeys or XML forbids (control codes without tab and newline, halves of characters), line separators,
#: and the codes that reverse the direction of text.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


def without_passwords(text: str) -> str:
    """Replace the password of every URI in a text by ``***``."""
    return _AS_PARAMETER.sub(r"\1***", _IN_AUTHORITY.sub(r"\1:***@", text))


def visible(text: str) -> str:
    r"""Write control codes as Python does, e.g. ``\x1b`` for escape; tabs and newlines stay."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
