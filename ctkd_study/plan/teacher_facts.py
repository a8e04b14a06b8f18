"""What the records say about a study's teachers and their banks."""

import statistics
from pathlib import Path

from ctkd_study.analysis import Cost, TeacherFacts
from ctkd_study.plan.state import StudyState
from trainables import teacher
from trainables.bank import BankCost, bank_cost


def teacher_facts(state: StudyState) -> TeacherFacts | None:
    """Return what reports say about a study's teachers; None where no trial has one."""
    config = next(iter(state.teacher_configs.values()), None)
    if config is None or config.teacher is None:
        return None
    name = getattr(config.teacher, "model", "teacher")
    if config.teacher.checkpoint is not None:
        return TeacherFacts(f"{name} from {Path(config.teacher.checkpoint).name}", may_have_seen_validation=True)
    number = len(state.teacher_configs)
    if number > 1:
        name = f"{name} trained {number} times"
    summaries = [trained.manifest.summary for trained in state.teacher_records().values()]
    if not summaries:
        return TeacherFacts(name, number=number)
    bank = teacher_bank_cost(state)
    training = sum((Cost(summary.device_seconds, summary.tflop) for summary in summaries), Cost())
    accuracies = [summary.test_top1 for summary in summaries if summary.test_top1 is not None]
    return TeacherFacts(
        name,
        statistics.fmean(accuracies) if accuracies else None,
        training + Cost(bank.device_seconds, bank.tflop),
        number=number,
        worst_top1=min(accuracies, default=None),
    )


def teacher_bank_cost(state: StudyState) -> BankCost:
    """Return what the banks of a study's teachers cost."""
    trained = state.teacher_records()
    read = {group: state.inputs(group).teacher for group in state.teacher_configs}
    known = {read[group] or (teacher.weights_of(trained[group]) if group in trained else None) for group in read}
    return sum((bank_cost(weights, state.storage) for weights in known if weights is not None), BankCost())
