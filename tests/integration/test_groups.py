"""Groups of seeds with their own teacher and split, trained for real."""

from pathlib import Path
from typing import Any

import pytest

from ctkd_study import Study
from ctkd_study.launch import InlineRunner
from tests.support import settings
from tests.support.studies import plain

SMALL: dict[str, Any] = {
    "name": "groups",
    "student": settings.STUDENT,
    "teacher": settings.TEACHER,
    "recipe": {"epochs": 2, "batch_size": 32},
    "data": {"name": "digits", "validation": 700, "train_examples": 100},
    "margin": 5.0,
    "arms": {
        "four": {"temperature": {"kind": "fixed", "value": 4}},
        "alone": {"distiller": {"name": "none"}},
    },
    "baseline": "alone",
}


def study(**changes: Any) -> Study:
    return Study(**plain(**{**SMALL, **changes}))


def test_a_group_is_the_study_of_its_teacher_and_split_and_the_verdict_is_about_new_ones(tmp_path: Path) -> None:
    both = study(seeds=5, vary={"teacher": 5, "split": 5})
    outcome = both.run(str(tmp_path / "both"), runner=InlineRunner())
    assert outcome.exit_status == 0
    manifests = outcome.manifests.values()
    taught = [manifest for manifest in manifests if manifest.arm == "four"]
    assert len({manifest.data for manifest in manifests}) == 5
    assert len({manifest.teacher for manifest in taught}) == 5
    assert len(list((tmp_path / "both" / ".teachers").iterdir())) == 5

    alike = study(
        seeds=[2],
        teacher={**settings.TEACHER, "seed": settings.TEACHER.get("seed", 0) + 2},
        data={**SMALL["data"], "split_seed": 2},
    )
    alone = alike.run(str(tmp_path / "alone"), runner=InlineRunner()).manifests
    assert alone.keys() == {key for key in outcome.manifests if key.endswith("-s2")}
    for key, manifest in alone.items():
        ours = outcome.manifests[key]
        assert (ours.fingerprint, ours.data, ours.teacher) == (manifest.fingerprint, manifest.data, manifest.teacher)
        assert ours.summary.test_top1 == manifest.summary.test_top1
        assert ours.summary.val_loss == manifest.summary.val_loss

    (pair,) = both.compare(str(tmp_path / "both"), state=outcome.state).pairs
    assert [each.about for each in pair.intervals] == [
        "with new teachers and splits on this test set",
        "with new teachers and splits on new examples",
    ]
    assert pair.difference == pytest.approx(sum(value or 0.0 for value in pair.per_seed) / 5)
    facts = both.compare(str(tmp_path / "both")).question.teacher
    assert facts is not None
    assert facts.number == 5
    assert facts.description.endswith("trained 5 times")

    again = both.run(str(tmp_path / "both"), runner=InlineRunner())
    assert (again.trained, again.exit_status) == (0, 0)
