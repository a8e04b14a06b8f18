"""Which of two epochs is selected, in literal rows."""

import pytest

from trainables.epoch_selection import rank
from trainables.record import Row


def row(epoch: int, val: tuple[float | None, float | None], test: tuple[float, float]) -> Row:
    return {
        "epoch": epoch,
        **dict(zip(("val_top1", "val_loss"), val, strict=True)),
        **dict(zip(("test_top1", "test_loss"), test, strict=True)),
    }


@pytest.mark.parametrize(
    ("protocol", "better", "worse"),
    [
        ("validation", row(1, (60.0, 2.0), (10.0, 9.0)), row(2, (50.0, 1.0), (90.0, 0.1))),
        ("validation", row(1, (60.0, 1.0), (10.0, 9.0)), row(2, (60.0, 2.0), (90.0, 0.1))),
        ("validation", row(2, (60.0, 1.0), (10.0, 9.0)), row(1, (60.0, 2.0), (90.0, 0.1))),
        ("paper", row(1, (None, None), (60.0, 2.0)), row(2, (None, None), (50.0, 1.0))),
        ("paper", row(1, (None, None), (60.0, 1.0)), row(2, (None, None), (60.0, 2.0))),
    ],
    ids=["accuracy", "equal accuracy, lower loss", "whatever the order", "of the test set", "equal on the test set"],
)
def test_the_better_epoch_ranks_higher(protocol: str, better: Row, worse: Row) -> None:
    assert rank(better, protocol, 0) > rank(worse, protocol, 0)


def test_epochs_that_are_equal_twice_over_are_drawn_by_seed_and_epoch() -> None:
    def winner(seed: int) -> float | int | None:
        rows = [row(epoch, (60.0, 1.0), (0.0, 0.0)) for epoch in (1, 2, 3)]
        picked = max(rows, key=lambda each: rank(each, "validation", seed))
        assert picked == max(reversed(rows), key=lambda each: rank(each, "validation", seed))
        return picked["epoch"]

    # Literal: a change of the draw would change which epoch a recorded trial has selected.
    assert [winner(seed) for seed in range(8)] == [3, 2, 2, 1, 1, 2, 3, 3]


@pytest.mark.parametrize("lacks", [(None, 1.0), (60.0, None)])
def test_an_epoch_without_validation_cannot_be_ranked_by_it(lacks: tuple[float | None, float | None]) -> None:
    with pytest.raises(TypeError, match="row of epoch 3 must have val_top1 and val_loss, but got"):
        rank(row(3, lacks, (60.0, 1.0)), "validation", 0)
