"""How a study was run, in a report: what was asked, and the code and machines behind the answer."""

import datetime
from collections.abc import Iterator

from ctkd_study.analysis import Comparison
from ctkd_study.records import Provenance
from ctkd_study.report.formatting import count


def rows(comparison: Comparison, provenance: Provenance) -> Iterator[tuple[str, str]]:
    """Yield what was run, when, where and with which code, as pairs of a name and a value."""
    question = comparison.question
    yield "data", question.data
    if question.teacher is not None:
        yield "teacher", question.teacher.description
    yield "protocol", question.protocol
    yield "seeds", _seeds(question.seeds)
    yield "trials", str(sum(summary.strategy.trials for summary in comparison.summaries))
    yield "launches", _launches(provenance)
    yield "machines", _machines(provenance)
    yield "versions", _versions(provenance)
    yield "commit", ", ".join(provenance.commits) or "not in a git repository"


def _seeds(seeds: tuple[int, ...]) -> str:
    first, last = seeds[0], seeds[-1]
    whole = len(seeds) > 2 and seeds == tuple(range(first, last + 1))
    return f"{first} to {last}" if whole else ", ".join(map(str, seeds))


def _launches(provenance: Provenance) -> str:
    times = [each for each in (provenance.first_ms, provenance.last_ms) if each is not None]
    moments = dict.fromkeys(f"{datetime.datetime.fromtimestamp(each / 1000, datetime.UTC):%Y-%m-%d}" for each in times)
    return f"{provenance.launches} ({' to '.join(moments)})" if moments else str(provenance.launches)


def _machines(provenance: Provenance) -> str:
    kinds = "; ".join(f"{kind} ({count(trials, 'trial')})" for kind, trials in provenance.machines.items())
    return f"{count(provenance.hosts, 'host')}: {kinds}" if kinds else "not known"


def _versions(provenance: Provenance) -> str:
    return ", ".join(f"{name} {' and '.join(found)}" for name, found in provenance.versions.items()) or "not known"
