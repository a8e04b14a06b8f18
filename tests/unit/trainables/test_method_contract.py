"""What every temperature and every distiller must do, by walking their registries.

A new entry needs one row here: its options, what it may be combined with, and what it trains.
"""

import copy
import dataclasses
import io
from collections.abc import Iterator
from typing import Any

import hypothesis
import hypothesis.extra.numpy
import numpy as np
import pydantic
import pytest
import torch
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from tests.support.networks import TinyNetwork, pair
from trainables.config import TrialConfig
from trainables.distillers import DISTILLERS, Batch, Distiller, Losses
from trainables.models import Features
from trainables.temperatures import TEMPERATURES, Temperature, TrainingProgress

CLASSES, BATCH, EXAMPLES, EPOCHS = 4, 6, 24, 3
STUDENT_WIDTH, TEACHER_WIDTH = 6, 8
STAGES, TEACHER_STAGES = (5, STUDENT_WIDTH), (7, TEACHER_WIDTH)


@dataclasses.dataclass(frozen=True)
class Row:
    """What a test needs to know of an entry besides its name."""

    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    parameters: int = 0
    """How many numbers it trains, for the tiny pair of networks below."""


DISTILLER_ROWS = {
    "none": Row(),
    "kd": Row(),
    "dkd": Row(),
    "pkt": Row(),
    "sp": Row(),
    "vid": Row(parameters=sum(t * s + 2 * t * t + t for s, t in zip(STAGES, TEACHER_STAGES, strict=True))),
    "crd": Row({"negatives": 9, "dimensions": 5}, parameters=5 * (STUDENT_WIDTH + 1) + 5 * (TEACHER_WIDTH + 1)),
    "srrl": Row(parameters=STUDENT_WIDTH * TEACHER_WIDTH + 2 * TEACHER_WIDTH),
}

TEMPERATURE_ROWS = {
    "fixed": Row({"value": 4.0}),
    "global": Row(parameters=1),
    "instance": Row({"hidden": 3}, parameters=2 * CLASSES * 3 + 3 + 3 + 1),
    "schedule": Row({"start": 8.0, "end": 2.0}),
    "standardized": Row(),
    "norm": Row(),
    "dtkd": Row(),
    "ttm": Row(),
    "wttm": Row(),
    "asymmetric": Row({"label_tau": 4.0, "other_tau": 3.0}),
    "annealing": Row(),
}

SINGLE = {"fixed", "global", "instance", "schedule"}
PARTS = {"pkt", "sp", "vid", "crd", "srrl"}

#: Written out, not derived from what the entries declare.
ALLOWED = (
    [("none", None)]
    + [("kd", kind) for kind in sorted(TEMPERATURE_ROWS)]
    + [("dkd", kind) for kind in sorted(SINGLE)]
    + [(name, kind) for name in sorted(PARTS) for kind in sorted(set(TEMPERATURE_ROWS) - {"annealing"})]
)
EVERY = [(name, kind) for name in DISTILLER_ROWS for kind in [None, *TEMPERATURE_ROWS]]
REFUSED = sorted(set(EVERY) - set(ALLOWED), key=str)

allowed_pairs = pytest.mark.parametrize(("name", "kind"), ALLOWED)


def test_every_entry_has_its_row() -> None:
    assert set(DISTILLERS) == set(DISTILLER_ROWS)
    assert set(TEMPERATURES) == set(TEMPERATURE_ROWS)


class Training:
    """A tiny student with its distiller, temperature and one optimiser; everything addressed by seed and step."""

    def __init__(self, name: str, kind: str | None, seed: int = 0) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.student = TinyNetwork(CLASSES, STUDENT_WIDTH, maps=(3, STAGES[0]))
            self.teacher = TinyNetwork(CLASSES, TEACHER_WIDTH, maps=(4, TEACHER_STAGES[0])).eval()
            labels = torch.arange(EXAMPLES) % CLASSES
            options = DISTILLERS.parse({"name": name, **DISTILLER_ROWS[name].options})
            self.distiller: Distiller = options.build(pair(self.student, self.teacher, CLASSES, labels))
            self.temperature: Temperature | None = None
            if kind is not None:
                rows = TEMPERATURE_ROWS[kind].options
                self.temperature = TEMPERATURES.parse({"kind": kind, **rows}).build(CLASSES)
        self.optimiser = torch.optim.SGD(self.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)

    def modules(self) -> list[nn.Module]:
        return [self.student, self.distiller, *([self.temperature] if self.temperature is not None else [])]

    def parameters(self) -> list[nn.Parameter]:
        return [parameter for module in self.modules() for parameter in module.parameters()]

    def batch(self, step: int) -> tuple[Tensor, Batch]:
        drawn = np.random.default_rng(step)
        images = torch.from_numpy(drawn.standard_normal((BATCH, 1, 4, 4), dtype=np.float32))
        positions = torch.from_numpy(drawn.permutation(EXAMPLES)[:BATCH])
        with torch.no_grad():
            teacher = self.teacher.features(images)
        return images, Batch(positions % CLASSES, positions, teacher, TrainingProgress(step, EPOCHS, 1.0))

    def losses(self, step: int) -> Losses:
        images, batch = self.batch(step)
        return self.distiller.losses(self.student.features(images), batch, self.temperature)

    def step(self, step: int) -> Losses:
        losses = self.losses(step)
        self.optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(losses.total)
        self.optimiser.step()
        return losses

    def state(self) -> bytes:
        file = io.BytesIO()
        torch.save([*(module.state_dict() for module in self.modules()), self.optimiser.state_dict()], file)
        return file.getvalue()

    def restore(self, state: bytes) -> None:
        states = torch.load(io.BytesIO(state), weights_only=True)
        for module, part in zip(self.modules(), states[:-1], strict=True):
            module.load_state_dict(part)
        self.optimiser.load_state_dict(states[-1])


def numbers(losses: Losses) -> Iterator[Tensor]:
    return (part for part in (losses.total, losses.ce, losses.kd, losses.other) if part is not None)


@allowed_pairs
def test_a_pair_trains_two_steps_and_all_of_it_moves(name: str, kind: str | None) -> None:
    training = Training(name, kind)
    before = [[parameter.detach().clone() for parameter in module.parameters()] for module in training.modules()]
    for step in (1, 2):
        losses = training.step(step)
        assert all(part.shape == () and bool(part.isfinite()) for part in numbers(losses))
        assert losses.total.dtype == torch.float32
        for parameter in training.parameters():
            assert parameter.grad is not None
            assert bool(parameter.grad.isfinite().all())
    for module, old in zip(training.modules(), before, strict=True):
        assert all((parameter != was).any() for parameter, was in zip(module.parameters(), old, strict=True))


@allowed_pairs
def test_the_teacher_is_neither_trained_nor_changed(name: str, kind: str | None) -> None:
    training = Training(name, kind)
    before = copy.deepcopy(training.teacher.state_dict())
    training.step(1)
    assert all(parameter.grad is None for parameter in training.teacher.parameters())
    assert all(torch.equal(value, before[key]) for key, value in training.teacher.state_dict().items())


@allowed_pairs
def test_a_restored_pair_goes_on_as_if_never_stopped(name: str, kind: str | None) -> None:
    straight = Training(name, kind)
    for step in (1, 2):
        straight.step(step)
    state = straight.state()
    straight.step(3)
    resumed = Training(name, kind)
    torch.rand(7)  # what is drawn elsewhere does not matter
    with torch.no_grad():
        for parameter in resumed.parameters():
            parameter.add_(1.0)
    resumed.restore(state)
    resumed.step(3)
    for ours, theirs in zip(resumed.modules(), straight.modules(), strict=True):
        wanted = theirs.state_dict()
        assert ours.state_dict().keys() == wanted.keys()
        assert all(torch.equal(value, wanted[key]) for key, value in ours.state_dict().items())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@allowed_pairs
def test_half_precision_features_give_float32_losses(name: str, kind: str | None, dtype: torch.dtype) -> None:
    training = Training(name, kind)
    images, batch = training.batch(1)
    with torch.no_grad():
        full = training.student.features(images)
    half = Features(
        full.logits.to(dtype).requires_grad_(),
        tuple(maps.to(dtype).requires_grad_() for maps in full.maps),
        full.pooled.to(dtype).requires_grad_(),
    )
    same = Features(half.logits.float(), tuple(maps.float() for maps in half.maps), half.pooled.float())
    twin = copy.deepcopy(training)
    losses = training.distiller.losses(half, batch, training.temperature)
    expected = twin.distiller.losses(same, batch, twin.temperature)
    assert all(part.dtype == torch.float32 for part in numbers(losses))
    assert torch.equal(losses.total, expected.total)
    torch.autograd.backward(losses.total)
    assert half.logits.grad is not None
    assert bool(half.logits.grad.isfinite().all())


@allowed_pairs
def test_autocast_changes_nothing(name: str, kind: str | None) -> None:
    training = Training(name, kind)
    twin = copy.deepcopy(training)
    images, batch = training.batch(1)
    student = training.student.features(images)
    plain = training.distiller.losses(student, batch, training.temperature)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = twin.distiller.losses(student, batch, twin.temperature)
    assert torch.equal(cast.total, plain.total)


@allowed_pairs
def test_a_pair_trains_just_what_its_rows_say(name: str, kind: str | None) -> None:
    training = Training(name, kind)
    expected = [DISTILLER_ROWS[name].parameters, *([TEMPERATURE_ROWS[kind].parameters] if kind is not None else [])]
    trained = [sum(parameter.numel() for parameter in module.parameters()) for module in training.modules()[1:]]
    assert trained == expected
    if kind is not None:
        assert TEMPERATURES[kind].learned == (TEMPERATURE_ROWS[kind].parameters > 0)


def moved(module: nn.Module, move: Any) -> None:
    """Replaces every parameter and buffer of a module by what ``move`` makes of it."""
    for part in module.modules():
        for name, parameter in part._parameters.items():
            if parameter is not None:
                part._parameters[name] = nn.Parameter(move(parameter.detach()))
        for name, buffer in part._buffers.items():
            if buffer is not None:
                part._buffers[name] = move(buffer)


@allowed_pairs
def test_on_a_gpu_no_tensor_stays_behind_and_no_number_is_read(name: str, kind: str | None) -> None:
    training = Training(name, kind)
    # A fake GPU: shapes and devices without numbers. Mixing devices or reading a number raises. (Forward alone, since
    # autograd asks the driver for the device.)
    mode = FakeTensorMode()

    def move(tensor: Tensor) -> Tensor:
        with mode:
            return torch.empty(tensor.shape, dtype=tensor.dtype, device="cuda")

    images, batch = training.batch(2)
    for module in (*training.modules(), training.teacher):
        moved(module, move)
    with mode:
        images = move(images)
        on_gpu = Batch(
            move(batch.labels),
            move(batch.positions),
            training.teacher.features(images),
            TrainingProgress(2, EPOCHS, 1.0),
        )
        losses = training.distiller.losses(training.student.features(images), on_gpu, training.temperature)
        assert all(part.device.type == "cuda" for part in numbers(losses))
        if training.temperature is not None and training.temperature.seen is not None:
            assert training.temperature.seen.device.type == "cuda"


@allowed_pairs
def test_the_arithmetic_can_be_counted_without_numbers(name: str, kind: str | None) -> None:
    training = Training(name, kind)
    images, batch = training.batch(1)
    for module in (*training.modules(), training.teacher):
        module.to("meta")
    images = images.to("meta")
    on_meta = Batch(
        batch.labels.to("meta"), batch.positions.to("meta"), training.teacher.features(images), TrainingProgress(1, 1)
    )
    losses = training.distiller.losses(training.student.features(images), on_meta, training.temperature)
    assert losses.total.device.type == "meta"


# -- combinations ------------------------------------------------------------------------------------------------------


def trial(name: str, kind: str | None) -> dict[str, Any]:
    config: dict[str, Any] = {
        "seed": 0,
        "data": {"name": "digits", "validation": 100},
        "student": {"model": "resnet8"},
        "recipe": {"epochs": 2},
        "distiller": {"name": name, **DISTILLER_ROWS[name].options},
    }
    if DISTILLERS[name].needs != "nothing":
        config["teacher"] = {"model": "resnet8", "recipe": {"epochs": 1}}
    if kind is not None:
        config["temperature"] = {"kind": kind, **TEMPERATURE_ROWS[kind].options}
    return config


@allowed_pairs
def test_an_allowed_pair_is_a_valid_trial(name: str, kind: str | None) -> None:
    config = TrialConfig.model_validate(trial(name, kind))
    assert (config.curriculum is not None) == (kind in ("global", "instance"))


@pytest.mark.parametrize(("name", "kind"), REFUSED)
def test_every_other_pair_is_refused_with_a_reason(name: str, kind: str | None) -> None:
    with pytest.raises(pydantic.ValidationError, match=f"temperature: .*{name!r}"):
        TrialConfig.model_validate(trial(name, kind))


@pytest.mark.parametrize("kind", sorted(set(TEMPERATURE_ROWS) - {"global", "instance"}))
def test_a_curriculum_for_a_temperature_that_is_not_learned_is_refused(kind: str) -> None:
    with pytest.raises(pydantic.ValidationError, match="a curriculum needs a learned temperature"):
        TrialConfig.model_validate({**trial("kd", kind), "curriculum": {"kind": "constant"}})


@pytest.mark.parametrize("name", DISTILLER_ROWS)
def test_a_bank_does_not_do_for_what_reads_feature_maps(name: str) -> None:
    if DISTILLERS[name].needs == "maps":
        for source in ("bank32", "bank16"):
            with pytest.raises(pydantic.ValidationError, match="feature maps, which no bank holds: use online"):
                TrialConfig.model_validate({**trial(name, "fixed"), "teacher_source": source})


# -- any finite number -------------------------------------------------------------------------------------------------

Array = NDArray[np.float32]


def drawn_logits() -> st.SearchStrategy[Array]:
    """Logits up to ±1e4, also rows of equal ones."""
    elements = st.floats(-1e4, 1e4, width=32)
    free = hypothesis.extra.numpy.arrays(np.float32, (BATCH, CLASSES), elements=elements, fill=elements)
    rows = hypothesis.extra.numpy.arrays(np.float32, (BATCH, 1), elements=elements, fill=elements)
    return st.one_of(free, rows.map(lambda row: np.repeat(row, CLASSES, axis=1)))


def drawn_maps(*shape: int) -> st.SearchStrategy[Array]:
    """Features up to ±1e4: normal, signs alone, all equal, or with rows of zeros as after a ReLU."""

    def made(seed: int, scale: float, pattern: str) -> Array:
        normal = np.random.default_rng(seed).standard_normal(shape).clip(-3, 3) / 3
        values = {"normal": normal, "signs": np.sign(normal), "equal": np.ones(shape), "zero rows": normal}[pattern]
        if pattern == "zero rows":
            values[::2] = 0
        return (scale * values).astype(np.float32)

    patterns = st.sampled_from(["normal", "signs", "equal", "zero rows"])
    return st.builds(made, st.integers(0, 1000), st.floats(-1e4, 1e4), patterns)


def features(width: int, stage: int) -> st.SearchStrategy[tuple[Array, Array, Array, Array]]:
    maps = drawn_maps(BATCH, stage, 2, 2), drawn_maps(BATCH, width, 2, 2)
    return st.tuples(drawn_logits(), *maps, drawn_maps(BATCH, width))


def as_features(drawn: tuple[Array, Array, Array, Array], grad: bool) -> Features:
    logits, first, second, pooled = (torch.from_numpy(array.copy()).requires_grad_(grad) for array in drawn)
    return Features(logits, (torch.zeros(BATCH, 1, 2, 2), first, second), pooled)


@pytest.mark.parametrize(
    ("name", "kind"), [pair_ for pair_ in ALLOWED if pair_[0] not in PARTS or pair_[1] in ("fixed", "global")]
)
@hypothesis.settings(max_examples=25, deadline=None, derandomize=True, database=None)
@hypothesis.given(data=st.data())
def test_finite_features_give_finite_losses_and_gradients(name: str, kind: str | None, data: st.DataObject) -> None:
    training = Training(name, kind)
    student = as_features(data.draw(features(STUDENT_WIDTH, STAGES[0])), grad=True)
    teacher = as_features(data.draw(features(TEACHER_WIDTH, TEACHER_STAGES[0])), grad=False)
    labels = torch.arange(BATCH) % CLASSES
    epoch = data.draw(st.integers(1, EPOCHS))
    batch = Batch(labels, torch.arange(BATCH), teacher, TrainingProgress(epoch, EPOCHS, 1.0))
    losses = training.distiller.losses(student, batch, training.temperature)
    assert all(bool(part.isfinite()) for part in numbers(losses))
    torch.autograd.backward(losses.total)
    leaves = [student.logits, student.pooled, *student.maps, *training.parameters()]
    assert all(leaf.grad is None or bool(leaf.grad.isfinite().all()) for leaf in leaves)
    assert student.logits.grad is not None
