"""Every private name of Ray 2.60 that this project uses; no other file uses one.

``tests/integration/test_tune_internals.py`` runs each function here in the installed Ray: look there after an upgrade.
"""

import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ray
from ray.tune import PlacementGroupFactory
from ray.tune.experiment import Trial
from ray.tune.experiment.config_parser import _create_trial_from_spec, _make_parser


def new_trial(spec: Mapping[str, Any], trial_id: str, config: dict[str, Any], avoided: Sequence[str] = ()) -> Trial:
    """Return a trial of Tune's experiment with this id and configuration, that runs on none of the avoided nodes."""
    spec = {**spec, "config": config}
    trial: Trial = _create_trial_from_spec(spec, _make_parser(), trial_id=trial_id, evaluated_params=config)
    if avoided:
        trial.create_placement_group_factory()  # type: ignore[no-untyped-call]
        asked: Any = trial.placement_group_factory
        elsewhere = {"ray.io/node-id": f"!in({','.join(avoided)})"}
        selectors = [elsewhere] * len(asked.bundles)
        trial._default_placement_group_factory = PlacementGroupFactory(asked.bundles, bundle_label_selector=selectors)
        # Tune asks the trainable as soon as it gets the trial, unless told to take what is set.
        trial._setup_default_resource = False
    return trial


def keep_notes_in(folder: Path) -> None:
    """Have Tune keep its notes on trials in a folder, rather than for ever in the session of Ray that was just started.

    They take about 30 kB a trial, and nobody reads them.
    """
    folder.mkdir()
    node: Any = ray._private.worker._global_node
    Path(node.get_session_dir_path(), "artifacts").symlink_to(folder)


def kill_worker(wrapped_controller: Any, trial: Trial) -> None:
    """Kill the worker of a running trial, whatever it does; Tune then reports the trial as failed."""
    result = trial.last_result or {}
    if {"pid", "node_ip"} <= result.keys():
        # Ray asks a process to end itself, which one that is stopped, or holds Python's lock, does not do.
        on_its_node = {f"node:{result['node_ip']}": 0.001}
        ray.remote(num_cpus=0, resources=on_its_node)(_kill).remote(result["pid"])
    if (actor := _actor(wrapped_controller, trial)) is not None:
        ray.kill(actor)


def stop_trial(wrapped_controller: Any, trial: Trial, trial_id: str, reason: str) -> None:
    """Tell a trial's worker to end it before its next step; a worker takes calls in the order in which they are made.

    Args:
        wrapped_controller: what Tune gives its scheduler.
        trial: Tune's.
        trial_id: the study's.
        reason: for the record.
    """
    if (actor := _actor(wrapped_controller, trial)) is not None:
        actor.stop_trial.remote(trial_id, reason)


def _actor(wrapped_controller: Any, trial: Trial) -> Any:
    """Return Ray's handle of a trial's actor; None where it has none."""
    controller = wrapped_controller._tune_controller
    live = controller._actor_manager._live_actors_to_ray_actors_resources
    return live.get(controller._trial_to_actor.get(trial), (None,))[0]


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def own_actor_is_starting(wrapped_controller: Any, trial: Trial) -> bool:
    """Whether Ray has created an actor for a pending trial; ``wrapped_controller`` is what Tune gives its scheduler."""
    controller = wrapped_controller._tune_controller
    actor = controller._trial_to_actor.get(trial)
    # Ray counts an actor as started once it is created; the trial is pending until the actor answers.
    return actor is not None and bool(controller._actor_manager.is_actor_started(actor))
