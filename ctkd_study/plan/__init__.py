"""From a study to the trials that it needs, and what they will take.

Takes a ``StudySpec`` and the records that there are. Gives the trials in order, an estimate of time and cost, and the
choice whether the teacher is banked; trains nothing.
"""

from ctkd_study.plan.bank_choice import settled
from ctkd_study.plan.estimate import Estimate, Range, estimate
from ctkd_study.plan.plan import Plan, make_plan
from ctkd_study.plan.preflight import check_networks
from ctkd_study.spec import PlannedTrial

__all__ = ["Estimate", "Plan", "PlannedTrial", "Range", "check_networks", "estimate", "make_plan", "settled"]
