"""Simulated studies through the code that decides real ones: verdicts keep their error, and what breaks is seen.

The short form of ``make calibrate``: few studies of the main cases. The published numbers are those of the long form.
"""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from ctkd_study.report.files import save
from tests.calibration import page, publish
from tests.calibration.cases import CURVES, ERROR, SECTIONS, Case, faults, span
from tests.calibration.simulation import DRAWS, Design, Tally, Truth, tally

EVERY = {title: case for its in SECTIONS.values() for title, case in its.items()}
SHORT = {title: case for title, case in EVERY.items() if case.short}


@pytest.mark.parametrize("case", SHORT.values(), ids=SHORT)
def test_few_studies_agree_with_what_is_promised(case: Case) -> None:
    assert not faults(case, tally(case.truth, case.design, case.short))


def test_the_published_counts_are_of_all_cases_and_agree_with_what_is_promised() -> None:
    found = publish.read()
    assert {section: list(its) for section, its in found.items()} == {
        section: list(its) for section, its in {**SECTIONS, **CURVES}.items()
    }
    assert not publish.broken(found)


def test_the_page_shows_the_published_counts() -> None:
    text = (publish.DOCS / "statistics.md").read_text(encoding="utf-8")
    found = publish.read()
    assert page.table(found) == text.split(page.START)[1].split(page.END)[0].strip()
    (studies,) = {each.studies for section in SECTIONS for each in found[section].values()}
    assert f"{studies:,} studies" in text


@pytest.mark.parametrize("name", ["errors", "verdicts"])
def test_the_figures_are_those_of_the_published_counts(name: str, tmp_path: Path) -> None:
    save(getattr(page, name)(publish.read()), tmp_path / f"{name}.svg")
    assert (tmp_path / f"{name}.svg").read_text() == (publish.COUNTS.parent / f"{name}.svg").read_text()


def test_fewer_studies_are_the_first_of_more_and_the_same_each_time() -> None:
    few, again, more = (tally(Truth(), Design(4), count) for count in (20, 20, 40))
    assert few == again
    assert all(more.counts[outcome] >= count for outcome, count in few.counts.items())


@pytest.mark.parametrize("kind", DRAWS)
def test_every_distribution_has_mean_0_and_deviation_1(kind: str) -> None:
    values = DRAWS[kind](np.random.default_rng(0), 400_000)
    assert abs(values.mean()) < 0.01
    assert values.std() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize(("wrong", "is_fault"), [(260, False), (320, True), (350, True)])
def test_a_rate_that_contradicts_its_promise_is_a_fault(wrong: int, is_fault: bool) -> None:
    assert bool(faults(Case(Truth(), Design()), Tally(10_000, {"too_good": wrong}, 8))) == is_fault


def test_looks_as_if_each_were_the_only_one_would_be_found_out() -> None:
    case = next(case for case in SHORT.values() if case.design.naive)
    assert faults(dataclasses.replace(case, promise=ERROR), tally(case.truth, case.design, case.short))


def test_the_rates_that_explain_a_count() -> None:
    # Clopper and Pearson: 0 of n has the upper end 1 - (0.0005)^(1/n).
    assert span(0, 1000) == pytest.approx((0, 1 - 0.0005**0.001))
    assert span(1000, 1000) == pytest.approx((0.0005**0.001, 1))
    assert span(0, 0) == (0, 1)
