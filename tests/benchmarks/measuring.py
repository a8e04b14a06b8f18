"""How the benchmarks measure and report.

What is compared runs in turn in one process, round by round, so that a machine that slows down slows all of it; medians
are of the rounds' ratios. Work of this process alone is measured in CPU seconds, which other processes disturb little;
what waits for others is measured by the clock, and says so.
"""

import datetime
import gc
import json
import os
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from trainables.trial import machine

ROUNDS = 5


def cpu_rounds(works: Mapping[str, Callable[[], object]], rounds: int = ROUNDS) -> dict[str, list[float]]:
    """CPU seconds of each work in each round, after one that is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for number in range(rounds + 1):
        for name, work in works.items():
            gc.collect()
            began = time.process_time()
            work()
            if number:
                seconds[name].append(time.process_time() - began)
    return seconds


def ratios(above: list[float], below: list[float]) -> list[float]:
    """Round by round."""
    return [a / b for a, b in zip(above, below, strict=True)]


def report(benchmark: str, unit: str, values: Mapping[str, float | list[float]]) -> dict[str, float]:
    """Prints numbers, of several their median and range, and appends them to a JSON file, one object a line.

    The file is ``results/benchmarks.jsonl``, or what the environment variable ``CTKD_BENCHMARKS`` names.
    """
    found: dict[str, float] = {}
    print(f"\n{benchmark} ({unit})")
    for name, value in values.items():
        measured = value if isinstance(value, list) else [value]
        found[name] = statistics.median(measured)
        span = f"   {min(measured):.4g} to {max(measured):.4g} in {len(measured)} rounds" if len(measured) > 1 else ""
        print(f"  {name:<58} {found[name]:>10.4g}{span}")
    file = Path(os.environ.get("CTKD_BENCHMARKS", "results/benchmarks.jsonl"))
    file.parent.mkdir(parents=True, exist_ok=True)
    entry = {
        "benchmark": benchmark,
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "unit": unit,
        "values": dict(values),
        "machine": machine(torch.device("cpu")),
    }
    with file.open("a") as lines:
        lines.write(json.dumps(entry) + "\n")
    return found
