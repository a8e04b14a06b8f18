"""From results to an answer: what each strategy picked and paid, and how it compares with the baseline.

Takes the typed results of trials and a ``Question``. Gives a ``Comparison``: means with intervals, paired differences
and a verdict for each strategy; of several comparisons an ``Across``, their mean; and, for ablations, the effects of
options, and which are shown to matter.
"""

from ctkd_study.analysis.across import RESAMPLES, Across, Averaged, StrategyAcross, across
from ctkd_study.analysis.anova import SIGNIFICANT, Effect, Share, Shares, effects, shares
from ctkd_study.analysis.bill import Bill, Use, uses
from ctkd_study.analysis.cost_ratios import CostRatio, Ratio
from ctkd_study.analysis.design import PUBLISHED_SPREADS, VERDICTS, Prospect, Spread, StudyDesign, design
from ctkd_study.analysis.factors import Design, FinishedTrial, finished_trials
from ctkd_study.analysis.families import confirmed_arms, default_baseline
from ctkd_study.analysis.importance import EVALUATOR, SEED, importances
from ctkd_study.analysis.inference import ERROR, FEWEST_SEEDS, MOST_MORE_SEEDS, Interval, Verdict
from ctkd_study.analysis.metrics import METRICS, TOP1, Metric
from ctkd_study.analysis.pairs import PairedDifference, paired_difference
from ctkd_study.analysis.remarks import remarks
from ctkd_study.analysis.replays import Replay, ReplayDifference, replays, stops_early
from ctkd_study.analysis.sequential import Decision, Decisions, Look, Rule, follow
from ctkd_study.analysis.strategies import Charges, Cost, Strategy, evaluate
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

__all__ = ["EVALUATOR", "FEWEST_SEEDS", "METRICS", "MOST_MORE_SEEDS", "PUBLISHED_SPREADS", "RESAMPLES", "SEED"]
__all__ += ["SIGNIFICANT", "TOP1", "VERDICTS", "Across", "Averaged", "Comparison", "Cost", "Decision"]
__all__ += ["Decisions", "Design", "Effect", "FinishedTrial", "Interval", "Look", "Mean", "Metric"]
__all__ += ["PairedDifference", "Prospect", "Question", "Remark", "Replay", "ReplayDifference", "Rule", "Share"]
__all__ += ["Shares", "Spread", "Strategy", "StrategyAcross", "StrategySummary", "StudyDesign", "TeacherFacts"]
__all__ += ["Verdict", "across", "compare", "components", "confirmed_arms", "default_baseline", "design"]
__all__ += ["effects", "evaluate", "finished_trials", "follow", "importances", "paired_difference", "remarks"]
__all__ += ["ERROR", "Bill", "Charges", "CostRatio", "Ratio", "Use", "replays", "shares", "stops_early", "uses"]
