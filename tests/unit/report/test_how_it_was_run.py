"""How a study was run, as a report says it."""

from ctkd_study.records import Provenance
from ctkd_study.report import how_it_was_run
from tests.support.tabulated import quickstart

ASKED = [
    ("data", "digits"),
    ("teacher", "resnet20"),
    ("protocol", "validation"),
    ("seeds", "0 to 7"),
    ("trials", "64"),
]


def test_a_study_that_two_machines_ran() -> None:
    found = Provenance(
        launches=2,
        first_ms=1_700_000_000_000,
        last_ms=1_700_100_000_000,
        commits=("abc", "def-dirty"),
        versions={"ctkd-study": ("0.1.0",), "torch": ("2.1", "2.2")},
        machines={"Xeon, 1 thread": 63, "Xeon, H100": 1},
        hosts=2,
    )
    assert [*how_it_was_run.rows(quickstart(), found)] == [
        *ASKED,
        ("launches", "2 (2023-11-14 to 2023-11-16)"),
        ("machines", "2 hosts: Xeon, 1 thread (63 trials); Xeon, H100 (1 trial)"),
        ("versions", "ctkd-study 0.1.0, torch 2.1 and 2.2"),
        ("commit", "abc, def-dirty"),
    ]


def test_what_is_not_known_is_said() -> None:
    assert [*how_it_was_run.rows(quickstart(), Provenance())] == [
        *ASKED,
        ("launches", "0"),
        ("machines", "not known"),
        ("versions", "not known"),
        ("commit", "not in a git repository"),
    ]
    assert ("seeds", "0, 1") in how_it_was_run.rows(quickstart(2), Provenance())
