"""The keys of ``until``: their defaults, the looks and seeds that follow, and what contradicts what."""

from typing import Any

import pytest

from ctkd_study.errors import SpecError
from ctkd_study.spec import StudySpec, from_mapping
from tests.support.studies import plain


def study(**changes: Any) -> StudySpec:
    return from_mapping(plain(**{"seeds": [7, 3, 5], **changes}))


@pytest.mark.parametrize(
    ("until", "looks"),
    [
        ({}, tuple(range(3, 21))),
        ({"first": 5, "step": 4, "seeds": 15}, (5, 9, 13, 15)),
        ({"step": 6, "seeds": 9}, (3, 9)),
        ({"seeds": 3}, (3,)),
    ],
)
def test_looks_begin_with_the_listed_seeds_and_end_with_the_most(until: dict[str, Any], looks: tuple[int, ...]) -> None:
    found = study(until=until)
    assert found.until is not None
    assert found.until.looks == looks
    assert found.all_seeds == (7, 3, 5, *range(8, 8 + looks[-1] - 3))
    assert from_mapping(found.plain()) == found, "defaults are stored as they were settled"


def test_many_listed_seeds_may_double_and_without_the_rule_none_are_added() -> None:
    found = study(seeds=15, until={})
    assert found.until is not None
    assert (found.until.first, found.until.seeds) == (15, 30)
    assert study().all_seeds == (7, 3, 5)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"until": {"first": 2}}, "until.first: must be at least 3, but got 2"),
        ({"until": {"step": 0}}, "until.step: must be at least 1, but got 0"),
        ({"until": {"first": 9, "seeds": 8}}, "but got (first=9, seeds=8)"),
        ({"seeds": 6, "until": {"seeds": 5}}, "the study's 6 seeds must be among them, but got (first=6, seeds=5)"),
        ({"seeds": 2, "until": {}}, "but got (first=2, seeds=20)"),
        ({"until": {}, "seeds_planned": 9}, "leave seeds_planned out"),
        ({"until": {}, "protocol": "paper"}, "gives no verdict"),
        ({"until": {"budget": {"money": 5}}}, "needs price_per_device_hour, above 0"),
        ({"until": {"budget": {"money": 5}}, "price_per_device_hour": 0}, "needs price_per_device_hour, above 0"),
        ({"until": {"budget": {"device_hours": 0}}}, "until.budget.device_hours: must be greater than 0, but got 0"),
    ],
)
def test_what_contradicts_itself_is_refused(changes: dict[str, Any], fault: str) -> None:
    with pytest.raises(SpecError) as refused:
        study(**changes)
    assert fault in str(refused.value)


def test_groups_of_seeds_are_added_in_whole_rounds() -> None:
    for groups, seeds, looks in ((5, 10, (10, 15, 20)), (7, 7, (7, 14, 21)), (1, 3, tuple(range(3, 21)))):
        usual = study(seeds=seeds, vary={"split": groups}).usual_until()
        found = study(seeds=seeds, vary={"split": groups}, until=usual)
        assert found.until is not None
        assert found.until.looks == looks
    assert study(seeds=3, vary={"split": 20}, until={}).vary.groups == 20, "every seed is a group of its own"
    for changes in ({"seeds": 8}, {"until": {"step": 3}}, {"seeds": [0, 1, 2, 3, 4, 5, 6, 7, 8, 15]}):
        with pytest.raises(SpecError, match="whole rounds of the 5 groups"):
            study(**{"seeds": 10, "vary": {"split": 5}, "until": {"step": 5}, **changes})
