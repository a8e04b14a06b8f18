"""Trials with tabulated results: what a study would have recorded, without training anything."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from ctkd_study.analysis.cost_ratios import CostRatio, Ratio
from ctkd_study.analysis.strategies import Cost, Strategy, evaluate
from ctkd_study.analysis.verdict import Comparison, Question, TeacherFacts, compare
from ctkd_study.records.results import History, TrialResult
from ctkd_study.spec import Arm, Setting, Vary
from trainables.config import TrialConfig
from trainables.record import Row


def arm(
    name: str,
    *labels: str,
    fixed: bool = False,
    uses_teacher: bool = True,
    overrides_student: bool = False,
    overrides_epochs: bool = False,
) -> Arm:
    """An arm with a setting for each label, by default one with the arm's name; its trials are those of ``trial``.

    A setting of a fixed arm with a label like ``T=4`` has that temperature.
    """

    def config(label: str) -> TrialConfig:
        value = re.fullmatch(r"T=(\d+)", label) if fixed else None
        parts: dict[str, Any] = {
            "temperature": SimpleNamespace(kind="fixed" if fixed else "global", value=value and float(value[1])),
            "teacher": SimpleNamespace(),
            "distiller": SimpleNamespace(needs="logits" if uses_teacher else "nothing"),
        }
        return TrialConfig.model_construct(**parts)

    differs = (overrides_student, overrides_epochs)
    settings = (Setting(name, label, label, *differs, config(label), Vary()) for label in labels or (name,))
    return Arm(name, tuple(settings), {})


def trial(arm: str, setting: str, seed: int, val: float, test: float, **fields: Any) -> TrialResult:
    """A finished trial of ten device-seconds and two TFLOP; the teacher and validation take one and a half."""
    result = TrialResult(
        id=f"{arm}-{setting}-s{seed}",
        arm=arm,
        setting=setting,
        seed=seed,
        status="finished",
        reason=None,
        val_loss=0.5,
        val_top1=val,
        test_loss=0.5,
        test_top1=test,
        device_seconds=10.0,
        tflop=2.0,
        teacher_device_seconds=0.5,
        teacher_tflop=0.25,
        eval_device_seconds=2.5,
        eval_tflop=1.25,
        selecting=0.2,
    )
    return dataclasses.replace(result, **fields) if fields else result


def curves_of(result: TrialResult, epochs: int) -> list[Row]:
    """The rows of a finished trial whose accuracies never change, and whose epochs cost the same."""
    return [
        {
            "epoch": epoch,
            **{name: getattr(result, name) for name in ("val_top1", "val_loss", "test_top1", "test_loss")},
            "device_seconds": result.device_seconds / epochs,
            "tflop": result.tflop * epoch / epochs,
        }
        for epoch in range(1, epochs + 1)
    ]


def failed(arm: str, setting: str, seed: int, reason: str = "train_loss is nan in epoch 2") -> TrialResult:
    """A trial that stopped early, having cost three device-seconds and one TFLOP."""
    fields: dict[str, Any] = {"status": "failed", "reason": reason, "device_seconds": 3.0, "tflop": 1.0}
    missing: dict[str, Any] = dict.fromkeys(("val_loss", "val_top1", "test_loss", "test_top1"))
    return dataclasses.replace(trial(arm, setting, seed, 0.0, 0.0), **fields, **missing)


def cost_ratio(tflop: float, device_seconds: float, half: float = 0.0) -> CostRatio:
    """Ratios of costs to the baseline's; that of device-seconds is known to within a half-width."""
    between = (device_seconds - half, device_seconds + half)
    return CostRatio(Ratio(tflop, tflop, tflop), Ratio(device_seconds, *between))


def question(**fields: Any) -> Question:
    """A question about eight seeds on digits, with a margin of 1.5 points."""
    teacher = TeacherFacts("resnet20", 98.12, Cost(30.0, 5.0))
    plain = Question(
        study="quickstart",
        text="Does a learned temperature save the grid search?",
        protocol="validation",
        margin=1.5,
        seeds=tuple(range(8)),
        data="digits",
        validation=200,
        test=797,
        teacher=teacher,
    )
    return dataclasses.replace(plain, **fields)


def strategies(
    accuracies: Mapping[str, Sequence[float]], given: Sequence[Arm] = (), **options: Any
) -> tuple[Strategy, ...]:
    """Arms of one setting each, from their test accuracies by seed."""
    known = {each.name: each for each in given}
    arms = [known.get(name, arm(name)) for name in accuracies]
    results = [
        trial(name, name, seed, value, value)
        for name, values in accuracies.items()
        for seed, value in enumerate(values)
    ]
    seeds = range(max(len(values) for values in accuracies.values()))
    return evaluate(arms, seeds, results, "validation", **options)


def with_states(states: str) -> tuple[Strategy, Strategy]:
    """Arm a by seed: . finished, x failed, - absent; arm b always finished and two points lower."""
    results = [trial("b", "b", seed, 90, 90) for seed in range(len(states))]
    for seed, state in enumerate(states):
        if state == ".":
            results.append(trial("a", "a", seed, 92, 92 + 0.1 * (seed % 3)))
        elif state == "x":
            results.append(failed("a", "a", seed))
    a, b = evaluate([arm("a"), arm("b")], range(len(states)), results, "validation")
    return a, b


def quickstart(seeds: int = 8, **fields: Any) -> Comparison:
    """A whole study: a grid of five, two curricula, a student alone; the curricula are about as good as the grid."""
    values = ("1", "2", "4", "8", "16")
    arms = (
        arm("grid", *(f"T={value}" for value in values), fixed=True),
        arm("global"),
        arm("instance"),
        arm("student_alone", uses_teacher=False),
    )
    results = []
    for seed in range(seeds):
        wave = (0.0, 0.6, -0.4, 0.9, -0.7, 0.2, -0.1, 0.5)[seed % 8]
        for place, value in enumerate(values):
            best = place == 2 + seed % 3
            results.append(trial("grid", f"T={value}", seed, 96.0 + best, 95.0 + wave + best))
        results.append(trial("global", "global", seed, 97.0, 95.8 + 0.5 * wave))
        results.append(trial("instance", "instance", seed, 97.0, 95.4 + 4 * wave))
        results.append(trial("student_alone", "student_alone", seed, 91.0, 90.0 + wave))
    asked = question(seeds=tuple(range(seeds)), **fields)
    return compare(asked, evaluate(arms, asked.seeds, results, asked.protocol))


def history(arm: str, seed: int, temperatures: Sequence[float], bounds: tuple[float, float] = (1.0, 21.0)) -> History:
    """A trial whose temperature took this path, with λ growing to 1."""
    epochs = len(temperatures)
    rows: tuple[Row, ...] = tuple(
        {"epoch": epoch, "temperature": value, "lambda": epoch / epochs} for epoch, value in enumerate(temperatures, 1)
    )
    return History(arm, arm, seed, rows, bounds)
