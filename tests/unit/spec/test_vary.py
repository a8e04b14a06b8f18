"""Groups of seeds with their own teacher and split: which trials they change, and what is refused."""

from typing import Any

import pytest

from ctkd_study.errors import SpecError
from ctkd_study.spec import StudySpec, Vary, from_mapping, warnings
from tests.support.studies import plain
from trainables.streams import MAX_SEED

BOTH = {"teacher": 5, "split": 5}
LOADED = {"model": "resnet8", "checkpoint": "file.pth"}


def study(**changes: Any) -> StudySpec:
    alone = {"distiller": {"name": "none"}}
    return from_mapping(plain(**{"seeds": 10, "margin": 5.0, **changes, "arms": {**plain()["arms"], "alone": alone}}))


def groups_of(spec: StudySpec, arm: str) -> list[tuple[int | None, int]]:
    """The seed of the teacher, and that of the split, of each trial of an arm's first setting."""
    setting = next(setting for setting in spec.settings() if setting.arm == arm)
    configs = [setting.trial(seed).config for seed in spec.seeds]
    return [(config.teacher.seed if config.teacher else None, config.data.split_seed) for config in configs]


@pytest.mark.parametrize(
    ("vary", "taught", "alone"),
    [
        ({}, [(0, 0)] * 10, [(None, 0)] * 10),
        ({"teacher": 5}, [(g, 0) for g in range(5)] * 2, [(None, 0)] * 10),
        ({"split": 5}, [(0, g) for g in range(5)] * 2, [(None, g) for g in range(5)] * 2),
        (BOTH, [(g, g) for g in range(5)] * 2, [(None, g) for g in range(5)] * 2),
    ],
)
def test_the_group_of_a_seed_gives_its_teacher_and_its_split(vary: Any, taught: Any, alone: Any) -> None:
    spec = study(vary=vary)
    assert (groups_of(spec, next(iter(spec.arms))), groups_of(spec, "alone")) == (taught, alone)


def test_group_0_is_the_study_without_groups_and_more_seeds_move_nobody() -> None:
    before, few, more = study(), study(vary=BOTH), study(vary=BOTH, seeds=15)
    for ours, theirs in zip(few.settings(), before.settings(), strict=True):
        same = {seed for seed in few.seeds if ours.trial(seed).config == theirs.trial(seed).config}
        assert (same, ours.key) == ({0, 5}, theirs.key)
    for ours, theirs in zip(few.settings(), more.settings(), strict=True):
        assert all(ours.trial(s).config.fingerprint() == theirs.trial(s).config.fingerprint() for s in few.seeds)
    assert [few.settings()[0].trial(seed).group for seed in few.seeds] == [0, 1, 2, 3, 4] * 2
    shifted = study(vary=BOTH, teacher={**plain()["teacher"], "seed": 7}, data={**plain()["data"], "split_seed": 3})
    assert groups_of(shifted, next(iter(shifted.arms)))[:6] == [(7, 3), (8, 4), (9, 5), (10, 6), (11, 7), (7, 3)]


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"vary": {"teacher": 4}}, "vary.teacher: must be 1, or at least 5"),
        ({"vary": {"split": 0}}, "vary.split: must be at least 1, but got 0"),
        ({"vary": {"test": 5}}, "vary.test: unknown key. Known: teacher, split"),
        ({"vary": {"teacher": 5, "split": 6}}, "vary: teacher and split must have the same number of groups"),
        ({"vary": BOTH, "seeds": 4}, "vary: every one of the 5 groups must have a seed"),
        ({"vary": BOTH, "seeds": [0, 5, 2, 12, 4]}, "seed modulo 5), but these have none: 1, 3"),
        (
            {"vary": {"teacher": 5}, "until": {"seeds": 20}},
            "vary: until must look at whole rounds of the 5 groups",
        ),
        ({"vary": {"teacher": 25}, "until": {"seeds": 20}}, "but these have none: 20, 21, 22, 23, 24"),
        ({"vary": {"teacher": 5}, "teacher": LOADED}, "vary: a teacher from a checkpoint is one teacher"),
        ({"vary": BOTH, "teacher": {**plain()["teacher"], "seed": MAX_SEED}}, "teacher.seed must leave room for 5"),
        ({"vary": BOTH, "data": {**plain()["data"], "split_seed": MAX_SEED}}, "split_seed must leave room for 5"),
        ({"vary": BOTH, "protocol": "paper", "data": {"name": "digits", "validation": 0}}, "the split cannot vary"),
    ],
)
def test_what_cannot_vary_is_refused(changes: dict[str, Any], fault: str) -> None:
    with pytest.raises(SpecError) as refused:
        study(**changes)
    assert fault in str(refused.value)


def test_a_study_without_a_teacher_cannot_vary_it() -> None:
    alone = {"alone": {"distiller": {"name": "none"}}}
    with pytest.raises(SpecError, match="vary: a study without a teacher cannot vary it"):
        from_mapping({**plain(arms=alone, vary={"teacher": 5}, seeds=5), "teacher": None})
    assert from_mapping({**plain(arms=alone, vary={"split": 5}, seeds=5), "teacher": None}).vary == Vary(split=5)


def test_what_can_vary_is_allowed() -> None:
    assert study(vary={"split": 5}, teacher=LOADED).vary == Vary(split=5)
    assert study(vary={"teacher": 20}, until={"seeds": 20}).vary.groups == 20
    paper = {"protocol": "paper", "data": {"name": "digits", "validation": 0}}
    assert study(vary={"teacher": 5}, **paper).vary.groups == 5


def test_groups_of_unequal_size_are_advised_against() -> None:
    assert warnings(study(vary=BOTH)) == []
    assert any("the 5 groups of seeds have 1 to 2 seeds each" in text for text in warnings(study(vary=BOTH, seeds=7)))
