"""A comparison or a plan as one JSON object; the names are a contract (docs/results.md)."""

import dataclasses
from typing import Any

from ctkd_study.analysis import Comparison, Cost, Mean, Pair, Summary
from ctkd_study.plan import Estimate, Plan, Range


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
        "strategies": [_strategy(summary) for summary in comparison.summaries],
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
        "verdict": comparison.sentence,
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


def _strategy(summary: Summary) -> dict[str, Any]:
    strategy, ratio = summary.strategy, summary.cost_ratio
    return {
        "name": strategy.name,
        "settings": list(strategy.plan.settings),
        "trials": strategy.trials,
        "failed": len(strategy.failed),
        "missing": strategy.missing,
        "dropped_seeds": list(strategy.dropped),
        "overrides_student": strategy.plan.overrides_student,
        "overrides_epochs": strategy.plan.overrides_epochs,
        "selected": [replicate.selected for replicate in strategy.replicates],
        "val_top1": _mean(summary.val_top1),
        "test_top1": _mean(summary.test_top1),
        "cost": {**(_cost(summary.cost) or {"device_seconds": None, "tflop": None}), "money": summary.money},
        "cost_ratio": _cost(ratio) or {"device_seconds": None, "tflop": None},
        "wasted_device_seconds": strategy.wasted_device_seconds,
    }


def _pair(pair: Pair) -> dict[str, Any]:
    return {
        "a": pair.a,
        "b": pair.b,
        "difference": pair.difference,
        "low": pair.low,
        "high": pair.high,
        "p_value": pair.p_value,
        "verdict": pair.verdict,
        "more_seeds": pair.more_seeds,
        "seeds": list(pair.seeds),
        "per_seed": list(pair.per_seed),
        "dropped": pair.dropped,
    }


def _mean(mean: Mean) -> dict[str, Any]:
    return {"mean": mean.mean, "low": mean.low, "high": mean.high, "per_seed": list(mean.per_seed)}


def _cost(cost: Cost | None) -> dict[str, float] | None:
    return dataclasses.asdict(cost) if cost is not None else None


def _range(span: Range) -> dict[str, float]:
    return dataclasses.asdict(span)
