"""The loop that runs what is left of a study, and what it counts meanwhile.

Takes a plan, a storage and a runner. Gives an ``Outcome`` once nothing is left to run; ``Progress`` tells where a
launch stands. ``InlineRunner`` runs trials in this process; the one for Ray is in ``cluster``.
"""

from ctkd_study.launch.inline import InlineRunner, tabulated
from ctkd_study.launch.launch import Context, Outcome, Runner, Todo, launch
from ctkd_study.launch.progress import Progress

__all__ = ["Context", "InlineRunner", "Outcome", "Progress", "Runner", "Todo", "launch", "tabulated"]
