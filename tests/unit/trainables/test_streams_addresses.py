"""Addresses with parts left out, and what a scope does when it is left in a hurry."""

import numpy as np
import pytest
import torch

from trainables import streams
from trainables.streams import Purpose


def test_what_is_drawn_before_training_is_of_epoch_0() -> None:
    assert streams.generator(Purpose.SPLIT, 3).bytes(16) == streams.generator(Purpose.SPLIT, 3, 0).bytes(16)
    assert streams.generator(Purpose.SPLIT, 3).bytes(8).hex() == "ebba89cd8ad74065"
    draws = []
    for address in ((Purpose.STUDENT, 3), (Purpose.STUDENT, 3, 0), (Purpose.STUDENT, 3, 1)):
        with streams.torch_scope(*address):
            draws.append(torch.rand(4).tolist())
    assert draws[0] == draws[1]
    assert draws[0] != draws[2]


def test_orders_are_64_bit_integers_on_every_platform() -> None:
    for order in (streams.batch_order(1, 2, 5), streams.split_order(Purpose.SUBSET, 1, 5), streams.views(0, 1, 5, 9)):
        assert order.dtype == np.int64


def test_a_scope_restores_the_generator_after_an_exception() -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    with pytest.raises(RuntimeError, match="invalid for input"), streams.torch_scope(Purpose.STUDENT, 0):
        torch.rand(100).reshape(3)
    assert torch.equal(torch.rand(3), expected)


def test_every_view_of_an_example_is_drawn_and_none_beyond() -> None:
    views = streams.views(1, 1, 2_000, 162)
    assert (views.min(), views.max()) == (0, 161)
    assert streams.views(1, 1, 5, 1).tolist() == [0] * 5
