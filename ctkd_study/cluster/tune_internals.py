"""Every private name of Ray 2.60 that this project uses; no other file uses one.

``tests/integration/test_tune_internals.py`` runs each function here in the installed Ray: look there after an upgrade.
"""

from collections.abc import Mapping
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.experiment.config_parser import _create_trial_from_spec, _make_parser


def new_trial(spec: Mapping[str, Any], trial_id: str, config: dict[str, Any]) -> Trial:
    """Return a trial of Tune's experiment with this id and configuration."""
    spec = {**spec, "config": config}
    trial: Trial = _create_trial_from_spec(spec, _make_parser(), trial_id=trial_id, evaluated_params=config)
    return trial


def own_actor_is_starting(wrapped_controller: Any, trial: Trial) -> bool:
    """Whether Ray has created an actor for a pending trial; ``wrapped_controller`` is what Tune gives its scheduler."""
    controller = wrapped_controller._tune_controller
    actor = controller._trial_to_actor.get(trial)
    # Ray counts an actor as started once it is created; the trial is pending until the actor answers.
    return actor is not None and bool(controller._actor_manager.is_actor_started(actor))
