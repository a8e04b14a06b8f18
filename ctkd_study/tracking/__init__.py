"""Shows a study's records in MLflow; the only room that knows MLflow.

Takes a ``Projection``: which records of which study go to which tracking URI. Gives ``Tracker``, which sends new rows
while a study runs; ``sync``, which makes MLflow hold exactly what the records hold; and ``serve``, which opens MLflow
at the study's comparison.
"""

from ctkd_study.tracking.client import check_uri, default_uri, password_advice
from ctkd_study.tracking.projection import Projection, TrackingOutcome, sync
from ctkd_study.tracking.server import serve
from ctkd_study.tracking.tracker import Tracker

__all__ = [
    "Projection",
    "Tracker",
    "TrackingOutcome",
    "check_uri",
    "default_uri",
    "password_advice",
    "serve",
    "sync",
]
