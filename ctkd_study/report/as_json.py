"""A comparison or a plan as one JSON object; the keys are a contract (docs/results.md)."""

import dataclasses
from typing import Any

from ctkd_study.analysis import Comparison, Cost, PairedDifference
from ctkd_study.plan import Estimate, Plan, Range
from ctkd_study.report.columns import values
from ctkd_study.report.sentence import sentence


def comparison_as_json(comparison: Comparison, bank: dict[str, Any] | None = None) -> dict[str, Any]:
    """A comparison as plain values; every number is finite or null, accuracies in percent.

    Args:
        comparison: what was found.
        bank: facts about the teacher bank, if the study has one.
    """
    question = comparison.question
    teacher = question.teacher
    return {
        "study": question.study,
        "question": question.text,
        "protocol": question.protocol,
        "margin": question.margin,
        "baseline": comparison.baseline,
        "seeds": list(question.seeds),
        "seeds_planned": question.seeds_planned,
        "interim": comparison.interim,
        "looks": comparison.looks,
        "strategies": values(comparison),
        "pairwise": [_pair(pair) for pair in comparison.pairs],
        "teacher": None
        if teacher is None
        else {
            "description": teacher.description,
            "test_top1": teacher.test_top1,
            "cost": _cost(teacher.cost),
            "may_have_seen_validation": teacher.may_have_seen_validation,
            "charged": question.charges_teacher,
        },
        "bank": bank,
        "verdict": sentence(comparison),
    }


def plan_as_json(plan: Plan, estimate: Estimate, warnings: list[str]) -> dict[str, Any]:
    """A plan with its estimate as plain values."""
    return {
        "study": plan.spec.name,
        "trials": [
            {"id": trial.id, "arm": trial.arm, "setting": trial.setting.label, "seed": trial.seed}
            for trial in plan.trials
        ],
        "arms": [
            {
                "arm": arm.arm,
                "settings": arm.settings,
                "trials": arm.trials,
                "tflop": arm.tflop,
                "device_seconds": _range(arm.device_seconds),
                "money": arm.money,
                "basis": arm.basis,
            }
            for arm in estimate.arms
        ],
        "slots": estimate.slots,
        "teacher_seconds": _range(estimate.teacher_seconds) if estimate.teacher_seconds is not None else None,
        "bank": None
        if estimate.bank is None
        else {
            "source": estimate.bank.source,
            "reads": estimate.bank.reads,
            "pairs": estimate.bank.pairs,
            "seconds": _range(estimate.bank.seconds),
        },
        "wall_seconds": _range(estimate.wall_seconds),
        "warnings": warnings,
    }


def _pair(pair: PairedDifference) -> dict[str, Any]:
    found = {**dataclasses.asdict(pair), "seeds": list(pair.seeds), "per_seed": list(pair.per_seed)}
    del found["too_many_dropped"]  # the verdict tells
    return found


def _cost(cost: Cost | None) -> dict[str, float] | None:
    return dataclasses.asdict(cost) if cost is not None else None


def _range(span: Range) -> dict[str, float]:
    return dataclasses.asdict(span)
