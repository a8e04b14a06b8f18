"""A study's folder: what lies there, who runs it, and its trials' records as typed results.

Takes a storage and a study's name. Gives the stored study, its launches and looks, the lease that keeps a second driver
out, the refusal of changes, and ``TrialResult`` and ``History`` for those who analyse.
"""

from ctkd_study.records.changes import refuse_changes
from ctkd_study.records.folder import StudyFolder
from ctkd_study.records.launches import begin_launch, end_launch, wasted
from ctkd_study.records.lease import Lease
from ctkd_study.records.looks import record_look
from ctkd_study.records.results import History, TrialResult

__all__ = ["History", "Lease", "StudyFolder", "TrialResult", "begin_launch", "end_launch", "record_look"]
__all__ += ["refuse_changes", "wasted"]
