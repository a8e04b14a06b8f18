"""What a study's records say, as the analysis takes it: results, and trials epoch by epoch."""

from collections.abc import Collection, Mapping, Sequence

from ctkd_study.plan.state import StudyState
from ctkd_study.records import History, TrialResult, wasted
from trainables.record import Damaged, Row
from trainables.temperatures.learned import LearnedOptions


def results(state: StudyState) -> list[TrialResult]:
    """Return the results of the trials that have a record."""
    lost = wasted(state.folder)
    return [TrialResult.from_manifest(m, lost.get(key, 0.0)) for key, m in state.manifests.items()]


def histories(state: StudyState) -> list[History]:
    """Return the epochs of the trials with a learned temperature, as far as there are records."""
    found = []
    for trial in state.plan.trials:
        temperature = trial.config.temperature
        if temperature is not None and temperature.learned and (rows := _rows(state, trial.id)) is not None:
            bounds = temperature.bounds if isinstance(temperature, LearnedOptions) else None
            found.append(History(trial.arm, trial.setting.label, trial.seed, tuple(rows), bounds))
    return found


def rows_of_arms(state: StudyState, arms: Collection[str]) -> Mapping[str, Sequence[Row]]:
    """Return the epochs of some arms' trials, by trial id, as far as there are records."""
    found = ((trial.id, _rows(state, trial.id)) for trial in state.plan.trials if trial.arm in arms)
    return {trial_id: rows for trial_id, rows in found if rows is not None}


def _rows(state: StudyState, trial_id: str) -> list[Row] | None:
    """The epochs of a trial's newest whole checkpoint; None if it has none."""
    newest = state.scan_of(trial_id).newest
    try:
        return newest.rows() if newest is not None else None
    except (Damaged, FileNotFoundError):  # sizes alone were compared; or it was removed meanwhile
        state.read_trial(trial_id, check_hashes=True)
        newest = state.scan_of(trial_id).newest
        return newest.rows() if newest is not None else None
