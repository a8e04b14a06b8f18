"""The loop that runs what is due of a study, and what it counts meanwhile.

Takes a ``StudyState`` and a runner. Gives an ``Outcome`` once nothing is due; ``LaunchProgress`` tells where a launch
stands. A runner pulls trials from a ``TrialQueue``: ``InlineRunner`` runs them in this process; the one for Ray is in
``cluster``.
"""

from ctkd_study.launch.inline import InlineRunner, tabulated
from ctkd_study.launch.loop import LaunchContext, Outcome, Runner, launch
from ctkd_study.launch.progress import LaunchProgress
from ctkd_study.launch.queue import PendingTrial, TrialQueue
from ctkd_study.launch.retries import RetryPolicy

__all__ = ["InlineRunner", "LaunchContext", "LaunchProgress", "Outcome", "PendingTrial", "RetryPolicy", "Runner"]
__all__ += ["TrialQueue", "launch", "tabulated"]
