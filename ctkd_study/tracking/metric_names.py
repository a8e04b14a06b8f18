"""The names of a row's values in MLflow, e.g. ``val/top1``."""

import re

#: Metrics that ``metric_name`` does not derive from a row's name. MLflow groups charts by the part before the slash.
METRICS = {
    "ce_loss": "train/ce_loss",
    "kd_loss": "train/kd_loss",
    "other_loss": "train/other_loss",
    "lr": "train/lr",
    "temperature": "temperature/mean",
    "lambda": "curriculum/lambda",
    "tflop": "cost/tflop",
}

#: The sections that we write to; metrics in other sections were logged by users and are left alone.
SECTIONS = ("train", "val", "test", "temperature", "curriculum", "cost", "speed", "other", "selected", "total")

#: MLflow cuts off longer names.
LONGEST_NAME = 200

_PREFIXED = re.compile(r"(train|val|test|temperature)_(.+)")
_SUFFIXED = (("_per_second", "speed"), ("_seconds", "cost"), ("_tflop", "cost"))


def metric_name(name: str) -> str:
    """Return the MLflow metric for a name of a row, unique among legal names.

    A name that is not in ``METRICS`` gets its section from its beginning or end, else ``other``. MLflow rejects a
    whole batch for one illegal key, so characters outside of ``[A-Za-z0-9_-]`` become ``_``.
    """
    if name in METRICS:
        return METRICS[name]
    legal = re.sub(r"[^A-Za-z0-9_-]", "_", name)[:LONGEST_NAME] or "_"
    if match := _PREFIXED.fullmatch(legal):
        candidate = f"{match[1]}/{match[2]}"
    else:
        candidate = next((f"{section}/{legal}" for end, section in _SUFFIXED if legal.endswith(end)), f"other/{legal}")
    return f"other/{legal}" if legal != name or candidate in METRICS.values() else candidate


def is_ours(key: str) -> bool:
    """Whether a metric of a run comes from the record, rather than from a user who logged it there."""
    return key.startswith(tuple(f"{section}/" for section in SECTIONS))
