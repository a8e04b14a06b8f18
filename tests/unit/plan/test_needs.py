"""What a study would need: the spread of its own trials if there are some, and the cost of its estimate."""

from pathlib import Path
from typing import Any

import pytest

from ctkd_study.analysis import PUBLISHED_SPREADS, StudyDesign
from ctkd_study.errors import StudyError
from ctkd_study.plan import Estimate, Range, needs
from ctkd_study.plan.estimate import ArmEstimate
from tests.unit.plan.test_rule import ARMS, run, state


def estimated(seconds: dict[str, float]) -> Estimate:
    arms = (
        ArmEstimate(
            tflop=1.0, device_seconds=Range(0.0, value, 9e9), wall_seconds=Range(), basis="", arm=name, settings=1,
            trials=1, money=None,
        )
        for name, value in seconds.items()
    )  # fmt: skip
    return Estimate(tuple(arms), 1, None)


COSTS = {"grid": 24.0, "same": 12.0, "noisy": 12.0, "alone": 12.0}


def found(folder: Path, **changes: Any) -> StudyDesign:
    study = state(folder, **changes).read()
    return needs(study.spec, study.manifests, estimated(COSTS))


def test_before_a_run_the_spreads_are_published_ones_and_costs_those_of_the_estimate(tmp_path: Path) -> None:
    design = found(tmp_path)
    assert [(spread.points, spread.source) for spread in design.spreads] == [
        (p, "published") for p in PUBLISHED_SPREADS
    ]
    assert (design.fixed.looks, design.until.looks) == ((12,), tuple(range(3, 13)))
    assert design.until.confirmed == ("same", "noisy")
    assert all(each.device_seconds == pytest.approx(60.0) for each in design.prospects if each.rule is design.fixed)


def test_finished_trials_tell_the_spread_and_the_largest_one_counts(tmp_path: Path) -> None:
    run(state(tmp_path))
    (spread,) = found(tmp_path).spreads
    assert 1.0 < spread.points < 3.0
    assert spread.source.startswith("that of noisy minus grid at ")


@pytest.mark.parametrize(
    ("changes", "fixed", "until"),
    [({"seeds": 8}, 8, (8, 20)), ({"seeds": 8, "seeds_planned": 10}, 10, (8, 20)), ({"seeds": 1}, 3, (3, 20))],
)
def test_a_study_without_the_rule_is_told_of_the_usual_one(
    tmp_path: Path, changes: dict[str, Any], fixed: int, until: tuple[int, int]
) -> None:
    design = found(tmp_path, until=None, **changes)
    assert design.fixed.looks == (fixed,)
    assert (design.until.looks[0], design.until.looks[-1]) == until


def test_without_anything_to_decide_there_is_no_chance_to_tell(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="an arm to compare"):
        found(tmp_path, arms={"grid": ARMS["grid"]})
    with pytest.raises(StudyError, match="gives no verdict"):
        found(tmp_path, until=None, protocol="paper", data={"name": "digits", "validation": 0})
