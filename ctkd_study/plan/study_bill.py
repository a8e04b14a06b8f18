"""The bill of a whole study, from its records."""

from collections.abc import Sequence

from ctkd_study.analysis import Bill
from ctkd_study.plan.state import StudyState
from ctkd_study.plan.teacher_facts import teacher_bank_cost
from ctkd_study.records import TrialResult, held


def study_bill(state: StudyState, trials: Sequence[TrialResult]) -> Bill:
    """Return what a study has taken so far, with its teachers and banks, even where other studies share them.

    Args:
        state: the study with its records.
        trials: the results of all trials that have a record.
    """
    teachers = (TrialResult.from_manifest(each.manifest) for each in state.teacher_records().values())
    return Bill(
        students=sum(each.device_seconds for each in trials),
        teachers=sum(each.all_device_seconds for each in teachers),
        banks=teacher_bank_cost(state).device_seconds,
        teacher_in_trials=sum(each.teacher_device_seconds for each in trials),
        evaluation=sum(each.eval_device_seconds for each in trials),
        wasted=sum(each.wasted_device_seconds for each in trials),
        held=held(state.folder),
    )
