"""λ by epoch against the authors' schedules; theirs hold -λ."""

import sys

from tests.reference import cases
from tests.reference.checks import check_schedules
from trainables.curriculum import CURRICULA


def test_the_cosine_schedule_is_the_authors() -> None:
    check_schedules("cosine", until=lambda loops: sys.maxsize)


def test_the_linear_schedule_is_the_authors_up_to_its_last_step() -> None:
    check_schedules("linear", until=lambda loops: loops - 1)


def test_the_linear_schedule_reaches_its_end_where_the_authors_stops_short() -> None:
    linear = {key: values for key, values in cases.load_json("schedules.json").items() if key.startswith("linear ")}
    assert linear
    for key, values in linear.items():
        loops = int(key.rpartition("loops=")[2])
        end = -float(key.partition("min=")[2].partition(" ")[0])
        curriculum = CURRICULA.parse({"kind": "linear", "end": end, "epochs": loops})
        assert curriculum.strength(loops) == curriculum.strength(loops + 100) == end
        assert -values[-1] < end
