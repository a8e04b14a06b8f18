"""Sanity before the verdict: what in a study makes its verdict say less than it seems to.

A verdict compares strategies with each other, so it can be sound where none of them is: if the teacher guesses, one run
is "not worse" than a grid. Every remark is read off the records, and has one rule.
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence

from ctkd_study.analysis.metrics import TOP1
from ctkd_study.analysis.strategies import Strategy
from ctkd_study.analysis.verdict import Comparison, Question, Remark, StrategySummary
from ctkd_study.records import History
from ctkd_study.spec import selection_warning

_ERRORS_ABOVE_CHANCE = 3
"""Standard errors. A network that guesses gets above that once in 700 times."""
_AT_BOUND = 0.01
"""Part of its span within which a temperature counts as sitting at a bound."""
_EXACT = 1e-6
"""Percent points: closer accuracies have the same number of right answers."""
_FEWEST_VALUES = 3
"""Of a grid: one of two values is always at an end."""


def remarks(comparison: Comparison, histories: Sequence[History] = ()) -> tuple[Remark, ...]:
    """Return what to know before the verdict is read, the gravest first.

    Args:
        comparison: its question, strategies and pairs.
        histories: of trials with a learned temperature; without them, nothing is said about bounds.
    """
    alone = _alone(comparison)
    found = [
        *_teacher(comparison.question, alone),
        *(remark for each in comparison.summaries for remark in _student(each.strategy, comparison.question)),
        *_no_help(comparison, alone),
        *_few_validation(comparison),
        *(remark for each in comparison.summaries for remark in _grid_end(each.strategy)),
        *_bounds(histories),
    ]
    return tuple(sorted(found, key=lambda remark: not remark.grave))


def _guessing(question: Question) -> float | None:
    """The accuracy up to which a network may be guessing; None where the test set is not known.

    Chance is the share of the most frequent class, which one answer for all examples gets; the number of right guesses
    is binomial.
    """
    if question.chance is None or not question.test:
        return None
    return question.chance + _ERRORS_ABOVE_CHANCE * _error(question.chance, question.test)


def _error(accuracy: float, examples: int) -> float:
    """Binomial standard error of an accuracy, percent points."""
    return math.sqrt(accuracy * (100 - accuracy) / examples)


def _alone(comparison: Comparison) -> StrategySummary | None:
    """The best strategy that trains the study's student without the teacher, as the others train it with."""
    found = [
        each
        for each in comparison.summaries
        if each.test_top1.mean is not None
        and not each.strategy.arm.uses_teacher
        and not (each.strategy.arm.overrides_student or each.strategy.arm.overrides_epochs)
    ]
    return max(found, key=lambda each: each.test_top1.mean or 0.0, default=None)


def _teacher(question: Question, alone: StrategySummary | None) -> Iterator[Remark]:
    """The teacher guesses, or is not better than the student alone by more than one standard error.

    The error is that of two independent accuracies, the most that it can be on one test set.
    """
    worst = question.teacher.worst_top1 if question.teacher is not None else None
    if worst is None:
        return
    of = "the worst of the teachers" if question.teacher is not None and question.teacher.number > 1 else "the teacher"
    limit = _guessing(question)
    if limit is not None and worst <= limit:
        yield Remark(
            "teacher_guesses", "teacher", f"{of} is no better than guessing: {_as_guess(worst, question)}.", True
        )
    elif alone is not None and alone.test_top1.mean is not None and question.test:
        student = alone.test_top1.mean
        noise = math.hypot(_error(worst, question.test), _error(student, question.test))
        if worst - student < noise:
            yield Remark(
                "teacher_not_better",
                "teacher",
                f"{of} ({worst:.1f} % on test) is not better than {alone.strategy.name} ({student:.1f} %) by more than "
                f"the noise of {question.test} test examples ({noise:.1f} points): there may be little to distil.",
            )


def _student(strategy: Strategy, question: Question) -> Iterator[Remark]:
    """At some seeds, the student that the strategy keeps guesses."""
    limit, tested = _guessing(question), [each for each in strategy.replicates if each.test_top1 is not None]
    accuracies = [each.test_top1 for each in tested if each.test_top1 is not None]
    guessed = [accuracy for accuracy in accuracies if limit is not None and accuracy <= limit]
    if guessed:
        yield Remark(
            "student_guesses",
            strategy.name,
            f"{strategy.name}: at {len(guessed)} of {_seeds(len(accuracies))}, the student is no better than guessing: "
            f"{_as_guess(max(guessed), question)}.",
            True,
        )


def _as_guess(accuracy: float, question: Question) -> str:
    chance = question.chance or 0.0
    text = f"{accuracy:.1f} % on test, where one answer for all {question.test} examples gets {chance:.1f} %"
    return f"{text} - exactly that" if abs(accuracy - chance) < _EXACT else text


def _no_help(comparison: Comparison, alone: StrategySummary | None) -> Iterator[Remark]:
    """The baseline uses the teacher, and is not shown to be better than the student alone.

    A study that cannot tell distillation from none cannot tell two ways of distilling apart: trials of non-inferiority
    call it assay sensitivity (ICH E10, Choice of Control Group in Clinical Trials, 2000).
    """
    if alone is None:
        return
    baseline = next(each.strategy for each in comparison.summaries if each.strategy.name == comparison.baseline)
    pair = next((pair for pair in comparison.pairs if pair.a == alone.strategy.name), None)
    if baseline.arm.uses_teacher and pair is not None and pair.high is not None and pair.high >= 0:
        yield Remark(
            "teacher_no_help",
            baseline.name,
            f"{baseline.name} is not shown to be better than {alone.strategy.name}, which has no teacher: where "
            "distillation does not help, ways to distil hardly differ.",
        )


def _few_validation(comparison: Comparison) -> Iterator[Remark]:
    """Validation, by which a strategy of several settings selects, is too small for the margin."""
    question = comparison.question
    several = any(each.strategy.arm.size > 1 for each in comparison.summaries)
    if question.protocol == "validation" and several and question.metric is TOP1:  # else the margin is of another unit
        said = selection_warning(question.validation, question.margin)
        if said is not None:
            yield Remark("few_validation", "data", f"{said}.")


def _grid_end(strategy: Strategy) -> Iterator[Remark]:
    """More than half of the seeds keep the smallest or the largest T of a grid, which then has no best T inside."""
    if not strategy.arm.fixed:
        return
    values = {each.label: getattr(each.config.temperature, "value", None) for each in strategy.arm.settings}
    known = {label: float(value) for label, value in values.items() if value is not None}
    kept = [known[each.selected] for each in strategy.replicates if each.selected in known]
    if len(set(known.values())) < _FEWEST_VALUES or not kept:
        return
    for end, word, more in ((min(known.values()), "smallest", "smaller"), (max(known.values()), "largest", "larger")):
        if kept.count(end) > len(kept) / 2:
            yield Remark(
                "grid_end",
                strategy.name,
                f"{strategy.name}: {kept.count(end)} of {_seeds(len(kept))} keep the {word} T of the grid, {end:g}: a "
                f"{more} one may be better.",
            )


def _bounds(histories: Sequence[History]) -> Iterator[Remark]:
    """A learned temperature ends within 1 % of an end of its range."""
    ended: Counter[tuple[str, str]] = Counter()
    trials = Counter(history.arm for history in histories)
    for history in histories:
        last = history.rows[-1].get("temperature") if history.rows else None
        if history.bounds is None or last is None:
            continue
        low, high = history.bounds
        near = _AT_BOUND * (high - low)
        bound = f"lower bound {low:g}" if last - low < near else f"upper bound {high:g}" if high - last < near else ""
        if bound:
            ended[history.arm, bound] += 1
    for (arm, bound), sitting in ended.items():
        of = f"{trials[arm]} trial{'' if trials[arm] == 1 else 's'}"
        yield Remark("temperature_bound", arm, f"{arm}: T sits at its {bound} at the end of {sitting} of {of}.")


def _seeds(number: int) -> str:
    return f"{number} seed{'' if number == 1 else 's'}"
