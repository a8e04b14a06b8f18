"""How a study decides to add seeds: fixed at its first run, and followed by the record alone."""

from collections.abc import Mapping
from typing import Any

from ctkd_study.analysis import METRICS, Decisions, Rule, confirmed_arms, default_baseline, follow
from ctkd_study.errors import ChangedStudyError
from ctkd_study.records import TrialResult, differences
from ctkd_study.spec import StudySpec, Vary
from trainables.record import Manifest


def as_begun(spec: StudySpec, before: StudySpec | None) -> StudySpec:
    """Return the study with the ``until`` of its first run.

    Args:
        spec: the study.
        before: the same study as it was run before, if it was.

    Raises:
        ChangedStudyError: what must be fixed before the first look has changed.
    """
    if before is not None and before.metric != spec.metric:
        raise ChangedStudyError(
            f"{spec.name}: the metric is declared at the first run, as {before.metric!r}, but is now {spec.metric!r}. "
            "Change it back; `compare --metric` shows the others, marked as exploratory."
        )
    if before is None or (before.until is None and spec.until is None):
        return spec
    found = spec if spec.until is not None else spec.model_copy(update={"until": before.until})
    if lines := differences(_fixed(before), _fixed(found)):
        raise ChangedStudyError(
            f"{spec.name}: how seeds are added is fixed at the first run, before anyone looks, but now differs:\n"
            + "\n".join(f"  {line}" for line in lines)
            + "\nChange it back, give the study another name, or start anew with --fresh (the old folder is kept)."
        )
    return found


def _fixed(spec: StudySpec) -> dict[str, Any]:
    until = spec.until.plain() if spec.until is not None else None
    if until is not None:
        del until["budget"]  # to stop for another reason than the differences never raises the error
    return {
        "until": until,
        "seeds": list(spec.all_seeds),
        "margin": spec.margin,
        "baseline": spec.baseline,
        "confirm": spec.confirm,
        "vary": spec.vary.plain(),
    }


def rule_of(study: StudySpec) -> Rule | None:
    """Return the rule of a study that adds seeds until it is decided; None for another study."""
    if study.until is None:
        return None
    looks = study.until.looks
    arms, budget, price = study.resolved_arms, study.until.budget, study.price_per_device_hour
    baseline = study.baseline or default_baseline(arms)
    hours = [budget.device_hours] if budget.device_hours is not None else []
    hours += [budget.money / price] if budget.money is not None and price else []
    return Rule(
        looks=looks,
        baseline=baseline,
        confirmed=confirmed_arms(arms, baseline, study.confirm),
        margin=study.margin,
        vary=study.vary if study.vary.groups < looks[-1] else Vary(),  # else each seed is a group of its own
        metric=METRICS[study.metric],
        device_seconds=min(hours) * 3600 if hours else None,
    )


def decisions(study: StudySpec, records: Mapping[str, Manifest]) -> Decisions | None:
    """Return where a study stands that adds seeds until it is decided; None for another study.

    Args:
        study: the settled study.
        records: the newest manifest of each trial that has one, by trial id.
    """
    if (rule := rule_of(study)) is None:
        return None
    test = next((manifest.test_examples for manifest in records.values() if manifest.test_examples), None)
    results = [TrialResult.from_manifest(manifest) for manifest in records.values()]
    return follow(rule, study.resolved_arms, study.all_seeds, results, test)
