"""torchvision's classification networks, with features read off their traced graphs.

torchvision is imported only when one is named. Weights are random, drawn as torchvision draws them; files of its
published weights load as checkpoints, with torchvision's keys.
"""

# B batch, C classes, D width of the pooled vector

import copy
from typing import Any, ClassVar, cast

import torch
from pydantic import Field, field_validator
from torch import Tensor, nn

from trainables.models.base import Features, ModelOptions, Network
from trainables.models.foreign import ForeignNetwork, require_known

_BATCH = 2


class TorchvisionOptions(ModelOptions):
    """A classification network of torchvision, e.g. `torchvision:resnet18`, with random weights."""

    prefix: ClassVar[str] = "torchvision:"

    model: str = Field(
        pattern=r"^torchvision:\w+$", description="`torchvision:NAME`, NAME as torchvision's list_models gives it."
    )

    @field_validator("model")
    @classmethod
    def _known(cls, model: str) -> str:
        import torchvision

        known = torchvision.models.list_models(module=torchvision.models)
        require_known("torchvision", model.removeprefix(cls.prefix), known)
        return model

    def build(self, classes: int, channels: int, size: int) -> Network:
        import torchvision

        name = self.model.removeprefix(self.prefix)
        try:
            network = torchvision.models.get_model(name, weights=None, num_classes=classes, **_extra(name, size))
            _take_channels(network, channels)
            outputs = _outputs(network, channels, size)
        except (RuntimeError, ValueError, AssertionError) as fault:
            raise ValueError(f"{self.model} must fit {channels} x {size} x {size} images, but {fault}") from fault
        *_, (pooled, vector), (logits, _) = outputs
        head = dict(network.named_modules()).get(logits)
        if not isinstance(head, nn.Linear) or vector.shape != (_BATCH, head.in_features):
            raise ValueError(f"the last layer must be linear, on one vector per image, but {self.model} ends in {head}")
        return TorchvisionNetwork(network, _maps(network, outputs[1:-2]), pooled, logits)


class TorchvisionNetwork(ForeignNetwork):
    """A traced network; its maps are the last at each height, where a block ends, before the final pooling.

    Stages that share a height, as on tiny images, share a map. Transformers give few: their layers give tokens.
    """

    def __init__(self, network: nn.Module, maps: tuple[str, ...], pooled: str, logits: str) -> None:
        from torchvision.models.feature_extraction import create_feature_extractor

        super().__init__(create_feature_extractor(network, [*maps, pooled, logits]))
        self.nodes = (*maps, pooled, logits)

    def features(self, images: Tensor) -> Features:
        outputs = self.body(images)
        *maps, pooled, logits = (outputs[name] for name in self.nodes)
        return Features(logits, tuple(maps), pooled)

    def __deepcopy__(self, memo: dict[int, Any]) -> "TorchvisionNetwork":
        # A copy of a traced network is in training mode, whatever the original is.
        copied = type(self).__new__(type(self))
        memo[id(self)] = copied
        copied.__dict__ = copy.deepcopy(self.__dict__, memo)
        return copied.train(self.training)

    @property
    def head(self) -> nn.Linear:
        return cast(nn.Linear, self.body.get_submodule(self.nodes[-1]))


def _extra(name: str, size: int) -> dict[str, Any]:
    """What some builders need to know besides the number of classes."""
    if name in ("googlenet", "inception_v3"):
        # Side classifiers would give several logits.
        return {"aux_logits": False, "init_weights": True}
    if name.startswith("vit_"):
        return {"image_size": size}
    return {"input_size": (size, size)} if name.startswith("maxvit") else {}


def _take_channels(network: nn.Module, channels: int) -> None:
    """Fits the first convolution to the channels of the images; it keeps the distribution of its weights."""
    stem = next(module for module in network.modules() if isinstance(module, nn.Conv2d))
    if stem.in_channels != channels:
        drawn = [channel % stem.in_channels for channel in range(channels)]
        stem.weight = nn.Parameter(stem.weight.detach()[:, drawn].clone())
        stem.in_channels = channels


def _outputs(network: nn.Module, channels: int, size: int) -> list[tuple[str, Any]]:
    """What every node of the traced network gives for a batch of images, in order, on the meta device."""
    from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

    names, _ = get_graph_node_names(network)
    shadow = create_feature_extractor(copy.deepcopy(network).to("meta"), names)
    outputs = shadow(torch.empty(_BATCH, channels, size, size, device="meta"))
    return [(name, outputs[name]) for name in names]


def _maps(network: nn.Module, outputs: list[tuple[str, Any]]) -> tuple[str, ...]:
    modules = dict(network.named_modules())
    pools = [
        i
        for i, (name, _) in enumerate(outputs)
        if isinstance(modules.get(name), nn.AdaptiveAvgPool2d) or name.startswith("adaptive_avg_pool2d")
    ]
    # Blocks are two levels deep at most: layer1.0, features.3, trunk_output.block2.
    blocks = [name.split(".")[:2] for name, _ in outputs] + [[]]
    end = pools[-1] if pools else len(outputs)
    found: list[str] = []
    height = 0
    for i in reversed(range(end)):
        name, output = outputs[i]
        if blocks[i] == blocks[i + 1] or not isinstance(output, Tensor) or output.dim() != 4:
            continue
        # The images are square; what is not lists its channels last.
        if output.shape[2] == output.shape[3] and output.shape[2] > height:
            height = output.shape[2]
            found.append(name)
    return tuple(reversed(found))
