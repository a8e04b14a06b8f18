"""Runs trials on Ray: the only room that knows Ray.

Takes a launch's queue and context. Gives the queue back what became of each trial that it pulled, and says what fits
where: how many trials run at once, and which share of a GPU each is given. Ray is imported when a session begins, after
the environment that keeps it quiet is set.
"""

from ctkd_study.cluster.placement import this_machine
from ctkd_study.cluster.runner import RayRunner
from ctkd_study.cluster.session import check_address

__all__ = ["RayRunner", "check_address", "this_machine"]
