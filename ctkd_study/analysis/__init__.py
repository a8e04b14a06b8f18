"""From results to an answer: what each strategy picked and paid, and how it compares with the baseline.

Takes the typed results of trials and a ``Question``. Gives a ``Comparison``: means with intervals, paired differences
and a verdict for each strategy; and, for ablations, the effects and importances of options.
"""

from ctkd_study.analysis.importance import EVALUATOR, SEED, Effect, effects, finished_trials, importances
from ctkd_study.analysis.inference import FEWEST_SEEDS, MOST_MORE_SEEDS
from ctkd_study.analysis.sequential import Decision, Decisions, Look, Rule, follow
from ctkd_study.analysis.strategies import Cost, Strategy, evaluate
from ctkd_study.analysis.verdict import (
    Comparison,
    Mean,
    PairedDifference,
    Question,
    StrategySummary,
    TeacherFacts,
    compare,
    default_baseline,
)

__all__ = ["EVALUATOR", "FEWEST_SEEDS", "MOST_MORE_SEEDS", "SEED", "Comparison", "Cost", "Decision"]
__all__ += ["Decisions", "Effect", "Look", "Mean", "PairedDifference", "Question", "Rule", "Strategy"]
__all__ += ["StrategySummary", "TeacherFacts", "compare", "default_baseline", "effects", "evaluate"]
__all__ += ["finished_trials", "follow", "importances"]
