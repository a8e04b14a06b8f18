"""What all arms of a seed share, and what a trial's numbers depend on."""

import copy
import dataclasses
import hashlib
import math
import time
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.support import settings
from tests.support.trials import trainer_of, without_clock
from trainables import probe
from trainables.config import TrialConfig
from trainables.materials import Materials
from trainables.models import Features
from trainables.sources import TeacherOutputs
from trainables.trainer import NotFinite, Trainer


class _Listening(TeacherOutputs):
    """Passes on what another source gives, and notes what was asked for."""

    def __init__(self, source: TeacherOutputs) -> None:
        self.source = source
        self.ids: list[Tensor] = []
        self.views: list[Tensor] = []
        self.images: list[Tensor] = []

    def start(self, ids: Tensor, views: Tensor) -> None:
        self.ids.append(ids)
        self.views.append(views)
        self.source.start(ids, views)

    def batch(self, begin: int, end: int, images: Tensor) -> Features:
        self.images.append(images)
        return self.source.batch(begin, end, images)


def state_hash(trainer: Trainer) -> str:
    digest = hashlib.sha256()
    for key, value in trainer.student.state_dict().items():
        digest.update(key.encode() + value.contiguous().numpy().tobytes())
    return digest.hexdigest()


def listened(config: TrialConfig, epochs: int) -> tuple[str, list[Any]]:
    trainer = trainer_of(config)
    assert trainer.materials.source is not None
    source = _Listening(trainer.materials.source)
    materials = Materials(trainer.materials.arrays, trainer.materials.split, trainer.materials.teacher, source)
    trainer = Trainer(config, materials, trainer.device)
    initial = state_hash(trainer)
    for _ in range(epochs):
        trainer.train_epoch()
    return initial, [torch.stack(source.ids), torch.stack(source.views), torch.cat(source.images)]


def test_arms_of_a_seed_share_initial_student_order_and_views(tmp_path: Path) -> None:
    views = {"name": "digits", "validation": 100, "train_examples": 64, "views": {"kind": "crop", "padding": 1}}
    arms = {
        arm: listened(settings.trial(tmp_path, 5, arm, data=views, teacher_source="online"), 3)
        for arm in ("fixed", "global", "instance")
    }
    initial, drawn = arms["fixed"]
    for other_initial, other in arms.values():
        assert other_initial == initial
        for ours, theirs in zip(drawn, other, strict=True):
            assert torch.equal(ours, theirs)
    ids, chosen, _ = drawn
    assert not torch.equal(ids[0], ids[2]), "epochs 1 and 3 must differ in order"
    assert not torch.equal(chosen[0], chosen[2]), "and in views"
    assert state_hash(trainer_of(settings.trial(tmp_path, 5, "alone", data=views))) == initial
    other_initial, (other_ids, other_views, _) = listened(
        settings.trial(tmp_path, 6, "fixed", data=views, teacher_source="online"), 3
    )
    assert other_initial != initial, "another seed is another student"
    assert sorted(other_ids[0].tolist()) == sorted(ids[0].tolist()), "of the same examples"
    assert not torch.equal(other_ids[0], ids[0]), "in another order"
    assert by_example(other_ids[0], other_views[0]) != by_example(ids[0], chosen[0]), "in other views"


def by_example(ids: Tensor, views: Tensor) -> dict[int, int]:
    return dict(zip(ids.tolist(), views.tolist(), strict=True))


def test_views_belong_to_examples_whatever_the_subset(tmp_path: Path) -> None:
    def drawn(count: int) -> dict[int, int]:
        data = {"name": "digits", "validation": 100, "train_examples": count, "views": {"kind": "crop"}}
        _, (ids, views, _) = listened(settings.trial(tmp_path, 1, "fixed", data=data, teacher_source="online"), 1)
        return by_example(ids[0], views[0])

    small, large = drawn(40), drawn(80)
    assert small.keys() < large.keys()
    assert all(large[example] == view for example, view in small.items())


@pytest.mark.parametrize("arm", ["fixed", "global", "instance", "alone"])
def test_straight_run_twice_is_bit_identical(tmp_path: Path, arm: str) -> None:
    first, second = (trainer_of(settings.trial(tmp_path, 3, arm)) for _ in range(2))
    for _ in range(3):
        assert without_clock(first.train_epoch()) == without_clock(second.train_epoch())
    assert state_hash(first) == state_hash(second)


def test_online_teacher_agrees_with_the_bank(tmp_path: Path) -> None:
    banked = trainer_of(settings.trial(tmp_path))
    online = trainer_of(settings.trial(tmp_path, teacher_source="online"))
    ids = torch.from_numpy(banked.materials.split.student)
    zeros = torch.zeros_like(ids)
    arrays = banked.materials.arrays
    images = banked.inputs(arrays.train_images[ids])
    outputs = []
    for trainer in (banked, online):
        assert trainer.materials.source is not None
        trainer.materials.source.start(ids, zeros)
        outputs.append(trainer.materials.source.batch(0, len(ids), images).logits)
    assert (outputs[0] - outputs[1]).abs().max() < 1e-5
    assert banked.materials.source is not None
    assert banked.materials.source.tflop_per_image == 0.0
    assert online.materials.source is not None
    assert online.materials.source.tflop_per_image > 0.0


def test_row_has_every_name_and_percent(tmp_path: Path) -> None:
    row = trainer_of(settings.trial(tmp_path, arm="instance")).train_epoch()
    assert set(row) == {
        *("epoch", "time_ms", "train_loss", "ce_loss", "kd_loss", "other_loss", "train_top1"),
        *("val_loss", "val_top1", "val_top5", "val_ece", "test_loss", "test_top1", "test_top5", "test_ece"),
        *("temperature", "temperature_min", "temperature_max", "temperature_std", "lambda", "lr"),
        *("epoch_seconds", "eval_seconds", "teacher_seconds", "device_seconds", "images_per_second"),
        *("tflop", "eval_tflop", "teacher_tflop"),
    }
    assert row["train_loss"] == pytest.approx(0.1 * _number(row["ce_loss"]) + 0.9 * _number(row["kd_loss"]), rel=1e-5)
    for name in ("train_top1", "val_top1", "val_top5", "val_ece", "test_top1", "test_top5", "test_ece"):
        assert 0 <= _number(row[name]) <= 100
    assert _number(row["val_top5"]) >= _number(row["val_top1"])
    assert 1 < _number(row["temperature_min"]) <= _number(row["temperature"]) <= _number(row["temperature_max"]) < 21
    assert row["lambda"] == pytest.approx((1 - math.cos(math.pi / 10)) / 2)


def test_evaluation_counts_what_the_network_gets_right(tmp_path: Path) -> None:
    trainer = trainer_of(settings.trial(tmp_path))
    row = trainer.train_epoch()
    assert trainer.selected is not None
    arrays = trainer.materials.arrays
    with torch.no_grad():
        logits = trainer.student(trainer.inputs(arrays.test_images))
    right = (logits.argmax(1) == arrays.test_labels).numpy()
    assert np.array_equal(trainer.selected.correct, right)
    assert row["test_top1"] == pytest.approx(100 * right.mean())
    fifth = (logits.topk(5, dim=1).indices == arrays.test_labels[:, None]).any(1).double().mean()
    assert row["test_top5"] == pytest.approx(100 * float(fifth))


@pytest.mark.parametrize(("protocol", "part"), [("validation", "val"), ("paper", "test")])
def test_the_selected_epoch_is_the_best_and_its_weights_are_kept(tmp_path: Path, protocol: str, part: str) -> None:
    data = {"name": "digits", "validation": 100 if protocol == "validation" else 0, "train_examples": 100}
    trainer = trainer_of(settings.trial(tmp_path, arm="alone", data=data, protocol=protocol))
    rows = [trainer.train_epoch() for _ in range(2)]
    best = max(rows, key=lambda row: (_number(row[f"{part}_top1"]), -_number(row[f"{part}_loss"])))
    assert (rows[0]["val_top1"] is None) == (protocol == "paper")
    first = trainer.selected
    assert first is not None
    assert first.row == best
    weights = {key: value.clone() for key, value in first.weights.items()}
    with torch.no_grad():
        for parameter in trainer.student.parameters():
            parameter.zero_()
    assert _number(trainer.train_epoch()[f"{part}_top1"]) < _number(best[f"{part}_top1"])
    assert trainer.selected is first, "a worse epoch takes nothing from the best"
    assert all(torch.equal(value, first.weights[key]) for key, value in weights.items()), "its weights are a copy"


def test_a_row_adds_up(tmp_path: Path) -> None:
    config = settings.trial(
        tmp_path, teacher_source="online", run={"teachers": str(tmp_path), "cores": 3.0}, numerics={"threads": 1}
    )
    trainer = trainer_of(config)
    rows = [trainer.train_epoch() for _ in range(2)]
    assert [row["epoch"] for row in rows] == [1, 2]
    assert [row["lr"] for row in rows] == [0.05, pytest.approx(0.05 * 0.75)]
    assert [row["lambda"] for row in rows] == [None, None]
    for row in rows:
        assert _number(row["device_seconds"]) == pytest.approx(3 * _number(row["epoch_seconds"]))
        assert _number(row["images_per_second"]) == pytest.approx(100 / _number(row["epoch_seconds"]))
        assert _number(row["teacher_seconds"]) > 0
        assert _number(row["eval_seconds"]) > 0
    for name in ("tflop", "eval_tflop", "teacher_tflop"):
        assert _number(rows[1][name]) == pytest.approx(2 * _number(rows[0][name]))
        assert _number(rows[0][name]) > 0
    # Literal: a multiply and an add are two.
    assert _number(rows[0]["teacher_tflop"]) == pytest.approx(_number(rows[0]["eval_tflop"]) * 100 / (100 + 797))


def test_the_teachers_seconds_are_not_the_trials(tmp_path: Path) -> None:
    class Slow(_Listening):
        def start(self, ids: Tensor, views: Tensor) -> None:
            time.sleep(0.25)
            super().start(ids, views)

    given = trainer_of(settings.trial(tmp_path, teacher_source="online"))
    assert given.materials.source is not None
    materials = dataclasses.replace(given.materials, source=Slow(given.materials.source))
    began = time.perf_counter()
    row = Trainer(given.config, materials, given.device).train_epoch()
    took = time.perf_counter() - began
    assert _number(row["teacher_seconds"]) >= 0.25
    assert _number(row["epoch_seconds"]) + _number(row["teacher_seconds"]) + _number(row["eval_seconds"]) <= took


@pytest.mark.parametrize(("device", "share"), [("cpu", 2.0), ("cuda", 0.25)])
def test_a_second_occupies_what_the_trial_was_given(tmp_path: Path, device: str, share: float) -> None:
    trainer = trainer_of(settings.trial(tmp_path, arm="alone"))
    trainer.device = torch.device(device)
    assert trainer.device_share == 1.0, "one thread, or a whole GPU"
    run = {"teachers": str(tmp_path), "cores": 2.0, "device_share": 0.25}
    trainer.config = settings.trial(tmp_path, arm="alone", run=run)
    assert trainer.device_share == share


def test_training_goes_on_from_its_state(tmp_path: Path) -> None:
    config = settings.trial(tmp_path, arm="global", distiller={"name": "crd"}, teacher_source="online")
    straight, resumed = trainer_of(config), trainer_of(config)
    straight.train_epoch()
    resumed.restore(copy.deepcopy(straight.state()), straight.selected)  # as through a file
    assert resumed.selected is straight.selected
    assert without_clock(straight.train_epoch()) == without_clock(resumed.train_epoch())
    assert state_hash(straight) == state_hash(resumed)


def test_a_loss_that_is_not_finite_is_named(tmp_path: Path) -> None:
    trainer = trainer_of(settings.trial(tmp_path, recipe={**settings.RECIPE, "lr": 1000.0, "weight_decay": 1.0}))
    with pytest.raises(NotFinite, match=r"_loss is (nan|inf) in epoch \d"):
        deque((trainer.train_epoch() for _ in range(20)), maxlen=0)


def test_arithmetic_is_three_times_forward_but_for_the_first_layer(tmp_path: Path) -> None:
    trainer = trainer_of(settings.trial(tmp_path))
    row = trainer.train_epoch()
    evaluated = 100 + len(trainer.materials.arrays.test_labels)
    training, forward = _number(row["tflop"]) / 100, _number(row["eval_tflop"]) / evaluated
    assert 2.8 < training / forward < 3.0


def test_arithmetic_is_counted_for_the_examples_that_a_distiller_compares_with(tmp_path: Path) -> None:
    config = settings.trial(tmp_path, distiller={"name": "crd"}, teacher_source="online")
    whole = trainer_of(config)
    part = probe.trainer(config, whole.materials.arrays, steps=1, tested=10)
    of_part, of_whole = (_number(trainer.train_epoch()["tflop"]) for trainer in (part, whole))
    assert of_part / 32 < of_whole / 100
    assert _number(trainer_of(config).train_epoch()["tflop"]) == of_whole


def _number(value: float | int | None) -> float:
    assert value is not None
    return float(value)
