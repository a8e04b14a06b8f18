"""Rows in their stored precision."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays as arrays_of_numbers
from numpy.typing import NDArray

from trainables.bank import BankCost, Precision, Segment, Table, row_bytes


@hypothesis_settings(deadline=None)
@given(arrays_of_numbers(np.float32, (3, 5), elements=st.floats(-1e6, 1e6, width=32)))
@example(np.array([[1e-45, 0.0], [1e-40, 0.0], [0.0, 0.0]], np.float32))
def test_16_bits_are_off_by_half_a_step_of_their_row_at_most(numbers: NDArray[np.float32]) -> None:
    span = numbers.max(axis=1, keepdims=True).astype(np.float64) - numbers.min(axis=1, keepdims=True)
    # Below the smallest normal number single precision keeps no relative precision, nor can steps of such rows.
    rounding = 2e-7 * np.abs(numbers).max() + np.finfo(np.float32).tiny
    off = np.abs(Table.of(numbers, "fixed16").read(np.arange(3)).astype(np.float64) - numbers)
    assert (off <= 0.501 * span / 65_535 + rounding).all()
    assert np.array_equal(Table.of(numbers, "float32").read(np.array([2, 0])), numbers[[2, 0]])


def test_what_a_pair_takes() -> None:
    assert row_bytes("float32", 10) == 8 + 40
    assert row_bytes("float32", 10, 64) == 8 + 40 + 256
    assert row_bytes("fixed16", 10, 64) == 8 + (20 + 8) + (128 + 8)


def test_16_bits_are_steps_from_the_smallest_to_the_largest_of_a_row() -> None:
    table = Table.of(np.array([[0.0, 65_535.0, 2.0], [5.0, 5.0, 5.0]]), "fixed16")
    assert table.values.tolist() == [[0, 65_535, 2], [0, 0, 0]]
    assert table.scale is not None
    assert table.scale.tolist() == [[0.0, 1.0], [5.0, 1.0]]
    assert table.read(np.array([1, 0])).tolist() == [[5.0, 5.0, 5.0], [0.0, 65_535.0, 2.0]]


@pytest.mark.parametrize("precision", ["float32", "fixed16"])
def test_rows_of_zeros_read_as_zeros(precision: Precision) -> None:
    table = Table.zeros(3, 2, precision)
    assert (table.width, table.read(np.array([2, 0])).tolist()) == (2, [[0.0, 0.0], [0.0, 0.0]])


def test_costs_add_up() -> None:
    assert BankCost(1, 2.0, 3.0, 4.0, 5) + BankCost(10, 20.0, 30.0, 40.0, 50) == BankCost(11, 22.0, 33.0, 44.0, 55)


def test_numbers_are_kept_in_their_types() -> None:
    rows = np.array([[0.0, 1.0, 3.0], [2.0, 2.0, 2.0]])
    exact = Table.of(rows, "float32")
    assert (str(exact.values.dtype), exact.scale is None) == ("float32", True)
    steps = Table.of(rows.astype(np.float32), "fixed16")
    assert steps.scale is not None
    assert [str(each.dtype) for each in (steps.values, steps.scale)] == ["uint16", "float32"]
    for table in (exact, steps):
        assert table.read(np.array([1])).dtype == np.float32


def test_steps_are_taken_from_numbers_in_double_precision() -> None:
    # In single precision, the span of this row would be infinite.
    table = Table.of(np.array([[-3e38, 0.0, 3e38]], np.float32), "fixed16")
    assert table.values.tolist() == [[0, 32768, 65535]]


@pytest.mark.parametrize(("precision", "kind"), [("float32", "float32"), ("fixed16", "uint16")])
def test_zeros_have_the_types_of_rows(precision: Precision, kind: str) -> None:
    table = Table.zeros(4, 3, precision)
    assert (table.values.shape, str(table.values.dtype)) == ((4, 3), kind)
    assert (table.scale is None) == (precision == "float32")
    assert table.scale is None or (table.scale.shape, str(table.scale.dtype)) == ((4, 2), "float32")


def test_a_segment_knows_its_first_and_last_key() -> None:
    segment = Segment(np.array([3, 5, 9]), Table.zeros(3, 2, "float32"), None)
    assert (segment.first, segment.last) == (3, 9)
