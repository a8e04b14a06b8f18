"""Importances for data that are not balanced, such as the trials of a search: fANOVA, a description without a test.

For balanced designs, see ``anova``.
"""

from collections.abc import Sequence

from ctkd_study.analysis.factors import FinishedTrial
from ctkd_study.errors import StudyError

SEED = "seed"
EVALUATOR = "fANOVA (Hutter et al., ICML 2014; optuna.importance.FanovaImportanceEvaluator)"


def importances(found: Sequence[FinishedTrial]) -> dict[str, float]:
    """Return the share of the accuracy's variance that each option, and the seed, explains by itself, largest first.

    The remainder is interaction and noise, which the forest does not tell apart: on pure noise it gives most of the
    variance to interactions. The evaluator is ``EVALUATOR``: a seeded forest of 64 trees on the test accuracies.

    Raises:
        StudyError: there are fewer than two trials, or all of them have the same setting and seed.
    """
    import optuna

    columns = {SEED: [str(trial.seed) for trial in found]}
    columns |= {key: [trial.options[key] for trial in found] for key in (found[0].options if found else ())}
    columns = {key: values for key, values in columns.items() if len(set(values)) > 1}
    if not columns:
        raise StudyError(f"importances need trials that differ, but there are {len(found)} finished ones that do not")
    spaces = {key: optuna.distributions.CategoricalDistribution(sorted(set(column))) for key, column in columns.items()}
    if len({trial.test_top1 for trial in found}) == 1:
        return dict.fromkeys(columns, 0.0)  # there is no variance to explain
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # nobody needs to know that Optuna created a study
    study = optuna.create_study(direction="maximize")
    optuna.logging.set_verbosity(verbosity)
    for number, trial in enumerate(found):
        params = {key: column[number] for key, column in columns.items()}
        study.add_trial(optuna.trial.create_trial(params=params, distributions=dict(spaces), value=trial.test_top1))
    shares = optuna.importance.FanovaImportanceEvaluator(seed=0).evaluate(study)
    return {key: float(share) for key, share in sorted(shares.items(), key=lambda item: -item[1])}
