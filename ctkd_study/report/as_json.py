"""A comparison or a plan as one JSON object; the keys are a contract (docs/results.md)."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from ctkd_study.analysis import Comparison, PairedDifference, Replay
from ctkd_study.plan import Estimate, Plan
from ctkd_study.records import Provenance
from ctkd_study.report.bill import as_json as bill_as_json
from ctkd_study.report.columns import values
from ctkd_study.report.conditions import conditions
from ctkd_study.report.replays import values as replay_values
from ctkd_study.report.sentence import sentence


def comparison_as_json(
    comparison: Comparison,
    bank: dict[str, Any] | None = None,
    replays: Sequence[Replay] = (),
    provenance: Provenance | None = None,
) -> dict[str, Any]:
    """Return a comparison as plain values; every number is finite or None, accuracies in percent.

    Args:
        bank: facts about the teacher bank, if the study has one.
        replays: of the grids.
        provenance: how the study was run.
    """
    question = comparison.question
    return {
        "study": question.study,
        "question": question.text,
        "protocol": question.protocol,
        "metric": question.metric.name,
        "metric_declared": question.metric_declared,
        "margin": question.margin,
        "baseline": comparison.baseline,
        "confirmed": list(comparison.confirmed),
        "conditions": conditions(comparison),
        "seeds": list(question.seeds),
        "seeds_planned": question.seeds_planned,
        "interim": comparison.interim,
        "looks": comparison.looks,
        "set_after_looking": list(comparison.set_after_looking),
        "until": comparison.rule and {key: list(getattr(comparison.rule, key)) for key in ("looks", "confirmed")},
        "strategies": values(comparison),
        "pairwise": [_pair(pair, len(question.seeds)) for pair in comparison.pairs],
        "teacher": question.teacher and {**dataclasses.asdict(question.teacher), "charged": question.charges_teacher},
        "bank": bank,
        "bill": bill_as_json(comparison),
        "replays": replay_values(replays),
        "provenance": provenance and dataclasses.asdict(provenance),
        "remarks": [dataclasses.asdict(remark) for remark in comparison.remarks],
        "verdict": sentence(comparison),
    }


def _pair(pair: PairedDifference, seeds: int) -> dict[str, Any]:
    not_run = [None] * (seeds - len(pair.per_seed))
    found = {**vars(pair), "seeds": list(pair.seeds), "per_seed": [*pair.per_seed, *not_run]}
    found["worst"] = pair.worst and dict(zip(("seed", "difference"), pair.worst, strict=True))
    found |= {"low": pair.low, "high": pair.high, "about": pair.interval and pair.interval.about}
    found["intervals"] = [
        {"about": each.about, "low": each.low, "high": each.high, "confidence": each.confidence}
        for each in pair.intervals
    ]
    found["anytime"] = pair.anytime and dict(zip(("low", "high"), pair.anytime, strict=True))
    del found["metric"]  # that of the comparison
    decision = found.pop("decision")
    found["state"] = decision and decision.state
    found["looks"] = decision and [dataclasses.asdict(look) for look in decision.looks]
    del found["too_many_dropped"]  # the verdict says it
    return found


def plan_as_json(plan: Plan, estimate: Estimate, warnings: list[str]) -> dict[str, Any]:
    """Return a plan with its estimate as plain values; ranges are ``{low, middle, high}``."""
    arms = [dataclasses.asdict(arm) for arm in estimate.arms]
    for arm in arms:
        del arm["wall_seconds"]  # that of the whole plan is below
    return {
        "study": plan.spec.name,
        "size": plan.size,
        "trials": [
            {
                "id": trial.id,
                "arm": trial.arm,
                "setting": trial.setting.label,
                "seed": trial.seed,
                "suggestion": trial.setting.suggestion,
            }
            for trial in plan.trials
        ],
        "arms": arms,
        "slots": estimate.slots,
        "teacher_seconds": estimate.teacher_seconds and dataclasses.asdict(estimate.teacher_seconds),
        "bank": estimate.bank and dataclasses.asdict(estimate.bank),
        "wall_seconds": dataclasses.asdict(estimate.wall_seconds),
        "groups": estimate.advice and dataclasses.asdict(estimate.advice),
        "faults": list(estimate.faults),
        "warnings": warnings,
    }
