"""Advice on studies that are valid, but probably not meant."""

from collections.abc import Iterable

import numpy as np
import pytest

from ctkd_study.spec import from_mapping, grid, selection_warning, warnings
from tests.support.studies import plain


def matching(texts: Iterable[str], fragment: str) -> list[str]:
    """Those that hold a fragment."""
    return [text for text in texts if fragment in text]


def test_warnings() -> None:
    assert warnings(from_mapping(plain(margin=1.6))) == ["there is one arm, and nothing to compare it with"]
    (coarse,) = matching(warnings(from_mapping(plain(margin=1))), "validation examples")
    assert coarse == (
        "of two settings that differ by the margin of 1 points, 100 validation examples select the worse one 33 times "
        "in 100 (if they disagree on 5 % of the examples): hold out more"
    )
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


@pytest.mark.parametrize(("validation", "margin"), [(40, 1.0), (200, 0.5), (20, 3.0), (1000, 1.0)])
def test_validation_confuses_settings_as_often_as_the_warning_says(validation: int, margin: float) -> None:
    """Two settings that disagree on 5 % of the examples, one of them better by the margin; ties are drawn."""
    rng = np.random.default_rng(validation)
    better = (0.05 + margin / 100) / 2
    counts = rng.multinomial(validation, [better, 0.05 - better, 0.95], 40_000)
    lead = counts[:, 0] - counts[:, 1]
    confused = 100 * (np.mean(lead < 0) + np.mean(lead == 0) / 2)
    said = selection_warning(validation, margin)
    assert (said is not None) == (confused > 25)
    if said is not None:
        assert abs(int(said.split(" times in")[0].split()[-1]) - confused) < 4
