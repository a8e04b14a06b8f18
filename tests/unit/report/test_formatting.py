"""Numbers as people read them."""

import pytest

from ctkd_study.analysis.verdict import Mean
from ctkd_study.report import formatting


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.00012345, "0.000123"),
        (0.9996, "1.000"),
        (1.0, "1.00"),
        (12.34, "12.3"),
        (-12.34, "-12.3"),
        (1234.5, "1,230"),
        (1234567.0, "1,230,000"),
        (float("inf"), "inf"),
    ],
)
def test_numbers_have_three_significant_digits(value: float, text: str) -> None:
    assert formatting.number(value) == text


@pytest.mark.parametrize(
    ("mean", "text"),
    [
        (Mean(96.434, 95.914, 96.954, ()), "96.43 ± 0.52"),
        (Mean(96.434, None, None, ()), "96.43"),
        (Mean(None, None, None, ()), "-"),
    ],
)
def test_a_mean_has_half_its_interval(mean: Mean, text: str) -> None:
    assert formatting.plus_minus(mean) == text


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ((-0.734, -1.334, -0.126), "-0.73 (-1.33 to -0.13)"),
        ((0.5, -0.25, 1.25), "+0.50 (-0.25 to +1.25)"),
        ((0.5, None, None), "+0.50"),
        ((None, None, None), "-"),
    ],
)
def test_a_difference_has_its_sign_and_its_interval(
    values: tuple[float | None, float | None, float | None], text: str
) -> None:
    assert formatting.difference(*values) == text


@pytest.mark.parametrize(("value", "text"), [(0.0004, "< 0.001"), (0.001, "0.001"), (0.0162766, "0.016"), (1, "1.000")])
def test_p_values(value: float, text: str) -> None:
    assert formatting.p_value(value) == text


def test_optional_numbers_and_counts() -> None:
    assert (formatting.optional(0.0, formatting.signed), formatting.optional(None, formatting.signed)) == ("+0.00", "-")
    assert [formatting.count(number, "seed") for number in (0, 1, 2)] == ["0 seeds", "1 seed", "2 seeds"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0s"),
        (59.4, "59s"),
        (59.6, "1m00s"),
        (187, "3m07s"),
        (3599, "59m59s"),
        (3600, "1h00m"),
        (90_061, "25h01m"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert formatting.duration(seconds) == text
