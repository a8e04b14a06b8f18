"""Advice on studies that are valid, but probably not meant."""

from collections.abc import Iterable

from ctkd_study.spec import from_mapping, grid, warnings
from tests.support.studies import plain


def matching(texts: Iterable[str], fragment: str) -> list[str]:
    """Those that hold a fragment."""
    return [text for text in texts if fragment in text]


def test_warnings() -> None:
    assert warnings(from_mapping(plain(margin=2.1))) == ["there is one arm, and nothing to compare it with"]
    (coarse,) = matching(warnings(from_mapping(plain(margin=1.9))), "validation examples")
    assert "one of 100 validation examples is worth 1 points, more than half the margin of 1.9" in coarse
    assert matching(warnings(from_mapping(plain(seeds=2))), "2 seeds give no interval")
    paper = plain(protocol="paper", data={"name": "digits", "validation": 0})
    assert matching(warnings(from_mapping(paper)), "no verdict")
    fixed, learned = {"temperature": {"kind": "fixed", "value": grid(4)}}, {"temperature": {"kind": "global"}}
    several = warnings(
        from_mapping(plain(arms={"a": fixed, "b": learned, "c": {"temperature": {"kind": "fixed", "value": 4}}}))
    )
    assert several == [
        "arms.a.temperature.value: a grid of one value is no grid",
        "arms a (T=4) and c (T=4) are one setting, trained twice",
        "arm b (b): λ would reach its end in epoch 10, but training ends after 3",
    ]
    alone = warnings(from_mapping(plain(arms={"a": {"distiller": {"name": "none"}}})))
    assert matching(alone, "no arm uses the teacher")
