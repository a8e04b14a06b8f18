"""From a study to the trials that it needs, and their estimated time and cost.

Takes a ``StudySpec`` and the records that there are. Gives the trials that are due, an estimate of time and cost, and
the choice whether the teacher is banked; trains nothing.
"""

from ctkd_study.plan.due import Plan, due, make_plan
from ctkd_study.plan.estimate import Estimate, estimate
from ctkd_study.plan.needs import needs
from ctkd_study.plan.preflight import check_networks, faulty_arms, known_sizes, read_data
from ctkd_study.plan.readings import histories, results, rows_of_arms
from ctkd_study.plan.rule import decisions
from ctkd_study.plan.state import StudyState
from ctkd_study.plan.study_bill import study_bill
from ctkd_study.plan.teacher_costs import teacher_charges
from ctkd_study.plan.teacher_facts import teacher_bank_cost, teacher_facts
from ctkd_study.plan.timing import Range

__all__ = ["Estimate", "Plan", "Range", "StudyState", "check_networks", "decisions", "due", "estimate"]
__all__ += ["faulty_arms", "histories", "known_sizes", "make_plan", "needs", "read_data", "results"]
__all__ += ["rows_of_arms", "study_bill", "teacher_bank_cost", "teacher_charges", "teacher_facts"]
