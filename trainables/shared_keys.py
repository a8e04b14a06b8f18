"""When trials are alike: one key for all that is made once and shared by the trials that have something in common."""

from trainables.config import TrialConfig
from trainables.hashing import digest
from trainables.options import Options


def alike(config: TrialConfig, *parts: str, **others: object) -> str:
    """Return a key that two trials share if they have the same parts.

    Args:
        config: the trial.
        parts: dotted names of fields, e.g. ``recipe.batch_size``. A part of something that is None is None.
        others: what else the trials must have in common, by name: options or plain values.
    """
    named = {part: _found(config, part) for part in parts} | others
    return digest({name: value.plain() if isinstance(value, Options) else value for name, value in named.items()})


def _found(config: TrialConfig, part: str) -> object:
    value: object = config
    for name in part.split("."):
        value = None if value is None else getattr(value, name)
    return value
