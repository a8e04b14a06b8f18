"""From a study to the trials that it needs, and what they will take.

Takes a ``StudySpec`` and the records that there are. Gives the trials that are due, an estimate of time and cost, and
the choice whether the teacher is banked; trains nothing.
"""

from ctkd_study.plan.due import due
from ctkd_study.plan.estimate import Estimate, Range, estimate
from ctkd_study.plan.plan import Plan, make_plan
from ctkd_study.plan.preflight import check_networks
from ctkd_study.plan.state import StudyState

__all__ = ["Estimate", "Plan", "Range", "StudyState", "check_networks", "due", "estimate", "make_plan"]
