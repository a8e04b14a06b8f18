"""Shows a study's records in MLflow: the only room that knows it.

Takes a ``Projection``: which records, of which study, to which tracking URI. ``Tracker`` sends what is new while a
study runs, ``sync`` makes MLflow hold exactly what the records do, and the rest serves MLflow and finds the study in
it. MLflow takes seconds to import, so it is imported where it is used.
"""

from ctkd_study.tracking.client import check_uri, default_uri
from ctkd_study.tracking.projection import Projection, TrackingOutcome, sync
from ctkd_study.tracking.server import comparison_url, server_command, server_environment
from ctkd_study.tracking.tracker import Tracker

__all__ = [
    "Projection",
    "Tracker",
    "TrackingOutcome",
    "check_uri",
    "comparison_url",
    "default_uri",
    "server_command",
    "server_environment",
    "sync",
]
