"""From results to an answer: what each strategy picked and paid, and how it compares with the baseline.

Takes the typed results of trials and a ``Question``. Gives a ``Comparison``: means with intervals, paired differences
and a verdict for each strategy; of several comparisons an ``Across``, their mean; and, for ablations, the effects of
options, and which are shown to matter.
"""

from ctkd_study.analysis.across import RESAMPLES, Across, Averaged, StrategyAcross, across
from ctkd_study.analysis.anova import SIGNIFICANT, Effect, Share, Shares, effects, shares
from ctkd_study.analysis.design import PUBLISHED_SPREADS, VERDICTS, Prospect, Spread, StudyDesign, design
from ctkd_study.analysis.factors import Design, FinishedTrial, finished_trials
from ctkd_study.analysis.families import confirmed_arms, default_baseline
from ctkd_study.analysis.importance import EVALUATOR, SEED, importances
from ctkd_study.analysis.inference import FEWEST_SEEDS, MOST_MORE_SEEDS, Interval, Verdict
from ctkd_study.analysis.pairs import PairedDifference, paired_difference
from ctkd_study.analysis.remarks import remarks
from ctkd_study.analysis.replays import Replay, ReplayDifference, replays
from ctkd_study.analysis.sequential import Decision, Decisions, Look, Rule, follow
from ctkd_study.analysis.strategies import Cost, Strategy, evaluate
from ctkd_study.analysis.variation import components
from ctkd_study.analysis.verdict import (
    Comparison,
    Mean,
    Question,
    Remark,
    StrategySummary,
    TeacherFacts,
    compare,
)

__all__ = ["EVALUATOR", "FEWEST_SEEDS", "MOST_MORE_SEEDS", "PUBLISHED_SPREADS", "RESAMPLES", "SEED", "SIGNIFICANT"]
__all__ += ["VERDICTS", "Across", "Averaged", "Comparison", "Cost", "Decision", "Decisions", "Design", "Effect"]
__all__ += ["FinishedTrial", "Interval", "Look", "Mean", "PairedDifference", "Prospect", "Question", "Remark"]
__all__ += ["Replay", "ReplayDifference", "Rule", "Share", "Shares", "Spread", "Strategy", "StrategyAcross"]
__all__ += ["StrategySummary", "StudyDesign", "TeacherFacts", "Verdict", "across", "compare", "components"]
__all__ += ["confirmed_arms", "default_baseline", "design", "effects", "evaluate", "finished_trials", "follow"]
__all__ += ["importances", "paired_difference", "remarks", "replays", "shares"]
