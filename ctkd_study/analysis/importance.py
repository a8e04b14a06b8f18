"""Which part of a setting mattered: the importance of each option that varies, and the effect of each of its values.

Both describe the trials of a grid; neither is a test, and neither selects a setting.
"""

import dataclasses
import statistics
from collections.abc import Mapping, Sequence

from ctkd_study.analysis import inference
from ctkd_study.errors import StudyError, dotted
from ctkd_study.spec import PlannedTrial, leaves, text
from trainables.hashing import canonical
from trainables.record import Manifest

SEED = "seed"
EVALUATOR = "fANOVA (Hutter et al., ICML 2014; optuna.importance.FanovaImportanceEvaluator)"


@dataclasses.dataclass(frozen=True)
class FinishedTrial:
    """A finished trial, as the sum of its options."""

    seed: int
    options: Mapping[str, str]
    """The options in which the trials differ: value by dotted key, as people write it."""
    top1: float
    """Test accuracy at the epoch that validation selects, percent."""


@dataclasses.dataclass(frozen=True)
class Effect:
    """What one value of an option does to the accuracy."""

    option: str
    value: str
    difference: float
    """Accuracy of the trials with this value minus that of all trials, percent points: the mean over seeds."""
    low: float | None
    high: float | None
    """95 % t interval over seeds; None below three."""
    settings: int
    """How many settings have this value."""


def finished_trials(trials: Sequence[PlannedTrial], manifests: Mapping[str, Manifest]) -> list[FinishedTrial]:
    """Return the finished ones among some trials, with the options in which the trials differ.

    An option that only some of the trials have, such as one of a single kind of schedule, is left out.

    Args:
        trials: of the arms to look at.
        manifests: the records, by trial id.
    """
    options_of = {  # by trial id
        trial.id: {dotted(path): text(value) for path, value in leaves(trial.setting.config.plain())}
        for trial in trials
    }
    every = list(options_of.values())
    shared = [key for key in (every[0] if every else ()) if all(key in options for options in every)]
    varied = [key for key in shared if len({options[key] for options in every}) > 1]
    found = []
    for trial in trials:
        manifest = manifests.get(trial.id)
        if manifest is not None and manifest.status == "finished" and manifest.summary.test_top1 is not None:
            options = {key: options_of[trial.id][key] for key in varied}
            found.append(FinishedTrial(trial.seed, options, manifest.summary.test_top1))
    return found


def importances(found: Sequence[FinishedTrial]) -> dict[str, float]:
    """Return the share of the accuracy's variance that each option, and the seed, explains by itself, largest first.

    The remainder is interaction. The evaluator is ``EVALUATOR``: a seeded forest of 64 trees on the test accuracies.

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
    if len({trial.top1 for trial in found}) == 1:
        return dict.fromkeys(columns, 0.0)  # there is no variance to explain
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # nobody needs to know that Optuna created a study
    study = optuna.create_study(direction="maximize")
    optuna.logging.set_verbosity(verbosity)
    for number, trial in enumerate(found):
        params = {key: column[number] for key, column in columns.items()}
        study.add_trial(optuna.trial.create_trial(params=params, distributions=dict(spaces), value=trial.top1))
    shares = optuna.importance.FanovaImportanceEvaluator(seed=0).evaluate(study)
    return {key: float(share) for key, share in sorted(shares.items(), key=lambda item: -item[1])}


def effects(found: Sequence[FinishedTrial]) -> list[Effect]:
    """Return what each value of each option does, averaged over the other options, in the order of the trials.

    Averages are compared within each seed, so a seed that is good for all settings cancels. Effects are comparable only
    where the options are crossed: each value of one combined with the same values of the others.
    """
    seeds = dict.fromkeys(trial.seed for trial in found)
    by_seed = [[trial for trial in found if trial.seed == seed] for seed in seeds]
    result = []
    for option in found[0].options if found else ():
        for value in dict.fromkeys(trial.options[option] for trial in found):
            differences = []
            for of_seed in by_seed:
                having = [trial.top1 for trial in of_seed if trial.options[option] == value]
                if having:
                    differences.append(statistics.fmean(having) - statistics.fmean(trial.top1 for trial in of_seed))
            _, low, high = inference.mean_interval(differences) or (None, None, None)
            settings = {canonical(dict(trial.options)) for trial in found if trial.options[option] == value}
            result.append(Effect(option, value, statistics.fmean(differences), low, high, len(settings)))
    return result
