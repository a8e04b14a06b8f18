"""The Trainable in a plain Tuner."""

from pathlib import Path
from typing import Any

from ray import tune

from trainables.config import TrialConfig
from trainables.trainable import CTKDTrainable


def tuned(config: dict[str, Any], folder: Path, cpus: float = 2.0) -> list[tune.Result]:
    """Runs a configuration in a plain Tuner; two cores a trial make trials follow each other in one reused actor."""
    tuner = tune.Tuner(
        tune.with_resources(CTKDTrainable, {"cpu": cpus}),
        param_space=config,
        tune_config=tune.TuneConfig(reuse_actors=True),
        run_config=tune.RunConfig(
            name="plain",
            storage_path=str(folder),
            verbose=0,
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=True),
        ),
    )
    results = tuner.fit()
    assert not results.errors
    return [results[index] for index in range(len(results))]


def space(config: TrialConfig) -> dict[str, Any]:
    plain = config.plain()
    plain["run"] = {key: value for key, value in plain["run"].items() if key in ("teachers", "checkpoint")}
    return plain
