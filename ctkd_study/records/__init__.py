"""A study's folder: what lies there, who runs it, and its trials' records as typed results.

Takes a storage and a study's name. Gives the stored study, scans of the trials' folders, launches and looks, the lease
that keeps a second driver out, and TrialResult and History for those who analyse.
"""

from ctkd_study.records.folder import STUDY, StudyFolder
from ctkd_study.records.lease import Lease
from ctkd_study.records.results import History, TrialResult

__all__ = ["STUDY", "History", "Lease", "StudyFolder", "TrialResult"]
