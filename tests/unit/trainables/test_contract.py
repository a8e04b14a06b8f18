"""A part that forgets a method, or takes one that is not its own, is refused when its class is defined."""

from abc import abstractmethod
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from trainables.contract import Contract
from trainables.distillers import Distiller, Losses
from trainables.distillers.feature import FeatureDistiller
from trainables.temperatures import SingleTemperature, Temperature


def compute(self: object, *given: object) -> Losses:
    return Losses(torch.zeros(()), torch.zeros(()))


def one(self: object, *given: object) -> Tensor:
    return torch.ones(())


@pytest.mark.parametrize(
    ("base", "members", "message"),
    [
        (Distiller, {}, "Mine must define compute"),
        (Distiller, {"losses": compute}, "Mine must not override losses; it must define compute"),
        (Distiller, {"losses": compute, "compute": compute}, "Mine must not override losses"),
        (FeatureDistiller, {}, "Mine must define other"),
        (FeatureDistiller, {"losses": compute, "other": one}, "Mine must not override losses; it must define other"),
        (Temperature, {}, "Mine must define kd_term"),
        (Temperature, {"value": one}, "Mine must define kd_term"),
        (SingleTemperature, {}, "Mine must define value"),
    ],
)
def test_a_wrong_class_is_refused(base: type, members: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=f"^{message}"):
        type("Mine", (base,), members)


@pytest.mark.parametrize(
    ("base", "members"),
    [
        (Distiller, {"compute": compute}),
        (FeatureDistiller, {"other": one}),
        (Temperature, {"kd_term": one}),
        (SingleTemperature, {"value": one}),
    ],
)
def test_a_whole_class_is_a_module(base: type, members: dict[str, Any]) -> None:
    mine: Any = type("Mine", (base,), {"__init__": lambda self: nn.Module.__init__(self), **members})
    assert isinstance(mine(), nn.Module)


def test_what_a_base_class_leaves_open_is_asked_of_its_subclasses() -> None:
    class Middle(Contract):
        @abstractmethod
        def first(self) -> int: ...

        @abstractmethod
        def second(self) -> int: ...

    with pytest.raises(TypeError, match=r"^Lower must define second$"):
        type("Lower", (Middle,), {"first": lambda self: 1})
    with pytest.raises(TypeError, match=r"^Lower must define first, second$"):
        type("Lower", (Middle,), {})
    type("Lower", (Middle,), {"first": lambda self: 1, "second": lambda self: 2})
