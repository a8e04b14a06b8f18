"""An epoch of training against the same written out by hand, on a few random images."""

import copy
import dataclasses
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.support import tiny
from tests.support.by_hand import by_hand, evaluated, normalised
from trainables import streams, trainer
from trainables.arithmetic import Tflop
from trainables.config import TrialConfig
from trainables.distillers import Batch
from trainables.forward import Forward
from trainables.models import Features
from trainables.record import Row
from trainables.streams import Purpose
from trainables.temperatures import TrainingProgress
from trainables.trainer import NotFinite, Trainer


def tiny_trainer(config: TrialConfig, source: tiny.Told | None = None, **parts: Any) -> Trainer:
    return Trainer(config, tiny.materials(source, **parts), tiny.CPU)


@pytest.mark.parametrize("config", [tiny.trial(), tiny.distilled()], ids=["alone", "distilled"])
@pytest.mark.parametrize("chunk", [1, 17 * 128, 2**20], ids=["a batch", "two batches", "all"])
def test_epochs_are_those_written_out_by_hand(config: TrialConfig, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "_CHUNK_BYTES", chunk)
    ours = tiny_trainer(config, tiny.Told() if config.teacher is not None else None)
    student, rows = by_hand(config, ours.materials.arrays, 3)
    for expected in rows:
        row = ours.train_epoch()
        numbers = {name: value for name, value in expected.items() if value is not None}
        assert {name for name in expected if row[name] is None} == expected.keys() - numbers.keys()
        assert {name: row[name] for name in numbers} == pytest.approx(numbers, rel=1e-4)
    for name, value in student.state_dict().items():
        assert torch.allclose(ours.student.state_dict()[name], value, atol=1e-5), name


def test_a_chunk_has_a_batch_at_least(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "_CHUNK_BYTES", 1)
    source = tiny.Told()
    tiny_trainer(tiny.distilled(), source).train_epoch()
    assert source.spans == [(0, 8), (0, 8), (0, 4)]


def test_without_a_source_a_distiller_is_told_no_outputs(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []

    def noted(*parts: Any) -> Batch:
        told.append(parts[2])
        return Batch(*parts)

    monkeypatch.setattr(trainer, "Batch", noted)
    tiny_trainer(tiny.trial()).train_epoch()
    assert told == [None, None, None]


def test_the_images_are_announced_chunk_by_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "_CHUNK_BYTES", 17 * 128)  # an image has 128 bytes, a batch 8 images
    source = tiny.Told()
    ours = tiny_trainer(tiny.distilled(), source)
    ours.train_epoch()
    assert [len(ids) for ids, _ in source.started] == [16, 4]
    assert source.spans == [(0, 8), (8, 16), (0, 4)]
    ids = [example for ids, _ in source.started for example in ids]
    assert ids == ours.materials.split.student[streams.batch_order(3, 1, 20)].tolist()
    views = [view for _, views in source.started for view in views]
    assert views == streams.views(3, 1, 32, 18)[ids].tolist()
    images = ours.materials.arrays.train_images[ids]
    seen = ours.config.data.views.apply(images, torch.tensor(views))
    assert torch.allclose(torch.cat(source.images), normalised(seen), atol=1e-6)
    assert all(each.is_contiguous(memory_format=torch.channels_last) for each in source.images)


def test_a_distiller_is_told_labels_positions_teacher_and_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    batches: list[Batch] = []

    def noted(*parts: Any) -> Batch:
        batches.append(Batch(*parts))
        return batches[-1]

    monkeypatch.setattr(trainer, "Batch", noted)
    curriculum = {"kind": "linear", "epochs": 4}
    ours = tiny_trainer(tiny.distilled(temperature={"kind": "global"}, curriculum=curriculum), tiny.Told())
    rows = [ours.train_epoch(), ours.train_epoch()]
    positions = [batch.positions.tolist() for batch in batches]
    order = [streams.batch_order(3, epoch, 20).tolist() for epoch in (1, 2)]
    assert positions == [part for each in order for part in (each[:8], each[8:16], each[16:])]
    labels = ours.materials.arrays.train_labels[ours.materials.split.student]
    for batch in batches:
        assert torch.equal(batch.labels, labels[batch.positions])
        assert batch.teacher is not None
        assert batch.teacher.logits.shape == (len(batch.labels), 7)
    progress = [TrainingProgress(1, 3, 0.25), TrainingProgress(2, 3, 0.5)]
    assert [batch.progress for batch in batches] == [progress[0]] * 3 + [progress[1]] * 3
    assert [row["lambda"] for row in rows] == [0.25, 0.5]
    assert ours.progress() == progress[1]
    assert ours.temperature is not None
    assert 1 < float(rows[0]["temperature"] or 0) < 21
    assert rows[0]["temperature"] != rows[1]["temperature"], "T is trained, too"


def test_without_curriculum_the_strength_is_zero() -> None:
    ours = tiny_trainer(tiny.trial())
    ours.epoch = 2
    assert ours.progress() == TrainingProgress(2, 3, 0.0)


@pytest.mark.parametrize(("kind", "names"), [("instance", 3), ("ttm", 0)])
def test_a_temperature_is_noted_as_far_as_it_is_seen(kind: str, names: int) -> None:
    row = tiny_trainer(tiny.distilled(temperature={"kind": kind}), tiny.Told()).train_epoch()
    seen = [row[name] for name in ("temperature", "temperature_min", "temperature_max")]
    assert sum(value is not None for value in seen) == names


class _Clock:
    """Advances by a second at each look, or as told."""

    def __init__(self, times: Iterator[float] | None = None) -> None:
        self.times = times or (float(second) for second in range(10_000))

    def perf_counter(self) -> float:
        return next(self.times)

    def time_ns(self) -> int:
        return 1_700_000_000_999_999_999


def test_the_costs_of_an_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    works = []

    def counted(work: Any) -> Tflop:
        works.append(work)
        return Tflop(training=2.0, evaluation=3.0)

    monkeypatch.setattr(trainer, "tflop", counted)
    monkeypatch.setattr(trainer, "time", _Clock(iter((10.0, 24.0, 25.5, 100.0, 112.0, 115.0))))
    # The teacher is timed four times in an epoch (once a chunk, once a batch), a second each.
    monkeypatch.setattr("trainables.epoch.time", _Clock())
    ours = tiny_trainer(tiny.distilled(run={"cores": 2.0}), tiny.Told())
    assert (ours.tflop, ours.eval_tflop, ours.teacher_tflop, ours.epoch, ours.selected) == (0.0, 0.0, 0.0, 0, None)
    first, second = ours.train_epoch(), ours.train_epoch()
    costs = {
        "epoch": 1,
        "time_ms": 1_700_000_000_999,
        "epoch_seconds": 10.0,
        "eval_seconds": 1.5,
        "teacher_seconds": 4.0,
        "device_seconds": 20.0,
        "images_per_second": 2.0,
        "tflop": 40.0,
        "eval_tflop": 3.0 * (8 + 11),
        "teacher_tflop": 10.0,
    }
    assert {name: first[name] for name in costs} == costs
    costs |= {"epoch": 2, "epoch_seconds": 8.0, "eval_seconds": 3.0, "device_seconds": 16.0, "images_per_second": 2.5}
    costs |= {"tflop": 80.0, "eval_tflop": 6.0 * (8 + 11), "teacher_tflop": 20.0}
    assert {name: second[name] for name in costs} == costs
    (work,) = works
    assert (work.config, work.classes, work.channels, work.size, work.examples) == (ours.config, 7, 2, 8, 20)


def test_without_a_source_the_teacher_costs_nothing() -> None:
    ours = tiny_trainer(tiny.trial())
    assert [ours.train_epoch()["teacher_tflop"] for _ in range(2)] == [0.0, 0.0]
    assert ours.state()["tflop"][2] == 0.0


def test_a_number_that_is_not_finite_stops_the_trial() -> None:
    class Broken(tiny.Told):
        def batch(self, begin: int, end: int, images: Tensor) -> Features:
            outputs = super().batch(begin, end, images)
            return dataclasses.replace(outputs, logits=outputs.logits * float("nan"))

    ours = tiny_trainer(tiny.distilled(), Broken())
    with pytest.raises(NotFinite, match=r"^train_loss is nan in epoch 1$"):
        ours.train_epoch()
    assert ours.selected is None


def test_evaluation_is_the_same_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def four(size: int, device: torch.device) -> int:
        asked.append((size, device))
        return 4

    monkeypatch.setattr(trainer, "inference_batch", four)
    ours = tiny_trainer(tiny.trial())
    row = ours.train_epoch()
    assert set(asked) == {(8, tiny.CPU)}
    arrays = ours.materials.arrays
    numbers, right = evaluated(ours.student, arrays.test_images, arrays.test_labels)
    assert [row[f"test_{name}"] for name in ("loss", "top1", "top5", "ece")] == pytest.approx(numbers)
    assert ours.selected is not None
    assert ours.selected.correct.tolist() == right
    assert 0 < sum(right) < 11


def test_with_three_classes_all_are_among_the_first_five() -> None:
    row = tiny_trainer(tiny.trial(), classes=3).train_epoch()
    assert (row["val_top5"], row["test_top5"]) == (100.0, 100.0)
    assert 0 < float(row["test_top1"] or 0) < 100


def test_without_a_held_out_part_there_are_no_numbers_of_it() -> None:
    data = {"name": "digits", "validation": 0}
    ours = tiny_trainer(tiny.trial(data=data, protocol="paper"), validation=0)
    row = ours.train_epoch()
    assert [row[f"val_{name}"] for name in ("loss", "top1", "top5", "ece")] == [None] * 4
    assert row["test_loss"] is not None


def test_the_epoch_of_the_highest_rank_is_selected_and_the_first_of_equals(monkeypatch: pytest.MonkeyPatch) -> None:
    ranks, asked = {1: 1.0, 2: 3.0, 3: 3.0, 4: 2.0}, []

    def rank(row: Row, protocol: str, seed: int) -> float:
        asked.append((protocol, seed))
        return ranks[int(row["epoch"] or 0)]

    monkeypatch.setattr(trainer, "rank", rank)
    recipe = {"epochs": 4, "batch_size": 8}
    ours = tiny_trainer(tiny.trial(recipe=recipe))
    chosen, weights = [], {}
    for epoch in range(1, 5):
        row = ours.train_epoch()
        assert ours.selected is not None
        chosen.append(ours.selected.row["epoch"])
        if epoch == 2:
            assert ours.selected.row is row
            weights = {name: value.clone() for name, value in ours.student.state_dict().items()}
    assert chosen == [1, 2, 2, 2]
    assert set(asked) == {("validation", 3)}
    assert ours.selected is not None
    assert ours.selected.weights.keys() == weights.keys()
    assert all(torch.equal(value, ours.selected.weights[name]) for name, value in weights.items())


def test_the_streams_that_a_trial_draws_from(monkeypatch: pytest.MonkeyPatch) -> None:
    scopes, real = [], streams.torch_scope

    def noted(*address: Any) -> Any:
        scopes.append(address)
        return real(*address)

    monkeypatch.setattr(streams, "torch_scope", noted)
    ours = tiny_trainer(tiny.distilled(temperature={"kind": "instance"}), tiny.Told())
    assert scopes == [(Purpose.STUDENT, 3), (Purpose.DISTILLER, 3), (Purpose.TEMPERATURE, 3)]
    ours.train_epoch()
    ours.train_epoch()
    assert scopes[3:] == [(Purpose.NOISE, 3, 1, tiny.CPU), (Purpose.NOISE, 3, 2, tiny.CPU)]


def test_a_distiller_is_built_for_the_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    config, pairs = tiny.distilled(), []
    options, real = type(config.distiller), type(config.distiller).build

    def built(self: Any, pair: Any) -> Any:
        pairs.append(pair)
        return real(self, pair)

    monkeypatch.setattr(options, "build", built)
    monkeypatch.setattr(trainer, "tflop", lambda work: Tflop(0.0, 0.0))
    materials = tiny.materials(tiny.Told())
    teacher = config.student.build(7, 2, 8)
    ours = Trainer(config, dataclasses.replace(materials, teacher=teacher), tiny.CPU)
    (pair,) = pairs
    assert (pair.student, pair.teacher) == (ours.student, teacher)
    assert (pair.classes, pair.channels, pair.size, pair.seed) == (7, 2, 8, 3)
    assert torch.equal(pair.labels, materials.arrays.train_labels[materials.split.student])


def test_one_optimiser_for_all_that_is_learned() -> None:
    ours = tiny_trainer(tiny.distilled(temperature={"kind": "instance"}, distiller={"name": "kd"}), tiny.Told())
    assert ours.temperature is not None
    (group,) = ours.optimiser.param_groups
    wanted = [*ours.student.parameters(), *ours.temperature.parameters()]
    assert [id(parameter) for parameter in group["params"]] == [id(parameter) for parameter in wanted]
    assert {name: group[name] for name in ("lr", "momentum", "weight_decay", "fused", "nesterov")} == {
        "lr": 0.1,
        "momentum": 0.8,
        "weight_decay": 0.01,
        "fused": True,
        "nesterov": False,
    }


@pytest.mark.parametrize("layout", ["channels_last", "contiguous"])
@pytest.mark.parametrize(("students", "sizes"), [(20, [4, 8]), (16, [8]), (5, [5])])
def test_layout_and_batch_sizes_of_the_forward_pass(
    monkeypatch: pytest.MonkeyPatch, layout: str, students: int, sizes: list[int]
) -> None:
    asked = []

    def of(*parts: Any) -> Forward:
        asked.append(parts)
        return Forward.of(*parts)

    monkeypatch.setattr(trainer, "Forward", SimpleNamespace(of=of))
    monkeypatch.setattr(trainer, "tflop", lambda work: Tflop(0.0, 0.0))
    ours = tiny_trainer(tiny.trial(numerics={"memory_format": layout}), students=students)
    ((network, numerics, device, examples),) = asked
    assert (network, numerics, device) == (ours.student, ours.config.numerics, tiny.CPU)
    assert [tuple(each.shape) for each in examples] == [(size, 2, 8, 8) for size in sizes]
    assert not any(each.any() for each in examples)
    inputs = ours.inputs(ours.materials.arrays.test_images)
    assert torch.allclose(inputs, normalised(ours.materials.arrays.test_images), atol=1e-6)
    wanted = torch.channels_last if layout == "channels_last" else torch.contiguous_format
    weights = [value for value in ours.student.parameters() if value.ndim == 4 and value.shape[2] > 1]
    assert all(each.is_contiguous(memory_format=wanted) for each in (*examples, inputs, *weights))


def test_what_a_state_holds_and_gives_back() -> None:
    config = tiny.distilled(temperature={"kind": "global"})
    ours = tiny_trainer(config, tiny.Told())
    ours.train_epoch()
    state = ours.state()
    assert list(state) == ["epoch", "student", "distiller", "temperature", "optimiser", "tflop"]
    assert state["epoch"] == 1
    assert state["student"].keys() == ours.student.state_dict().keys()
    assert state["optimiser"]["param_groups"][0]["momentum"] == 0.8
    assert state["tflop"] == [ours.tflop, ours.eval_tflop, ours.teacher_tflop]
    assert ours.temperature is not None
    assert state["temperature"].keys() == ours.temperature.state_dict().keys()
    again = tiny_trainer(config, tiny.Told())
    again.restore(copy.deepcopy(state), ours.selected)
    assert (again.epoch, again.selected) == (1, ours.selected)
    assert (again.tflop, again.eval_tflop, again.teacher_tflop) == tuple(state["tflop"])
    for a, b in ((again.student, ours.student), (again.temperature, ours.temperature)):
        assert a is not None
        assert all(torch.equal(value, b.state_dict()[name]) for name, value in a.state_dict().items())
    momenta = [each["momentum_buffer"] for each in again.optimiser.state_dict()["state"].values()]
    theirs = [each["momentum_buffer"] for each in state["optimiser"]["state"].values()]
    assert len(momenta) == len(theirs) > 20
    assert all(torch.equal(a, b) for a, b in zip(momenta, theirs, strict=True))


def test_without_a_temperature_its_state_is_empty() -> None:
    ours = tiny_trainer(tiny.trial())
    assert ours.temperature is None
    state = ours.state()
    assert (state["temperature"], state["distiller"]) == ({}, {})
    ours.restore(state, None)
    assert ours.selected is None
