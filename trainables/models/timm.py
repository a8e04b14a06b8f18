"""timm's networks, where timm is installed.

Weights are random, drawn as timm draws them; files of its published weights load as checkpoints, with timm's keys.
"""

# B batch, C classes, D width of the pooled vector

import copy
import importlib
import importlib.util
from typing import Any, ClassVar, cast

import torch
from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError
from torch import Tensor, nn

from trainables.models.base import Features, ModelOptions, Network
from trainables.models.foreign import ForeignNetwork, require_known


class TimmOptions(ModelOptions):
    """A network of timm, e.g. `timm:resnet18`, with random weights; needs the package timm."""

    prefix: ClassVar[str] = "timm:"

    model: str = Field(pattern=r"^timm:[\w.]+$", description="`timm:NAME`, NAME as timm's list_models gives it.")

    @field_validator("model")
    @classmethod
    def _known(cls, model: str) -> str:
        if importlib.util.find_spec("timm") is None:
            raise PydanticCustomError("timm", "needs the package timm (pip install timm)")
        require_known("timm", model.removeprefix(cls.prefix), _timm().list_models())
        return model

    def build(self, classes: int, channels: int, size: int) -> Network:
        name, fit = self.model.removeprefix(self.prefix), {"num_classes": classes, "in_chans": channels}
        create = _timm().create_model
        try:
            try:
                # Transformers are built for one size; most other networks do not know the argument.
                body = create(name, pretrained=False, img_size=size, **fit)
            except TypeError:
                body = create(name, pretrained=False, **fit)
            if not isinstance(body.get_classifier(), nn.Linear) or not hasattr(body, "forward_intermediates"):
                raise TypeError("its last layer is not linear, or it does not give its features")
            network = TimmNetwork(body)
            # On the meta device nothing is computed; a size that does not fit is found all the same.
            with torch.no_grad():
                copy.deepcopy(network).to("meta")(torch.empty(2, channels, size, size, device="meta"))
        except (RuntimeError, ValueError, AssertionError, TypeError) as fault:
            raise ValueError(
                f"{self.model} must fit {channels} x {size} x {size} images and end in one linear layer, but {fault}"
            ) from fault
        return network


class TimmNetwork(ForeignNetwork):
    """A network of timm; its maps are those of its stages, of a transformer those of its blocks."""

    def features(self, images: Tensor) -> Features:
        body: Any = self.body
        final, maps = body.forward_intermediates(images)
        pooled = body.forward_head(final, pre_logits=True)
        return Features(self.head(pooled), tuple(maps), pooled)

    @property
    def head(self) -> nn.Linear:
        body: Any = self.body
        return cast(nn.Linear, body.get_classifier())


def _timm() -> Any:
    return importlib.import_module("timm")
