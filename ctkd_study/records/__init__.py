"""A study's folder: what lies there, who runs it, and its trials' records as typed results.

Takes a storage and a study's name. Gives the stored study, its launches (one driver at a time), how it was run, its
looks, the refusal of changes, and ``TrialResult`` and ``History`` for those who analyse.
"""

from ctkd_study.records.changes import differences, inputs_of, refuse_changes
from ctkd_study.records.folder import StudyFolder
from ctkd_study.records.launches import Launch, Losses, held, wasted
from ctkd_study.records.looks import Asked, record_look
from ctkd_study.records.provenance import Provenance, provenance
from ctkd_study.records.results import History, TrialResult

__all__ = ["Asked", "History", "Launch", "Losses", "Provenance", "StudyFolder", "TrialResult", "differences"]
__all__ += ["held", "inputs_of", "provenance", "record_look", "refuse_changes", "wasted"]
