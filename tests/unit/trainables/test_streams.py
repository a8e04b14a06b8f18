import hashlib
import itertools

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from trainables import streams
from trainables.streams import Purpose


def test_an_address_always_holds_the_same_numbers() -> None:
    # Literal: changing what an address holds would change every study's numbers.
    assert streams.batch_order(0, 1, 8).tolist() == [6, 5, 1, 3, 4, 0, 2, 7]
    assert streams.split_order(Purpose.SPLIT, 3, 8).tolist() == [6, 7, 1, 0, 5, 4, 2, 3]
    assert streams.split_order(Purpose.SUBSET, 3, 8).tolist() == [2, 0, 3, 1, 7, 5, 4, 6]
    assert streams.views(3, 2, 6, 162).tolist() == [47, 25, 117, 65, 156, 25]
    with streams.torch_scope(Purpose.STUDENT, 5):
        assert torch.randint(0, 1000, (4,)).tolist() == [583, 667, 474, 473]


def test_no_two_addresses_share_a_stream() -> None:
    addresses = itertools.product(Purpose, range(3), range(3))
    heads = [streams.generator(*address).bytes(16) for address in addresses]
    assert len(set(heads)) == len(heads)


def test_neighbouring_numbers_in_an_address_do_not_run_together() -> None:
    # "1/12" and "11/2" are different addresses.
    assert streams.generator(Purpose.ORDER, 1, 12).bytes(8) != streams.generator(Purpose.ORDER, 11, 2).bytes(8)


def test_torch_scopes_at_different_addresses_draw_differently() -> None:
    heads = set()
    for purpose, seed in itertools.product((Purpose.STUDENT, Purpose.TEMPERATURE, Purpose.DISTILLER), range(3)):
        with streams.torch_scope(purpose, seed):
            heads.add(hashlib.sha256(torch.rand(4).numpy().tobytes()).hexdigest())
    assert len(heads) == 9


@pytest.mark.parametrize("order", [streams.batch_order(1, 2, 1000), streams.split_order(Purpose.SPLIT, 1, 1000)])
def test_an_order_holds_every_place_once(order: NDArray[np.int64]) -> None:
    assert order.dtype == np.int64
    assert sorted(order) == list(range(1000))
    assert order.tolist() != sorted(order)


def test_an_examples_view_depends_only_on_seed_and_epoch() -> None:
    views = streams.views(0, 4, 1000, 9)
    assert views.dtype == np.int64
    assert set(views) == set(range(9))
    assert np.array_equal(views, streams.views(0, 4, 1000, 9))
    assert not np.array_equal(views, streams.views(0, 5, 1000, 9))


def test_a_torch_scope_leaves_the_global_generator_as_it_was() -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    with streams.torch_scope(Purpose.STUDENT, 0):
        torch.rand(100)
    assert torch.equal(torch.rand(3), expected)


def test_a_torch_scope_does_not_depend_on_what_was_drawn_before() -> None:
    draws = []
    for waste in (0, 10):
        torch.rand(waste)
        with streams.torch_scope(Purpose.STUDENT, 3):
            draws.append(torch.rand(5))
    assert torch.equal(*draws)
