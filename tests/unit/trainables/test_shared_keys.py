"""Trials that are alike have one key; any part that differs gives another."""

from pathlib import Path
from typing import Any

import pytest

from tests.support import settings
from trainables import probe
from trainables.arithmetic import Work
from trainables.data import DATASETS
from trainables.shared_keys import alike

PLACE = Path("/nowhere")
TWICE = {**settings.RECIPE, "epochs": 6}
BANK16 = {"teacher_source": "bank16"}


def test_a_key_is_of_the_parts_alone() -> None:
    one, other = settings.trial(PLACE, 0), settings.trial(PLACE, 1, recipe=TWICE)
    assert alike(one, "student", "recipe.batch_size") == alike(other, "student", "recipe.batch_size")
    assert alike(one, "seed") != alike(other, "seed")
    assert alike(one, "recipe.epochs") != alike(other, "recipe.epochs")
    assert alike(one, "student") != alike(one, "recipe.batch_size")


def test_a_part_of_nothing_is_nothing() -> None:
    alone = settings.trial(PLACE, arm="alone")
    assert alike(alone, "temperature.kind") == alike(alone.model_copy(update={"seed": 5}), "temperature.kind")
    assert alike(alone, "temperature.kind") != alike(settings.trial(PLACE), "temperature.kind")
    with pytest.raises(AttributeError, match="kid"):
        alike(settings.trial(PLACE), "temperature.kid")


def test_what_else_must_be_equal_counts_by_name() -> None:
    config = settings.trial(PLACE)
    assert alike(config, size=8) == alike(config, size=8) != alike(config, size=9)
    assert alike(config, size=8) != alike(config, width=8)
    assert alike(config, network=config.student) != alike(config, network=None)


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({"seed": 3}, True),
        ({"recipe": TWICE}, True),
        ({"temperature": {"kind": "fixed", "value": 7.0}}, True),
        ({"temperature": {"kind": "global"}}, False),
        ({"student": {"model": "resnet8"}}, False),
        ({"recipe": {**settings.RECIPE, "batch_size": 16}}, False),
        ({"distiller": {"name": "kd", "kd_weight": 0.5}}, False),
        ({"numerics": {"threads": 2}}, False),
        (BANK16, False),
        ({"teacher": {**settings.TEACHER, "seed": 9}}, True),
        ({"teacher": {**settings.TEACHER, "model": "resnet14"}}, False),
    ],
)
def test_steps_take_the_same_where_the_work_is_the_same(changes: dict[str, Any], same: bool) -> None:
    config = settings.trial(PLACE)
    assert (probe.kind(config) == probe.kind(settings.trial(PLACE, **changes))) == same


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({"recipe": {**settings.RECIPE, "batch_size": 16}}, True),
        ({"temperature": {"kind": "fixed", "value": 7.0}}, True),
        ({"temperature": {"kind": "global"}}, False),
        ({"student": {"model": "resnet8"}}, False),
        ({"distiller": {"name": "pkt"}}, False),
        (BANK16, True),
        ({"teacher": {**settings.TEACHER, "model": "resnet14"}}, False),
    ],
)
def test_an_images_arithmetic_is_the_same_where_the_networks_are(changes: dict[str, Any], same: bool) -> None:
    config, arrays = settings.trial(PLACE), DATASETS.parse({"name": "digits", "validation": 1}).load()
    work = Work.of(config, arrays, 100)
    assert (work == Work.of(settings.trial(PLACE, **changes), arrays, 100)) == same
    assert work != Work.of(config, arrays, 99), "a distiller may compare with all examples"
