"""How large a bank would be, in bytes, and where the choice tips."""

import dataclasses
import math
from typing import Any

import pytest

from ctkd_study import StudyError
from ctkd_study.plan.bank_choice import BankForecast, forecast, settled
from ctkd_study.spec import StudySpec, from_mapping
from tests.support import settings
from tests.support.studies import plain

CROP = {"name": "digits", "validation": 100, "train_examples": 50, "views": {"kind": "crop", "padding": 1}}
DRAWN = 18 * (1 - (1 - 1 / 18) ** 9)
"""Views of an example that three seeds of three epochs draw, of its 18."""
KD = {"distiller": {"name": "kd"}, "temperature": {"kind": "fixed", "value": 4}}
PKT = {**KD, "distiller": {"name": "pkt"}}
# Numbers of 2 bytes with a scale of 8 bytes a row, or of 4 bytes; 8 bytes of key; 10 logits; 16 pooled numbers.
KD16, KD32, PKT16, PKT32 = 8 + (20 + 8), 8 + 40, 8 + (20 + 8) + (32 + 8), 8 + 40 + 64


def study(**changes: Any) -> StudySpec:
    return from_mapping(plain(**{"data": CROP, "teacher": settings.TEACHER, "student": settings.STUDENT, **changes}))


def forecast_of(**changes: Any) -> BankForecast:
    found = forecast(study(**changes))
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("changes", "pair"),
    [
        ({"arms": {"a": KD}}, KD16),
        ({"arms": {"a": KD}, "teacher_source": "bank32"}, KD32),
        ({"arms": {"a": PKT}}, PKT16),
        ({"arms": {"a": PKT}, "teacher_source": "bank32"}, PKT32),
        ({"arms": {"a": KD, "b": PKT}}, PKT16),
        ({"arms": {"a": PKT, "b": KD}}, PKT16),
    ],
)
def test_a_bank_has_a_key_and_the_widest_row_for_each_pair(changes: dict[str, Any], pair: int) -> None:
    assert forecast_of(**changes).bytes() == pytest.approx(50 * DRAWN * pair)


def test_without_views_a_bank_holds_each_example_once_in_full_precision() -> None:
    found = forecast_of(data={"name": "digits", "validation": 100})
    assert (found.source, found.views) == ("bank32", 1)
    assert found.bytes() == pytest.approx(900 * KD32)


def test_a_trial_without_teacher_reads_no_bank() -> None:
    found = forecast_of()
    alone = dataclasses.replace(found, config=found.config.model_copy(update={"teacher": None}))
    with pytest.raises(TypeError, match="a trial that reads a bank has a teacher"):
        alone.bytes()


@pytest.mark.parametrize(("views", "pays"), [(9.0, True), (9.01, False), (1.0, True)])
def test_a_bank_pays_when_it_saves_a_tenth_of_the_passes(views: float, pays: bool) -> None:
    assert BankForecast(forecast_of().config, "bank16", 10, views).pays is pays


def test_a_bank_fits_up_to_the_last_byte() -> None:
    size = forecast_of().bytes()
    for most, source in ((math.ceil(size), "bank16"), (math.floor(size), "online")):
        assert settled(study(bank={"max_bytes": most}), None).teacher_source == source
    settled(study(teacher_source="bank16", bank={"max_bytes": math.ceil(size)}), None)
    with pytest.raises(StudyError) as refused:
        settled(study(teacher_source="bank16", bank={"max_bytes": math.floor(size)}), None)
    assert str(refused.value) == (
        f"teacher_source bank16 needs a bank of about {size:.3g} bytes, but bank.max_bytes is {math.floor(size)}: "
        "allow more, or use online"
    )


def test_what_was_chosen_before_counts_even_where_it_no_longer_fits() -> None:
    before = study(teacher_source="bank16")
    assert settled(study(bank={"max_bytes": 1}), before).teacher_source == "bank16"
    assert settled(study(teacher_source="bank16", bank={"max_bytes": 1}), before).teacher_source == "bank16"
    assert settled(study(teacher_source="bank32"), before).teacher_source == "bank32", "refused later, as a change"
    assert settled(study(bank={"max_bytes": 1}), study(teacher_source=None)).teacher_source == "online"
