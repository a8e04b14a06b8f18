"""The distillers' losses and their gradients against the authors' numbers."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.reference import cases
from tests.reference.checks import check_dkd, check_kd, close, gradients
from tests.support.networks import TinyNetwork, pair
from trainables.distillers import DISTILLERS, Batch, Distiller
from trainables.distillers.crd import CRD
from trainables.distillers.dkd import dkd_loss
from trainables.distillers.pkt import pkt_loss
from trainables.distillers.sp import sp_loss
from trainables.distillers.srrl import SRRL
from trainables.distillers.vid import Regressor
from trainables.models import Features
from trainables.temperatures import TEMPERATURES, TrainingProgress
from trainables.temperatures.base import kd_loss


def test_kd_with_one_temperature() -> None:
    check_kd(kd_loss, r"kd\d+")


def test_kd_with_one_temperature_per_sample() -> None:
    check_kd(kd_loss, r"kd_instance\d+", values=cases.INSTANCE, slopes=cases.INSTANCE)


def test_dkd() -> None:
    check_dkd(dkd_loss)


@pytest.mark.parametrize(("loss", "family", "field"), [(pkt_loss, r"pkt\d+", "embedding"), (sp_loss, r"sp\d+", "map")])
def test_losses_on_features(loss: object, family: str, field: str) -> None:
    assert callable(loss)
    for name, case in cases.cases("losses.npz", family):
        student = cases.tensor(case, f"student_{field}", grad=True)
        value: Tensor = loss(student, cases.tensor(case, f"teacher_{field}"))
        torch.autograd.backward(value)
        close(value, case["loss"], cases.VALUES, f"{name}/loss")
        gradients(name, case, {"student": student}, cases.GRADIENTS)


def test_vid() -> None:
    for name, case in cases.cases("losses.npz", r"vid\d+"):
        student, teacher = cases.tensor(case, "student_map", grad=True), cases.tensor(case, "teacher_map")
        regressor = Regressor(student.shape[1], teacher.shape[1], variance=5.0)
        weights = {f"regressor.{2 * i}.weight": cases.tensor(case, f"w{i + 1}") for i in range(3)}
        regressor.load_state_dict({**weights, "log_scale": cases.tensor(case, "log_scale")})
        value = regressor(student, teacher)
        torch.autograd.backward(value)
        close(value, case["loss"], cases.VALUES, f"{name}/loss")
        gradients(name, case, {"student": student, "log_scale": regressor.log_scale}, cases.GRADIENTS)


def own_loss(distiller: Distiller, student: Tensor, teacher: Tensor, positions: Tensor, logits: Tensor) -> Tensor:
    """The distiller's own term for given pooled vectors, student's and teacher's."""
    labels = torch.zeros(len(student), dtype=torch.int64)
    temperature = TEMPERATURES.parse({"kind": "fixed", "value": 1.0}).build(logits.shape[1])
    batch = Batch(labels, positions, Features(logits, (), teacher), TrainingProgress(1, 1))
    other = distiller.losses(Features(logits, (), student), batch, temperature).other
    assert other is not None
    return other


def test_srrl() -> None:
    for name, case in cases.cases("losses.npz", r"srrl\d+"):
        student, teacher = cases.tensor(case, "student_embedding", grad=True), cases.tensor(case, "teacher_embedding")
        classes = case["classifier_bias"].shape[0]
        networks = TinyNetwork(classes, student.shape[1]), TinyNetwork(classes, teacher.shape[1])
        with torch.no_grad():
            networks[1].head.weight.copy_(cases.tensor(case, "classifier_weight"))
            networks[1].head.bias.copy_(cases.tensor(case, "classifier_bias"))
        distiller = DISTILLERS.parse({"name": "srrl"}).build(pair(*networks))
        assert isinstance(distiller, SRRL)
        fields = {"0.weight": "transfer_weight", "1.weight": "bn_weight", "1.bias": "bn_bias"}
        distiller.transfer.load_state_dict(
            {key: cases.tensor(case, field) for key, field in fields.items()}, strict=False
        )
        value = own_loss(distiller, student, teacher, torch.arange(len(student)), networks[1].head(teacher).detach())
        torch.autograd.backward(value)
        close(value, case["loss"], cases.VALUES, f"{name}/loss")
        gradients(name, case, {"student": student}, cases.GRADIENTS)


class GivenNegatives(nn.Module):
    """The contrast positions of one reference step."""

    def __init__(self, index: Tensor) -> None:
        super().__init__()
        self.index = index

    def forward(self, positions: Tensor, labels: Tensor, epoch: int) -> Tensor:
        assert torch.equal(self.index[:, 0], positions)
        return self.index[:, 1:]


def test_crd_over_two_steps_with_one_memory() -> None:
    for name, case in cases.cases("losses.npz", r"crd\d+"):
        memory = cases.tensor(case, "memory_student_before")
        student_width, teacher_width = case["embed_s_weight"].shape[1], case["embed_t_weight"].shape[1]
        labels = torch.arange(len(memory)) % 2
        options = DISTILLERS.parse(
            {
                "name": "crd",
                "negatives": int(case["nce_k"]),
                "contrast_temperature": float(case["nce_t"]),
                "momentum": float(case["nce_m"]),
                "dimensions": memory.shape[1],
            }
        )
        distiller = options.build(pair(TinyNetwork(2, student_width), TinyNetwork(2, teacher_width), labels=labels))
        assert isinstance(distiller, CRD)
        given = {"memory_student": memory, "memory_teacher": cases.tensor(case, "memory_teacher_before")}
        for ours, theirs in (("student", "s"), ("teacher", "t")):
            for part in ("weight", "bias"):
                given[f"embed_{ours}.linear.{part}"] = cases.tensor(case, f"embed_{theirs}_{part}")
        distiller.load_state_dict({**distiller.state_dict(), **given})
        for step_name, step in cases.cases("losses.npz", rf"{name}_step\d+"):
            distiller.negatives = GivenNegatives(cases.tensor(step, "contrast_index"))
            student = cases.tensor(step, "student_embedding", grad=True)
            teacher, positions = cases.tensor(step, "teacher_embedding"), cases.tensor(step, "index")
            value = own_loss(distiller, student, teacher, positions, F.one_hot(positions % 2, 2).float())
            torch.autograd.backward(value)
            close(value, step["loss"], cases.VALUES, f"{step_name}/loss")
            gradients(step_name, step, {"student": student}, cases.GRADIENTS)
        for field in ("memory_student", "memory_teacher"):
            close(distiller.get_buffer(field), case[f"{field}_after"], cases.VALUES, f"{name}/{field}_after")
