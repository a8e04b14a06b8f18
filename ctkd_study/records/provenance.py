"""How a study was run: its launches, and the code and machines behind the records."""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from ctkd_study.records.folder import StudyFolder
from ctkd_study.records.launches import LAUNCHES
from trainables import lease
from trainables.record import Manifest

_VERSIONED = ("python", "torch", "numpy", "ray")


@dataclasses.dataclass(frozen=True)
class Provenance:
    """How a study was run, as far as its records tell."""

    launches: int = 0
    first_ms: int | None = None
    """When the first launch began, in milliseconds since 1970."""
    last_ms: int | None = None
    """When the last launch began."""
    commits: tuple[str, ...] = ()
    """Git commits of the folders that launches began in, each once, the first launch's first."""
    versions: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    """Of the packages that the results depend on; several where they changed."""
    machines: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """Kinds of machine, by the number of trials that ended on them."""
    hosts: int = 0


def provenance(folder: StudyFolder, manifests: Iterable[Manifest]) -> Provenance:
    """Read how a study was run.

    Args:
        folder: the study's.
        manifests: of its trials.
    """
    place = folder.root.within(LAUNCHES)
    begun = [lease.read(place, term) for term in lease.terms(place)]
    machines = [manifest.machine for manifest in manifests if manifest.machine]
    times = [each["time_ms"] for each in begun if isinstance(each.get("time_ms"), int)]
    versions = {"ctkd-study": _each(begun, "ctkd_study")}
    versions |= {name: _each(machines, name) for name in _VERSIONED}
    return Provenance(
        launches=len(begun),
        first_ms=min(times, default=None),
        last_ms=max(times, default=None),
        commits=_each(begun, "commit"),
        versions={name: found for name, found in versions.items() if found},
        machines=dict(Counter(map(_kind, machines)).most_common()),
        hosts=len(_each(machines, "host")),
    )


def _each(stored: Iterable[Mapping[str, Any]], key: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(str(each[key]) for each in stored if each.get(key)))


def _kind(machine: Mapping[str, Any]) -> str:
    threads = machine.get("threads")
    counted = f"{threads} thread{'' if threads == 1 else 's'}" if threads else ""
    device = machine.get("device")
    parts = (machine.get("model") or machine.get("processor"), "" if device == "cpu" else device, counted)
    return ", ".join(str(part) for part in parts if part)
