"""Whether a study's teacher is banked is chosen by what a bank saves, once, and kept."""

from pathlib import Path
from typing import Any

import pytest

from ctkd_study import Study, StudyError
from ctkd_study.launch.inline import InlineRunner
from ctkd_study.plan.bank_choice import forecast, settled
from ctkd_study.records.folder import StudyFolder
from ctkd_study.spec import StudySpec, from_mapping
from tests.support import settings
from tests.support.studies import plain
from trainables.storage import Storage

FIXED = {"temperature": {"kind": "fixed", "value": 4}}
CROP = {"name": "digits", "validation": 100, "train_examples": 50, "views": {"kind": "crop", "padding": 1}}
VIEWS = 18


def study(**changes: Any) -> StudySpec:
    """One arm on digits with 18 views an example, three seeds of three epochs."""
    return from_mapping(plain(**{"data": CROP, **changes}))


def grid_of(*values: float) -> dict[str, Any]:
    return {"four": {"temperature": {"kind": "fixed", "value": {"grid": list(values)}}}}


def expected(draws: int) -> float:
    return VIEWS * (1 - (1 - 1 / VIEWS) ** draws)


@pytest.mark.parametrize(
    ("changes", "reads", "views"),
    [
        ({}, 9, expected(9)),
        ({"arms": grid_of(1, 2, 4)}, 27, expected(9)),
        ({"seeds": [4]}, 3, expected(3)),
        ({"data": {"name": "digits", "validation": 100}}, 9, 1.0),
        (
            {"arms": {"four": FIXED, "alone": {"distiller": {"name": "none"}}}},
            9,
            expected(9),
        ),
        ({"arms": {"short": FIXED, "long": {**FIXED, "recipe": {"epochs": 7}}}}, 30, expected(21)),
    ],
)
def test_reads_and_views_of_an_example(changes: dict[str, Any], reads: int, views: float) -> None:
    found = forecast(study(**changes))
    assert found is not None
    assert found.reads == reads
    assert found.views == pytest.approx(views)


def test_no_forecast_where_no_trial_would_read_a_bank() -> None:
    assert forecast(study(distiller={"name": "sp"})) is None
    assert forecast(study(teacher_source="online")) is None


@pytest.mark.parametrize(
    ("changes", "source"),
    [
        ({"arms": grid_of(1, 2)}, "bank16"),
        ({"seeds": 1, "recipe": {"epochs": 2}}, "online"),  # nearly every view is seen once
        ({"data": {"name": "digits", "validation": 100}, "seeds": 1}, "bank32"),
        ({"data": {"name": "digits", "validation": 100}, "seeds": 1, "recipe": {"epochs": 1}}, "online"),
        ({"arms": grid_of(1, 2), "bank": {"max_bytes": 1000}}, "online"),
        ({"arms": grid_of(1, 2), "bank": {"max_bytes": 100_000}}, "bank16"),
        ({"arms": grid_of(1, 2), "teacher_source": "bank32"}, "bank32"),
        ({"seeds": 1, "recipe": {"epochs": 1}, "teacher_source": "bank32"}, "bank32"),
        ({"distiller": {"name": "sp"}}, None),
    ],
)
def test_a_bank_is_chosen_if_it_saves_work_and_fits(changes: dict[str, Any], source: str | None) -> None:
    assert settled(study(**changes), None).teacher_source == source


def test_the_bank_is_as_large_as_it_was_said_to_be(tmp_path: Path) -> None:
    changes: dict[str, Any] = {"teacher": settings.TEACHER, "student": settings.STUDENT, "data": CROP}
    for distiller in ({"name": "kd"}, {"name": "pkt"}):
        storage = str(tmp_path / distiller["name"])
        ours = Study(**plain(**changes, distiller=distiller))
        ours.run(storage, runner=InlineRunner())
        bank, found = ours.bank(storage), forecast(ours.spec)
        assert bank is not None
        assert found is not None
        headers = sum(128 for _ in Path(storage).rglob("*.npy"))
        assert bank.bytes - headers == pytest.approx(found.bytes(), rel=0.05)
        assert bank.pairs == pytest.approx(50 * found.views, rel=0.05)


def test_a_bank_that_is_asked_for_and_does_not_fit_is_refused() -> None:
    with pytest.raises(StudyError, match=r"bank32 needs a bank of about .* but bank\.max_bytes is 10"):
        settled(study(teacher_source="bank32", bank={"max_bytes": 10}), None)


def test_the_first_runs_choice_is_kept_whatever_is_added(tmp_path: Path) -> None:
    storage = str(tmp_path)
    changes: dict[str, Any] = {"teacher": settings.TEACHER, "student": settings.STUDENT, "recipe": {"epochs": 1}}
    small = plain(**changes, data=CROP, seeds=1)
    Study(**small).run(storage, runner=InlineRunner())
    stored, _ = StudyFolder(Storage.at(storage), "small").stored()
    assert stored.teacher_source == "online"
    more = Study(**{**small, "seeds": 2, "arms": grid_of(1, 2, 4, 8)})
    assert settled(more.spec, None).teacher_source == "bank16", "now, a bank would pay"
    outcome = more.run(storage, runner=InlineRunner())
    assert {m.config["teacher_source"] for m in outcome.manifests.values()} == {"online"}
    assert more.bank(storage) is None
    with pytest.raises(StudyError, match='teacher_source: "online" -> "bank16"'):
        Study(**{**small, "teacher_source": "bank16"}).run(storage, runner=InlineRunner())
    fresh = more.run(storage, fresh=True, runner=InlineRunner())
    assert {m.config["teacher_source"] for m in fresh.manifests.values()} == {"bank16"}


def test_an_estimate_says_what_the_bank_will_take(tmp_path: Path) -> None:
    storage = str(tmp_path)
    ours = Study(**plain(teacher=settings.TEACHER, student=settings.STUDENT, data=CROP))
    before = ours.estimate(storage).bank
    assert before is not None
    assert (before.source, before.reads) == ("bank16", 50 * 9)
    assert before.pairs == pytest.approx(50 * expected(9), rel=0.05)
    assert before.seconds.middle > 0
    assert f"{before.pairs:,} more looks" in str(before)
    ours.run(storage, runner=InlineRunner())
    after = ours.estimate(storage).bank
    assert after is not None
    assert (after.pairs, after.seconds.high) == (0, 0)
    online = Study(**plain(teacher=settings.TEACHER, student=settings.STUDENT, data=CROP, teacher_source="online"))
    assert "runs online" in str(online.estimate(str(tmp_path / "online")).bank)
