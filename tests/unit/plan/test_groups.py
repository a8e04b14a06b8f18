"""Advice on the number of groups with their own teacher and split."""

import numpy as np
import pytest

from ctkd_study.plan.groups import advise
from ctkd_study.spec import StudySpec, from_mapping
from tests.support.studies import plain
from trainables.record import Manifest, Summary
from trainables.trial import describe


def study(seeds: int = 20, **changes: object) -> StudySpec:
    arms = {name: {"temperature": {"kind": "fixed", "value": value}} for name, value in (("a", 2), ("b", 4))}
    return from_mapping(plain(**{"arms": arms, "seeds": seeds, "vary": {"teacher": 5}, **changes}))


def finished(spec: StudySpec, by_group: float, by_seed: float) -> dict[str, Manifest]:
    """Records whose differences between arms vary by this much."""
    rng, found = np.random.default_rng(1), {}
    groups = rng.normal(0, by_group, spec.vary.groups)
    for seed in spec.seeds:
        difference = float(groups[spec.vary.group(seed)] + rng.normal(0, by_seed))
        for setting, test in zip(spec.settings(), (90.0, 90.0 + difference), strict=True):
            trial = setting.trial(seed)
            run = trial.config.run.model_copy(update={"trial": trial.id, "arm": trial.arm, "setting": setting.label})
            manifest = describe(trial.config.model_copy(update={"run": run}), [], None, status="finished")
            summary = Summary(val_top1=90.0, val_loss=1.0, test_loss=1.0, test_top1=test)
            found[trial.id] = manifest.model_copy(update={"summary": summary})
    return found


@pytest.mark.parametrize(
    ("seeds", "group_seconds", "seeds_per_group", "groups"),
    [
        (20, 10.0, 1, 12),  # equal costs: one seed a group, and for 5 x 10 + 20 x 10 there are 12 and a half
        (20, 160.0, 4, 5),  # m = √16; 5 x 160 + 20 x 10 pays for exactly 5
        (20, 2.5, 1, 17),  # m = √¼, and there is no half a seed
        (5, 160.0, 4, 5),  # never fewer than five groups
    ],
)
def test_without_records_groups_and_seeds_are_taken_to_vary_equally(
    seeds: int, group_seconds: float, seeds_per_group: int, groups: int
) -> None:
    found = advise(study(seeds), {}, group_seconds, 10.0)
    assert found is not None
    assert (found.seeds_per_group, found.groups) == (seeds_per_group, groups)
    assert "assumed that differences vary as much between groups as between seeds" in str(found)


def test_finished_trials_tell_how_much_groups_and_seeds_vary() -> None:
    spec = study(400, vary={"teacher": 20})
    found = advise(spec, finished(spec, by_group=0.5, by_seed=2.0), 40.0, 10.0)
    assert found is not None
    assert found.between_seeds == pytest.approx(2.0, rel=0.1)
    assert found.between_groups == pytest.approx(0.5, rel=0.5)
    ratio = 40.0 / 10.0 * (found.between_seeds or 0) ** 2 / (found.between_groups or 1) ** 2
    assert found.seeds_per_group == round(ratio**0.5)
    assert f"vary by {found.between_seeds:.2g} points between seeds of a group" in str(found)


def test_groups_that_do_not_differ_are_as_few_as_there_may_be() -> None:
    spec = study(40)
    records = finished(spec, by_group=0.0, by_seed=2.0)
    found = advise(spec, records, 40.0, 10.0)
    assert found is not None
    assert (found.between_groups, found.seeds_per_group, found.groups) == (0.0, 8, 5)


def test_where_nothing_can_be_advised() -> None:
    paper = study(vary={"teacher": 5}, protocol="paper", data={"name": "digits", "validation": 0})
    assert advise(paper, {}, 1.0, 1.0) is None
    assert advise(study(), {}, 1.0, 0.0) is None
