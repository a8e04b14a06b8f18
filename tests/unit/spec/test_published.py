"""Published numbers in a study file."""

from typing import Any

import pytest

from ctkd_study import SpecError
from ctkd_study.spec import Published, from_mapping
from tests.support.studies import plain

PAPER: dict[str, Any] = {"protocol": "paper", "data": {"name": "digits", "validation": 0}}
RECIPE: dict[str, Any] = {"recipe": {"preset": "cifar100"}}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({**PAPER, **RECIPE}, []),
        (RECIPE, ["100 training examples are held out and select epochs and settings, not the test set"]),
        (
            {**PAPER, **RECIPE, "data": {"name": "digits", "validation": 0, "train_examples": 300}},
            ["the student sees 300 training examples, not all"],
        ),
        (
            {**PAPER, "recipe": {"preset": "cifar100", "epochs": 3, "schedule": {"kind": "cosine"}, "lr": 1}},
            [
                "recipe.epochs is 3, not 240",
                "recipe.lr is 1, not 0.05",
                "recipe.schedule is {kind: cosine}, not {kind: step, milestones: [150, 180, 210], gamma: 0.1}",
            ],
        ),
    ],
)
def test_what_differs_from_the_literature(changes: dict[str, Any], expected: list[str]) -> None:
    published = {"source": "s", "arms": {"four": 70}, "recipe": "cifar100"}
    spec = from_mapping(plain(published=published, **changes))
    assert spec.published is not None
    assert list(spec.published.differences(spec.protocol, spec.data, spec.recipe)) == expected
    silent = spec.published.model_copy(update={"recipe": None})
    known = [text for text in expected if not text.startswith("recipe")]
    assert list(silent.differences(spec.protocol, spec.data, spec.recipe)) == known


def test_it_changes_no_trial() -> None:
    bare, noted = from_mapping(plain()), from_mapping(plain(published={"source": "s", "arms": {"four": 70}}))
    assert bare.settings() == noted.settings()
    assert from_mapping(noted.plain()) == noted


@pytest.mark.parametrize(
    ("published", "key", "message"),
    [
        ({"source": "s", "arms": {"five": 70}}, "published", "must be of the arms four, but name five"),
        ({"source": "s", "arms": {"four": 0}}, "published.arms", "above 0 and at most 100"),
        ({"source": "s", "arms": {"four": 100.5}}, "published.arms", "but gives 100.5 for four"),
        ({"source": "s", "arms": {"four": True}}, "published.arms", "but gives True for four"),
        ({"source": "s", "arms": {"four": "70"}}, "published.arms", "but gives '70' for four"),
        ({"source": "s", "arms": [70]}, "published.arms", "an accuracy above 0"),
        ({"arms": {"four": 70}}, "published.source", "is required"),
        ({"source": "s", "teacher": 101}, "published.teacher", "at most 100"),
        ({"source": "s", "recipe": "cifar"}, "published.recipe", "must be one of cifar100"),
        ({"source": "s", "sources": {"four": "t"}}, "published", "sources must name arms that have a number"),
    ],
)
def test_faults(published: dict[str, Any], key: str, message: str) -> None:
    with pytest.raises(SpecError) as refused:
        from_mapping(plain(published=published))
    (fault,) = refused.value.faults
    assert fault.key == key
    assert message in fault.message


def test_accuracies_are_above_0_and_at_most_100() -> None:
    arms = {"low": 0.5, "high": 100}
    settings = {arm: {"temperature": {"kind": "fixed", "value": 4}} for arm in arms}
    spec = from_mapping(plain(published={"source": "s", "arms": arms}, arms=settings))
    assert spec.published is not None
    assert spec.published.arms == arms


def test_a_number_has_its_own_source_or_that_of_all() -> None:
    published = Published(source="Somebody, 2023", arms={"a": 70, "b": 71}, sources={"b": "Nobody, 2024"})
    assert published.source_of("a") == "Somebody, 2023"
    assert published.source_of("b") == "Nobody, 2024"
