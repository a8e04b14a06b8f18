from typing import Any

import pydantic
import pytest
import torch
from torch import Tensor

from trainables.temperatures import TEMPERATURES, SingleTemperature, Temperature, TrainingProgress
from trainables.temperatures.annealing import AnnealingOptions
from trainables.temperatures.base import kd_loss, softened_divergence
from trainables.temperatures.dtkd import dtkd_loss, shares
from trainables.temperatures.schedule import ScheduleOptions
from trainables.temperatures.standardized import standardized
from trainables.temperatures.wttm import power_sum

CLASSES, BATCH = 5, 6
FIRST = TrainingProgress(1, 10)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def logits(scale: float = 3.0) -> tuple[Tensor, Tensor, Tensor]:
    """Student's, teacher's, labels."""
    student = (scale * torch.randn(BATCH, CLASSES)).requires_grad_()
    return student, scale * torch.randn(BATCH, CLASSES), torch.arange(BATCH) % CLASSES


def build(kind: str, **options: Any) -> Temperature:
    return TEMPERATURES.parse({"kind": kind, **options}).build(CLASSES)


def seen(temperature: Temperature) -> Tensor:
    assert temperature.seen is not None
    return temperature.seen


def test_kd_is_the_divergence_written_out() -> None:
    student, teacher = torch.tensor([[0.0, 2.0]]), torch.tensor([[2.0, 0.0]])
    p = torch.tensor([2.0 / 2, 0.0]).softmax(0)
    q = p.flip(0)
    expected = 4 * (p[0] * (p[0] / q[0]).log() + p[1] * (p[1] / q[1]).log())
    assert float(kd_loss(student, teacher, torch.tensor(2.0))) == pytest.approx(float(expected), rel=1e-6)
    assert float(kd_loss(student, student, torch.tensor(2.0))) == 0


def test_one_temperature_and_the_same_one_for_each_sample_are_equal() -> None:
    student, teacher, _ = logits()
    once, each = kd_loss(student, teacher, torch.tensor(3.0)), kd_loss(student, teacher, torch.full((BATCH,), 3.0))
    torch.testing.assert_close(once, each)


@pytest.mark.parametrize("kind", sorted(TEMPERATURES))
def test_a_kind_with_a_single_t_says_so(kind: str) -> None:
    required = {"fixed": {"value": 2.0}, "schedule": {"start": 1.0, "end": 2.0}}
    required["asymmetric"] = {"label_tau": 1.0, "other_tau": 2.0}
    options = TEMPERATURES.parse({"kind": kind, **required.get(kind, {})})
    assert ("value" in options.serves) == isinstance(options.build(CLASSES), SingleTemperature)


def test_a_fixed_temperature_is_what_it_was_set_to_and_has_no_state() -> None:
    temperature = build("fixed", value=3.5)
    student, teacher, labels = logits()
    torch.testing.assert_close(
        temperature.kd_term(student, teacher, labels, FIRST), kd_loss(student, teacher, torch.tensor(3.5))
    )
    assert float(seen(temperature)) == 3.5
    assert not temperature.state_dict()


@pytest.mark.parametrize("value", [0.0, -1.0, 0.001, 1001.0, "4"])
def test_a_temperature_out_of_range_is_refused(value: object) -> None:
    with pytest.raises(pydantic.ValidationError):
        build("fixed", value=value)


def test_the_global_temperature_starts_where_the_paper_says() -> None:
    temperature = build("global")
    temperature.kd_term(*logits(), FIRST)
    assert float(seen(temperature)) == pytest.approx(1 + 20 / (1 + 2.718281828**-1), rel=1e-6)
    assert seen(temperature).ndim == 0


def test_the_instance_temperature_lies_within_its_bounds_and_differs_by_sample() -> None:
    temperature = build("instance", tau_init=2.0, tau_range=3.0)
    temperature.kd_term(*logits(), FIRST)
    values = seen(temperature)
    assert values.shape == (BATCH,)
    assert bool(((values > 2) & (values < 5)).all())
    assert len(set(values.tolist())) > 1


def test_the_student_is_not_trained_through_the_temperature_network() -> None:
    student, teacher, labels = logits()
    temperature = build("instance")
    torch.autograd.backward(temperature.kd_term(student, teacher, labels, TrainingProgress(1, 1, 1.0)))
    plain = student.detach().clone().requires_grad_()
    torch.autograd.backward(kd_loss(plain, teacher, seen(temperature)))
    assert student.grad is not None
    assert plain.grad is not None
    torch.testing.assert_close(student.grad, plain.grad)


@pytest.mark.parametrize(("options", "width"), [({}, CLASSES), ({"hidden": 17}, 17)])
def test_the_hidden_width_of_the_instance_network(options: dict[str, Any], width: int) -> None:
    shapes = [tuple(parameter.shape) for parameter in build("instance", **options).parameters()]
    assert shapes == [(width, 2 * CLASSES), (width,), (1, width), (1,)]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"start": 8.0, "end": 2.0, "epochs": 4}, [8.0, 6.0, 4.0, 2.0, 2.0, 2.0]),
        ({"start": 2.0, "end": 4.0}, [2.0, 2.4, 2.8, 3.2, 3.6, 4.0]),
        ({"start": 1.0, "end": 5.0, "epochs": 5, "path": "cosine"}, [1.0, 1.585786, 3.0, 4.414214, 5.0, 5.0]),
        ({"start": 3.0, "end": 3.0}, [3.0] * 6),
    ],
)
def test_a_scheduled_temperature_by_epoch(options: dict[str, Any], expected: list[float]) -> None:
    schedule = TEMPERATURES.parse({"kind": "schedule", **options})
    assert isinstance(schedule, ScheduleOptions)
    temperature = schedule.build(CLASSES)
    assert isinstance(temperature, SingleTemperature)
    student, teacher, _ = logits()
    values = [float(temperature.value(student, teacher, TrainingProgress(epoch, 6))) for epoch in range(1, 7)]
    assert values == pytest.approx(expected, abs=1e-6)


def test_a_schedule_of_a_trial_of_one_epoch_stays_at_its_start() -> None:
    schedule = TEMPERATURES.parse({"kind": "schedule", "start": 8.0, "end": 2.0})
    assert isinstance(schedule, ScheduleOptions)
    assert schedule.temperature(1, 1) == 8.0


def test_standardized_logits_ignore_shift_and_scale() -> None:
    _, teacher, labels = logits()
    temperature = build("standardized")
    assert float(temperature.kd_term(5 * teacher - 7, teacher, labels, FIRST)) == pytest.approx(0, abs=1e-6)
    torch.testing.assert_close(standardized(teacher).std(dim=1), torch.ones(BATCH))


def test_what_standardized_reports_is_what_the_students_logits_are_divided_by() -> None:
    student, teacher, labels = logits()
    temperature = build("standardized", value=3.0)
    temperature.kd_term(student, teacher, labels, FIRST)
    torch.testing.assert_close(
        (student / seen(temperature)[:, None]).softmax(1), (standardized(student) / 3.0).softmax(1)
    )


def test_norm_sets_a_temperature_for_each_sample_from_its_spread() -> None:
    student, teacher, labels = logits()
    temperature = build("norm", tau=1.5)
    temperature.kd_term(student, teacher, labels, FIRST)
    torch.testing.assert_close(seen(temperature), 1.5 * student.detach().std(dim=1))


@pytest.mark.parametrize("kind", ["standardized", "norm"])
def test_rows_of_equal_logits_get_a_finite_gradient_no_larger_than_others(kind: str) -> None:
    student = torch.full((BATCH, CLASSES), 2.0, requires_grad=True)
    _, teacher, labels = logits()
    torch.autograd.backward(build(kind).kd_term(student, teacher, labels, FIRST))
    assert student.grad is not None
    assert float(student.grad.abs().max()) < 1e4


def test_the_dynamic_temperatures_share_twice_t_by_the_largest_logits() -> None:
    student, teacher = torch.tensor([[3.0, 0.0]]), torch.tensor([[1.0, 0.5]])
    loss, t_student = dtkd_loss(student, teacher, 4.0)
    assert t_student.tolist() == [[6.0]]
    expected = 12 * softened_divergence(student, teacher, torch.tensor(6.0), torch.tensor(2.0))
    assert float(loss) == pytest.approx(float(expected), rel=1e-6)


@pytest.mark.parametrize(
    ("student", "teacher", "share"),
    [
        ([-1.0, -5.0], [2.0, 0.0], 0.05),  # the formula gives T_s < 0
        ([2.0, 0.0], [-1.0, -5.0], 0.95),
        ([1.0, 0.0], [-1.0, -2.0], 0.95),  # ... and infinity
        ([-3.0, -4.0], [-1.0, -2.0], 0.5),
        ([0.0, 0.0], [0.0, 0.0], 0.5),
        ([1e4, -1e4], [1e-4, 0.0], 0.95),
        ([1.0, 0.0], [3.0, 0.0], 0.25),
    ],
)
def test_the_dynamic_temperatures_are_clamped(student: list[float], teacher: list[float], share: float) -> None:
    s, t = torch.tensor([student], requires_grad=True), torch.tensor([teacher])
    assert float(shares(s, t).detach()) == pytest.approx(share, rel=1e-6)
    loss, t_student = dtkd_loss(s, t, 4.0)
    torch.autograd.backward(loss)
    assert float(t_student.detach()) == pytest.approx(8 * share, rel=1e-6)
    assert s.grad is not None
    assert bool(s.grad.isfinite().all())


def test_both_dynamic_terms_grow_in_over_the_warm_up() -> None:
    student, teacher, labels = logits()
    temperature = build("dtkd", value=2.0, alpha=3.0, beta=0.5, warmup=4)
    full = 3 * dtkd_loss(student, teacher, 2.0)[0] + 0.5 * kd_loss(student, teacher, torch.tensor(2.0))
    for epoch, factor in ((1, 0.25), (2, 0.5), (4, 1.0), (9, 1.0)):
        torch.testing.assert_close(
            temperature.kd_term(student, teacher, labels, TrainingProgress(epoch, 10)), factor * full
        )


def test_a_power_of_one_is_distillation_at_t_one() -> None:
    student, teacher, labels = logits()
    torch.testing.assert_close(
        build("ttm", power=1.0).kd_term(student, teacher, labels, FIRST), kd_loss(student, teacher, torch.tensor(1.0))
    )


def test_the_weight_of_a_sample_grows_with_the_teachers_doubt() -> None:
    sure, lost = torch.tensor([[100.0, 0.0, 0.0, 0.0, 0.0]]), torch.zeros(1, CLASSES)
    assert float(power_sum(sure, 0.5)) == pytest.approx(1, rel=1e-6)
    assert float(power_sum(lost, 0.5)) == pytest.approx(CLASSES**0.5, rel=1e-6)


def test_equal_temperatures_make_the_asymmetric_teacher_a_plain_one() -> None:
    student, teacher, labels = logits()
    soft = (teacher / 3).softmax(1)
    torch.testing.assert_close(
        build("asymmetric", label_tau=3.0, other_tau=3.0).kd_term(student, teacher, labels, FIRST),
        -(soft * student.log_softmax(1)).sum(1).mean(),
    )


@pytest.mark.parametrize(
    ("options", "epochs", "scales"),
    [
        ({}, 15, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, None, None, None, None, None]),
        ({"levels": 2}, 6, [0.5, 0.5, 1.0, 1.0, None, None]),
        ({"levels": 4, "ce_share": 0.0}, 2, [0.5, 1.0]),
        ({}, 1, [1.0]),
    ],
)
def test_the_annealed_scale_by_epoch(options: dict[str, Any], epochs: int, scales: list[float | None]) -> None:
    annealing = TEMPERATURES.parse({"kind": "annealing", **options})
    assert isinstance(annealing, AnnealingOptions)
    assert [annealing.scale(epoch, epochs) for epoch in range(1, epochs + 1)] == scales


def test_annealing_regresses_first_and_then_leaves_the_labels_alone() -> None:
    student, teacher, labels = logits()
    temperature = build("annealing", levels=2)
    first, last = TrainingProgress(1, 6), TrainingProgress(6, 6)
    torch.testing.assert_close(
        temperature.kd_term(student, teacher, labels, first), (student - teacher / 2).square().mean()
    )
    assert (temperature.ce_factor(first), temperature.ce_factor(last)) == (0.0, 1.0)
    assert float(temperature.kd_term(student, teacher, labels, last)) == 0


@pytest.mark.parametrize("kind", sorted(TEMPERATURES))
def test_published_weights_are_named_in_the_options_description(kind: str) -> None:
    options = TEMPERATURES[kind]
    if options.published is not None:
        text = " ".join((options.__doc__ or "").split())
        weights = options.published
        assert f"ce_weight {weights.ce_weight:g} and kd_weight {weights.kd_weight:g}" in text
