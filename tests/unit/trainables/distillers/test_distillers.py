from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.support.networks import TinyNetwork, pair
from trainables.distillers import DISTILLERS, Batch, Distiller
from trainables.distillers.crd import CRD, nce_loss
from trainables.distillers.dkd import dkd_loss
from trainables.distillers.negatives import OtherClassNegatives
from trainables.distillers.pkt import pkt_loss
from trainables.distillers.sp import sp_loss
from trainables.distillers.vectors import unit
from trainables.distillers.vid import VID, Regressor
from trainables.models import Features
from trainables.temperatures import TEMPERATURES, TrainingProgress
from trainables.temperatures.base import kd_loss

CLASSES, BATCH = 4, 6


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def labels() -> Tensor:
    return torch.arange(BATCH) % CLASSES


def outputs(network: TinyNetwork) -> Features:
    return network.features(torch.randn(BATCH, 1, 4, 4))


def build(name: str, student: TinyNetwork, teacher: TinyNetwork | None, **options: Any) -> Distiller:
    return DISTILLERS.parse({"name": name, **options}).build(pair(student, teacher, CLASSES))


def test_the_weights_of_kd() -> None:
    network = TinyNetwork(CLASSES, 6)
    student, teacher = outputs(network), outputs(TinyNetwork(CLASSES, 6))
    losses = build("kd", network, None, ce_weight=0.3, kd_weight=2.0).losses(
        student,
        Batch(labels(), torch.arange(BATCH), teacher, TrainingProgress(1, 1)),
        TEMPERATURES.parse({"kind": "fixed", "value": 4.0}).build(CLASSES),
    )
    ce, kd = F.cross_entropy(student.logits, labels()), kd_loss(student.logits, teacher.logits, torch.tensor(4.0))
    torch.testing.assert_close(losses.total, 0.3 * ce + 2.0 * kd)
    assert (losses.ce, losses.kd, losses.other) == (ce, kd, None)


def test_a_distiller_without_its_teacher_or_temperature_says_so() -> None:
    network = TinyNetwork(CLASSES, 6)
    batch = Batch(labels(), torch.arange(BATCH), None, TrainingProgress(1, 1))
    with pytest.raises(TypeError, match="needs a teacher and a temperature"):
        build("kd", network, None).losses(outputs(network), batch, None)
    with pytest.raises(TypeError, match="needs the teacher's network"):
        build("srrl", network, None)


def test_dkd_needs_a_single_temperature() -> None:
    network = TinyNetwork(CLASSES, 6)
    batch = Batch(labels(), torch.arange(BATCH), outputs(network), TrainingProgress(1, 1))
    with pytest.raises(TypeError, match="single T"):
        build("dkd", network, None).losses(outputs(network), batch, TEMPERATURES.parse({"kind": "norm"}).build(CLASSES))


def test_dkd_with_the_others_weighted_by_the_teachers_doubt_is_kd() -> None:
    # KD = TCKD + (1 - p) NCKD, p the teacher's probability of the target.
    student, teacher, temperature = torch.randn(1, CLASSES), torch.randn(1, CLASSES), torch.tensor(2.0)
    p = (teacher / temperature).softmax(1)[0, 0]
    decoupled = dkd_loss(student, teacher, torch.tensor([0]), temperature, 1.0, float(1 - p))
    torch.testing.assert_close(decoupled, kd_loss(student, teacher, temperature))


def test_dkd_of_two_classes_has_no_others_to_compare() -> None:
    student, teacher = torch.randn(BATCH, 2), torch.randn(BATCH, 2)
    losses = [dkd_loss(student, teacher, labels() % 2, torch.tensor(3.0), 1.0, beta) for beta in (0.0, 5.0)]
    torch.testing.assert_close(*losses)
    torch.testing.assert_close(losses[0], kd_loss(student, teacher, torch.tensor(3.0)))


def test_dkd_with_a_learned_temperature_is_finite_where_the_teacher_is_sure() -> None:
    teacher = 1e3 * F.one_hot(labels(), CLASSES).float()
    student = torch.zeros(BATCH, CLASSES, requires_grad=True)
    temperature = torch.full((BATCH,), 1.5, requires_grad=True)
    torch.autograd.backward(dkd_loss(student, teacher, labels(), temperature, 1.0, 2.0))
    assert student.grad is not None
    assert temperature.grad is not None
    assert bool(student.grad.isfinite().all())
    assert bool(temperature.grad.isfinite().all())


def test_a_vector_without_direction_gets_no_gradient() -> None:
    vectors = torch.tensor([[3.0, 4.0], [0.0, 0.0]], requires_grad=True)
    directions = unit(vectors)
    torch.testing.assert_close(directions, torch.tensor([[0.6, 0.8], [0.0, 0.0]]))
    torch.autograd.backward(directions.sum())
    assert vectors.grad is not None
    assert vectors.grad[1].tolist() == [0.0, 0.0]
    assert bool(vectors.grad[0].abs().sum() > 0)


@pytest.mark.parametrize(("loss", "shape"), [(pkt_loss, (BATCH, 5)), (sp_loss, (BATCH, 5, 2, 2))])
def test_similarities_ignore_the_scale_of_features(loss: Any, shape: tuple[int, ...]) -> None:
    student, teacher = torch.rand(shape), torch.rand(shape)
    assert float(loss(3 * teacher, teacher)) == pytest.approx(0, abs=1e-7)
    torch.testing.assert_close(loss(student, teacher), loss(5 * student, teacher))
    assert float(loss(student, teacher)) > 0


def test_vid_pools_the_larger_map_to_the_smaller() -> None:
    regressor = Regressor(3, 5, variance=5.0)
    student, teacher = torch.randn(BATCH, 3, 8, 8), torch.randn(BATCH, 5, 4, 4)
    torch.testing.assert_close(regressor(student, teacher), regressor(F.avg_pool2d(student, 2), teacher))
    student, teacher = torch.randn(BATCH, 3, 2, 2), torch.randn(BATCH, 5, 3, 3)
    torch.testing.assert_close(regressor(student, teacher), regressor(student, F.adaptive_avg_pool2d(teacher, 2)))


@pytest.mark.parametrize("variance", [1.0, 5.0, 1000.0])
def test_vid_starts_with_the_variance_asked_for(variance: float) -> None:
    regressor = Regressor(3, 5, variance)
    torch.testing.assert_close(F.softplus(regressor.log_scale.detach()) + 1e-5, torch.full((5,), variance))


def test_vid_has_a_regressor_for_every_stage_but_the_stem() -> None:
    student, teacher = TinyNetwork(CLASSES, 6, maps=(3, 5)), TinyNetwork(CLASSES, 8, maps=(4, 7))
    distiller = build("vid", student, teacher)
    assert isinstance(distiller, VID)
    shapes = [tuple(key.regressor[0].weight.shape[:2]) for key in distiller.regressors.children()]  # type: ignore[index,union-attr]
    assert shapes == [(7, 5), (8, 6)]


def test_building_leaves_the_networks_as_they_were() -> None:
    student, teacher = TinyNetwork(CLASSES, 6).train(), TinyNetwork(CLASSES, 8).eval()
    build("vid", student, teacher)
    assert student.training
    assert not teacher.training


def test_srrl_neither_trains_nor_saves_the_teachers_classifier() -> None:
    student, teacher = TinyNetwork(CLASSES, 6), TinyNetwork(CLASSES, 8)
    distiller = build("srrl", student, teacher)
    assert not any("classifier" in name for name in distiller.state_dict())
    assert not {id(p) for p in distiller.parameters()} & {id(p) for p in teacher.parameters()}


# -- CRD ---------------------------------------------------------------------------------------------------------------


def crd(**options: Any) -> tuple[CRD, TinyNetwork, TinyNetwork]:
    student, teacher = TinyNetwork(CLASSES, 6), TinyNetwork(CLASSES, 8)
    distiller = build("crd", student, teacher, **{"negatives": 8, "dimensions": 5, **options})
    assert isinstance(distiller, CRD)
    return distiller, student, teacher


def take_loss(distiller: CRD, student: TinyNetwork, teacher: TinyNetwork, positions: Tensor, epoch: int = 1) -> Tensor:
    batch = Batch(positions % CLASSES, positions, outputs(teacher), TrainingProgress(epoch, 9))
    temperature = TEMPERATURES.parse({"kind": "fixed", "value": 4.0}).build(CLASSES)
    return distiller.losses(outputs(student), batch, temperature).total


def test_contrast_is_a_sum_of_logistic_regressions() -> None:
    scores, z, examples = torch.randn(BATCH, 9).double(), torch.tensor(30.0).double(), 50
    p, noise = scores.exp() / z, 8 / examples
    right = p / (p + noise)
    expected = -(right[:, 0].log() + (1 - right[:, 1:]).log().sum(1)).mean()
    torch.testing.assert_close(nce_loss(scores, z, examples), expected)


def test_only_the_examples_seen_are_remembered_and_memories_are_unit_vectors() -> None:
    distiller, student, teacher = crd()
    before = distiller.get_buffer("memory_student").clone()
    positions = torch.tensor([3, 9, 4, 60, 22, 7])
    take_loss(distiller, student, teacher, positions)
    after = distiller.get_buffer("memory_student")
    changed = (before != after).any(dim=1).nonzero().flatten()
    assert changed.tolist() == sorted(positions.tolist())
    torch.testing.assert_close(after[positions].norm(dim=1), torch.ones(BATCH))


def test_a_memory_keeps_nine_tenths_of_the_old_entry_at_momentum_09() -> None:
    distiller, student, teacher = crd(momentum=0.9)
    s, t, positions = outputs(student), outputs(teacher), torch.arange(BATCH)
    with torch.no_grad():
        mixed = {
            name: 0.9 * distiller.get_buffer(name)[positions] + 0.1 * embedded
            for name, embedded in (
                ("memory_student", distiller.embed_student(s.pooled)),
                ("memory_teacher", distiller.embed_teacher(t.pooled)),
            )
        }
    temperature = TEMPERATURES.parse({"kind": "fixed", "value": 4.0}).build(CLASSES)
    distiller.losses(s, Batch(positions % CLASSES, positions, t, TrainingProgress(1, 9)), temperature)
    for name, expected in mixed.items():
        after = distiller.get_buffer(name)[positions]
        torch.testing.assert_close(after, expected / expected.norm(dim=1, keepdim=True))


def test_the_normalisation_is_set_in_the_first_step_and_kept() -> None:
    distiller, student, teacher = crd()
    names = ("z_student", "z_teacher")
    assert [float(distiller.get_buffer(name)) for name in names] == [0, 0]
    take_loss(distiller, student, teacher, torch.arange(BATCH))
    first = [float(distiller.get_buffer(name)) for name in names]
    assert min(first) > 0
    take_loss(distiller, student, teacher, torch.arange(BATCH) + 10)
    assert [float(distiller.get_buffer(name)) for name in names] == first


def test_in_evaluation_mode_nothing_is_remembered() -> None:
    distiller, student, teacher = crd()
    distiller.eval()
    before = {key: value.clone() for key, value in distiller.state_dict().items()}
    take_loss(distiller, student, teacher, torch.arange(BATCH))
    assert all(torch.equal(value, before[key]) for key, value in distiller.state_dict().items())


def test_negatives_are_of_other_classes_and_all_of_those_come_up() -> None:
    classes = torch.tensor([0, 1, 1, 2, 2, 2, 0, 2, 1, 2])
    negatives = OtherClassNegatives(classes, 400, seed=0)(torch.arange(10), classes, 1)
    assert negatives.shape == (10, 400)
    for anchor in range(10):
        others = {i for i in range(10) if classes[i] != classes[anchor]}
        assert set(negatives[anchor].tolist()) == others


def test_negatives_are_uniform() -> None:
    classes = torch.arange(50) % 5
    counts = torch.zeros(50)
    sampler = OtherClassNegatives(classes, 2000, seed=1)
    anchors = (classes == 0).nonzero().flatten()
    for epoch in range(1, 6):
        counts += torch.bincount(sampler(anchors, classes[anchors], epoch).flatten(), minlength=50)
    others = counts[classes != 0]
    expected = 10 * 2000 * 5 / 40
    chi_squared = float(((others - expected) ** 2 / expected).sum())
    assert 10 < chi_squared < 90  # 39 degrees of freedom: 99.99 % lie within


def test_negatives_depend_on_their_address_alone() -> None:
    classes = torch.arange(60) % 3
    sampler = OtherClassNegatives(classes, 20, seed=4)
    anchors = torch.tensor([5, 17, 33])
    together = sampler(anchors, classes[anchors], 2)
    alone = OtherClassNegatives(classes, 20, seed=4)(anchors[1:2], classes[anchors[1:2]], 2)
    assert torch.equal(together[1:2], alone)
    assert not torch.equal(together, sampler(anchors, classes[anchors], 3))
    assert not torch.equal(together, OtherClassNegatives(classes, 20, seed=5)(anchors, classes[anchors], 2))
    assert not torch.equal(together[0], together[1])


def test_negatives_need_two_classes() -> None:
    with pytest.raises(ValueError, match="at least two classes, but got 1"):
        OtherClassNegatives(torch.zeros(10, dtype=torch.int64), 4, seed=0)
