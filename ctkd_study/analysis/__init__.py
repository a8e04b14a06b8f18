"""From results to an answer: what each strategy picked and paid, and how it compares with the baseline.

Takes the typed results of trials and a ``Question``. Gives a ``Comparison``: means with intervals, paired differences
and a verdict for each strategy; and, for ablations, the effects and importances of options.
"""

from ctkd_study.analysis.importance import EVALUATOR, SEED, Effect, effects, importances, points
from ctkd_study.analysis.inference import FEWEST_SEEDS
from ctkd_study.analysis.strategies import ArmPlan, Cost, Strategy, evaluate
from ctkd_study.analysis.verdict import Comparison, Mean, Pair, Question, Summary, TeacherFacts, compare

__all__ = [
    "EVALUATOR",
    "FEWEST_SEEDS",
    "SEED",
    "ArmPlan",
    "Comparison",
    "Cost",
    "Effect",
    "Mean",
    "Pair",
    "Question",
    "Strategy",
    "Summary",
    "TeacherFacts",
    "compare",
    "effects",
    "evaluate",
    "importances",
    "points",
]
