"""What every network owes, for every entry of the registry; each has a row of settings here."""

import contextlib
import copy
import dataclasses
import importlib.util
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode

from trainables.config import TEACHERS
from trainables.models import MODELS, Network
from trainables.models.init import shapes_alone
from trainables.models.pointwise import is_unsafe
from trainables.numerics import to_format

CLASSES = 7


@dataclasses.dataclass(frozen=True)
class Settings:
    """How one entry is tested."""

    images: tuple[tuple[int, int], ...]
    """Channels and sizes that it takes."""
    maps: int
    """How many feature maps it gives."""
    too_small: int | None = None
    """The largest size that it refuses; None where it takes every size."""
    convolution: tuple[str, float] | None = None
    """Key of a convolution's weights and the standard deviation of its authors' initialisation."""
    name: str = ""
    """What to write for an entry that is a prefix."""
    package: str = "torch"
    """The package that it needs; without it the network is refused."""


ALL = ((1, 8), (1, 28), (3, 32))
RESNET = Settings(ALL, 4, too_small=3, convolution=("layer3.0.conv2.weight", (2 / (9 * 64)) ** 0.5))
RESNET_X4 = Settings(ALL, 4, too_small=3, convolution=("layer3.0.conv2.weight", (2 / (9 * 256)) ** 0.5))
WRN = Settings(ALL, 4, too_small=3, convolution=("block1.layer.0.conv2.weight", (2 / (9 * 16)) ** 0.5))
WRN_2 = Settings(ALL, 4, too_small=3, convolution=("block1.layer.0.conv2.weight", (2 / (9 * 32)) ** 0.5))
VGG = Settings(ALL, 5, too_small=7, convolution=("block2.0.weight", (2 / (9 * 256)) ** 0.5))
# A third of the inputs per group; torch's default is uniform in ±1/sqrt(fan-in).
SHUFFLE_V1 = Settings(ALL, 4, too_small=7, convolution=("layer2.1.conv1.weight", (1 / 160 / 3) ** 0.5))
SHUFFLE_V2 = Settings(ALL, 4, too_small=7, convolution=("layer2.1.conv1.weight", (1 / 116 / 3) ** 0.5))

SETTINGS = {
    **dict.fromkeys(["resnet8", "resnet14", "resnet20", "resnet32", "resnet44", "resnet56", "resnet110"], RESNET),
    **dict.fromkeys(["resnet8x4", "resnet32x4"], RESNET_X4),
    **dict.fromkeys(["wrn_16_1", "wrn_40_1"], WRN),
    **dict.fromkeys(["wrn_16_2", "wrn_40_2"], WRN_2),
    **dict.fromkeys(["vgg8", "vgg11", "vgg13", "vgg16", "vgg19"], VGG),
    "MobileNetV2": Settings(
        ((1, 16), (1, 28), (3, 32)), 5, too_small=15, convolution=("blocks.5.1.conv.0.weight", (2 / 480) ** 0.5)
    ),
    "ShuffleV1": SHUFFLE_V1,
    "ShuffleV2": SHUFFLE_V2,
    "ResNet50": Settings(ALL, 5, too_small=7, convolution=("layer2.1.conv2.weight", (2 / (9 * 128)) ** 0.5)),
    "torchvision:": Settings(((1, 28), (3, 32)), 5, name="torchvision:resnet18", package="torchvision"),
    "timm:": Settings(((1, 28), (3, 32)), 5, name="timm:resnet18", package="timm"),
}


def without_row(entries: list[str]) -> list[str]:
    return [entry for entry in entries if entry not in SETTINGS]


def installed(entry: str) -> bool:
    return importlib.util.find_spec(SETTINGS[entry].package) is not None


BUILT = [entry for entry in SETTINGS if installed(entry)]
"""What the contract is tested on; what its package is missing for is refused, and that is tested, too."""
every_network = pytest.mark.parametrize("entry", BUILT)
every_image = pytest.mark.parametrize(
    ("entry", "channels", "size"), [(entry, *image) for entry in BUILT for image in SETTINGS[entry].images]
)


def build(entry: str, channels: int = 3, size: int = 32, seed: int = 0, **options: Any) -> Network:
    torch.manual_seed(seed)
    return MODELS.parse({"model": SETTINGS[entry].name or entry, **options}).build(CLASSES, channels, size)


def images(channels: int, size: int, batch: int = 4) -> Tensor:
    return torch.randn(batch, channels, size, size, generator=torch.Generator().manual_seed(1))


def test_every_entry_has_a_row_and_a_forgotten_one_is_found() -> None:
    assert without_row([*MODELS]) == []
    assert set(SETTINGS) == set(MODELS)
    assert without_row([*MODELS, "new"]) == ["new"]


@every_image
def test_features_belong_together(entry: str, channels: int, size: int) -> None:
    network, batch = build(entry, channels, size).eval(), images(channels, size)
    with torch.no_grad():
        features, logits = network.features(batch), network(batch)
        assert features.logits.shape == (4, CLASSES)
        assert features.pooled.shape == (4, network.head.in_features)
        torch.testing.assert_close(network.head(features.pooled), features.logits)
        torch.testing.assert_close(logits, features.logits)
    assert len(features.maps) == SETTINGS[entry].maps
    heights = [height for _, _, height, width in (tuple(each.shape) for each in features.maps) if height == width]
    assert len(heights) == len(features.maps)
    assert heights == sorted(heights, reverse=True)
    assert heights[0] <= size


@every_network
def test_every_parameter_learns(entry: str) -> None:
    channels, size = SETTINGS[entry].images[0]
    network = build(entry, channels, size).train()
    network(images(channels, size)).square().sum().backward()
    idle = [name for name, parameter in network.named_parameters() if parameter.grad is None]
    assert idle == []
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


@every_network
def test_channels_last_gives_the_same_logits(entry: str) -> None:
    channels, size = SETTINGS[entry].images[0]
    network, batch = build(entry, channels, size).eval(), images(channels, size)
    last = to_format(batch, "channels_last")
    assert last.stride() != batch.stride()  # with one channel they might be the same
    other = copy.deepcopy(network).to(memory_format=torch.channels_last)
    with torch.no_grad():
        logits = network(batch)
        assert (other(last) - logits).abs().max() <= 1e-4 * logits.abs().max()
        # Batch statistics of a few pixels magnify rounding, so these are compared in float64.
        logits = network.double().train()(batch.double())
        torch.testing.assert_close(other.double().train()(last.double()), logits, rtol=1e-6, atol=1e-6)


@every_network
def test_a_state_survives_a_round_trip(entry: str) -> None:
    network, other = build(entry, seed=0), build(entry, seed=1)
    with torch.no_grad():
        network.train()(images(3, 32))  # running statistics have moved
        before = other.eval()(images(3, 32))
        other.load_state_dict(network.state_dict())
        after = other(images(3, 32))
        assert torch.equal(after, network.eval()(images(3, 32)))
        assert torch.equal(after, copy.deepcopy(network)(images(3, 32)))
    assert not torch.equal(before, after)


@every_network
def test_initial_weights_follow_the_seed(entry: str) -> None:
    first, again, other = (build(entry, seed=seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(tensor, again[key]) for key, tensor in first.items())
    assert not all(torch.equal(tensor, other[key]) for key, tensor in first.items())


@every_network
def test_shapes_alone_are_those_of_the_network_and_nothing_is_drawn(entry: str) -> None:
    with shapes_alone():
        shapes = build(entry)
    drawn = torch.get_rng_state()
    assert torch.equal(drawn, torch.Generator().manual_seed(0).get_state())
    assert {tensor.device.type for tensor in shapes.state_dict().values()} == {"meta"}
    real = build(entry).state_dict()
    assert {key: tensor.shape for key, tensor in shapes.state_dict().items()} == {
        key: tensor.shape for key, tensor in real.items()
    }


@pytest.mark.parametrize("entry", [entry for entry in BUILT if SETTINGS[entry].convolution])
def test_initial_weights_are_drawn_as_the_authors_draw_them(entry: str) -> None:
    key, deviation = SETTINGS[entry].convolution or ("", 0.0)
    weights = build(entry).state_dict()[key]
    assert weights.std().item() == pytest.approx(deviation, rel=0.05)
    assert abs(weights.mean().item()) < 5 * deviation / weights.numel() ** 0.5


@pytest.mark.parametrize(("entry", "deviation"), [("vgg8", 0.01), ("MobileNetV2", 0.01)])
def test_some_heads_start_small(entry: str, deviation: float) -> None:
    head = build(entry).head
    assert head.weight.std().item() == pytest.approx(deviation, rel=0.05)
    assert not head.bias.any()


@every_network
def test_no_tensor_hides_on_the_cpu(entry: str) -> None:
    network = build(entry).train()
    tensors = [*network.named_parameters(), *network.named_buffers()]
    with FakeTensorMode():
        state = {name: torch.empty(tensor.shape, dtype=tensor.dtype, device="cuda") for name, tensor in tensors}
        logits = functional_call(network, state, torch.empty(2, 3, 32, 32, device="cuda"))
    assert logits.device.type == "cuda"


class StridedPointwise(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Collects the convolutions that torch itself is asked for, if they are 1x1 with a stride."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found: list[tuple[Any, ...]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.convolution.default:
            weight, stride = args[1], args[3]
            if tuple(weight.shape[2:]) == (1, 1) and set(stride) != {1}:
                self.found.append((tuple(weight.shape), tuple(stride)))
        return func(*args, **(kwargs or {}))


@every_network
def test_no_1x1_convolution_has_a_stride(entry: str) -> None:
    network = build(entry)
    assert [name for name, module in network.named_modules() if is_unsafe(module)] == []
    with StridedPointwise() as mode, torch.no_grad():
        network(images(3, 32))
    assert mode.found == []


def test_a_1x1_convolution_with_a_stride_would_be_found() -> None:
    with StridedPointwise() as mode, torch.no_grad():
        nn.Conv2d(8, 8, 1, stride=2)(torch.randn(1, 8, 4, 4))
    assert mode.found == [((8, 8, 1, 1), (2, 2))]


@pytest.mark.parametrize("entry", [entry for entry in BUILT if SETTINGS[entry].too_small])
def test_images_that_are_too_small_are_refused(entry: str) -> None:
    size = SETTINGS[entry].too_small or 0
    with pytest.raises(ValueError, match=f"{entry} halves .* size must be at least {size + 1}, but got {size}"):
        build(entry, size=size)
    assert build(entry, size=size + 1).train()(images(3, size + 1)).shape == (4, CLASSES)


@pytest.mark.parametrize(("size", "heights"), [(8, [8, 8, 4, 2]), (28, [28, 28, 14, 7]), (32, [32, 32, 16, 8])])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_narrow_resnet_has_its_widths_at_every_size(channels: int, size: int, heights: list[int]) -> None:
    features = build("resnet8", channels, size, widths=[4, 4, 8, 16]).features(images(channels, size))
    assert [tuple(each.shape[1:3]) for each in features.maps] == list(zip([4, 4, 8, 16], heights, strict=True))


@pytest.mark.parametrize(
    "widths", [[4, 4, 8], [4, 4, 8, 16, 32], [4, 4, 8, 0], [4, 4, 8, 1.5], "4488", [4, 4, 8, 10**6]]
)
def test_widths_are_four_positive_integers(widths: Any) -> None:
    with pytest.raises(ValidationError):
        MODELS.parse({"model": "resnet8", "widths": widths})


@pytest.mark.parametrize("entry", [entry for entry in SETTINGS if SETTINGS[entry].name])
def test_without_its_package_a_network_is_refused_with_the_way_to_get_it(entry: str) -> None:
    refused = pytest.raises(ValidationError, match=f"pip install {SETTINGS[entry].package}")
    with contextlib.nullcontext() if installed(entry) else refused:
        assert MODELS.parse({"model": SETTINGS[entry].name}) == MODELS.parse({"model": SETTINGS[entry].name})


class TestTorchvision:
    def test_an_unknown_name_is_refused_with_the_nearest(self) -> None:
        with pytest.raises(ValidationError, match=r"network of torchvision \(nearest: resnet18, "):
            MODELS.parse({"model": "torchvision:resnet19"})
        with pytest.raises(ValidationError, match=r"network of torchvision \(such as alexnet, "):
            MODELS.parse({"model": "torchvision:zzz"})

    @pytest.mark.parametrize("model", ["torchvision:", "torchvision", "torchvision:fasterrcnn_resnet50_fpn", "a:b"])
    def test_what_is_no_classifier_is_refused(self, model: str) -> None:
        with pytest.raises((ValidationError, KeyError)):
            MODELS.parse({"model": model})

    @pytest.mark.parametrize("name", ["resnet50", "mobilenet_v3_small"])
    def test_keys_and_numbers_are_torchvisions(self, name: str) -> None:
        import torchvision

        theirs = torchvision.models.get_model(name, num_classes=CLASSES).eval()
        network = MODELS.parse({"model": f"torchvision:{name}"}).build(CLASSES, 3, 64).eval()
        assert list(network.state_dict()) == list(theirs.state_dict())
        network.load_state_dict(theirs.state_dict())
        with torch.no_grad():
            torch.testing.assert_close(network(images(3, 64)), theirs(images(3, 64)))

    @pytest.mark.parametrize(
        ("name", "shapes"),
        [
            ("resnet50", [(64, 32), (256, 16), (512, 8), (1024, 4), (2048, 2)]),
            ("mobilenet_v2", [(16, 32), (24, 16), (32, 8), (96, 4), (1280, 2)]),
            ("mnasnet0_5", [(8, 32), (16, 16), (24, 8), (48, 4), (1280, 2)]),
        ],
    )
    def test_maps_are_the_last_of_each_height(self, name: str, shapes: list[tuple[int, int]]) -> None:
        network = MODELS.parse({"model": f"torchvision:{name}"}).build(CLASSES, 3, 64).to("meta")
        maps = network.features(torch.empty(2, 3, 64, 64, device="meta")).maps
        assert [tuple(each.shape[1:3]) for each in maps] == shapes

    def test_dropout_is_off_in_evaluation(self) -> None:
        network = MODELS.parse({"model": "torchvision:mobilenet_v2"}).build(CLASSES, 1, 32)
        with torch.no_grad():
            assert not torch.equal(network.train().head(torch.ones(1, 1280)), network(images(1, 32))[:1])
            assert not torch.equal(network(images(1, 32)), network(images(1, 32)))
            assert torch.equal(network.eval()(images(1, 32)), network(images(1, 32)))

    def test_heights_that_tiny_images_share_give_one_map(self) -> None:
        maps = MODELS.parse({"model": "torchvision:resnet18"}).build(CLASSES, 1, 8).features(images(1, 8)).maps
        assert [tuple(each.shape[1:3]) for each in maps] == [(64, 4), (64, 2), (512, 1)]

    @pytest.mark.parametrize(("name", "size"), [("squeezenet1_1", 8), ("vit_b_16", 28)])
    def test_images_that_do_not_fit_are_refused(self, name: str, size: int) -> None:
        with pytest.raises(ValueError, match=f"torchvision:{name} must fit 3 x {size} x {size} images, but "):
            MODELS.parse({"model": f"torchvision:{name}"}).build(CLASSES, 3, size)

    def test_a_network_without_a_linear_head_is_refused(self) -> None:
        with pytest.raises(ValueError, match="the last layer must be linear"):
            MODELS.parse({"model": "torchvision:squeezenet1_1"}).build(CLASSES, 3, 64)

    def test_it_may_be_a_teacher(self) -> None:
        teacher = TEACHERS.parse({"model": "torchvision:resnet18", "checkpoint": "weights.pth"})
        assert teacher.network() == MODELS.parse({"model": "torchvision:resnet18"})
