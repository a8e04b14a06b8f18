"""The long form: simulate every case, write the counts to docs/statistics/, and the page's table and figures from them.

``python -m tests.calibration.publish [STUDIES]``; without simulating, ``--page`` writes table and figures anew.
"""

import argparse
import concurrent.futures
import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

from ctkd_study.report.files import save
from tests.calibration import page
from tests.calibration.cases import CURVES, SECTIONS, faults
from tests.calibration.page import Found
from tests.calibration.simulation import Tally, tally

DOCS = Path(__file__).parents[2] / "docs"
COUNTS = DOCS / "statistics" / "calibration.json"
STUDIES = 10_000
PER_POINT = 5
"""A point of a curve has a fifth of a case's studies."""


def simulate(studies: int) -> Found:
    """Simulate all cases, two at once."""
    cases = [(section, title, case) for section, its in ({**SECTIONS, **CURVES}).items() for title, case in its.items()]
    numbers = [studies // (PER_POINT if section in CURVES else 1) for section, _, _ in cases]
    found: dict[str, dict[str, Tally]] = {section: {} for section, _, _ in cases}
    with concurrent.futures.ProcessPoolExecutor(2) as pool:
        kinds = zip(*((case.truth, case.design) for _, _, case in cases), strict=True)
        tallies = pool.map(tally, *kinds, numbers)
        for (section, title, case), each in zip(cases, tallies, strict=True):
            found[section][title] = each
            print(
                f"{section}: {title}: {dict(each.counts)} of {each.studies}, {'; '.join(faults(case, each))}",
                flush=True,
            )
    return found


def write(found: Found, file: Path = COUNTS) -> None:
    """Write the counts."""
    plain = {section: {title: _plain(each) for title, each in its.items()} for section, its in found.items()}
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(plain, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _plain(each: Tally) -> dict[str, Any]:
    return {**dataclasses.asdict(each), "counts": dict(sorted(each.counts.items())), "seeds": round(each.seeds, 3)}


def read(file: Path = COUNTS) -> Found:
    """Read the counts."""
    plain = json.loads(file.read_text(encoding="utf-8"))
    return {section: {title: Tally(**each) for title, each in its.items()} for section, its in plain.items()}


def publish(found: Found) -> None:
    """Write the figures, and the table into its page."""
    save(page.errors(found), COUNTS.parent / "errors.svg")
    save(page.verdicts(found), COUNTS.parent / "verdicts.svg")
    file = DOCS / "statistics.md"
    before, rest = file.read_text(encoding="utf-8").split(page.START)
    after = rest.split(page.END)[1]
    file.write_text(f"{before}{page.START}\n\n{page.table(found)}\n\n{page.END}{after}", encoding="utf-8")


def broken(found: Found) -> list[str]:
    """Say of every case which promises its counts contradict."""
    cases = ((section, title, case) for section, its in SECTIONS.items() for title, case in its.items())
    return [
        f"{section}: {title}: {fault}"
        for section, title, case in cases
        for fault in faults(case, found[section][title])
    ]


def main() -> None:
    """Simulate, write, and exit with status 1 if a promise is broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("studies", nargs="?", type=int, default=STUDIES, help="of each case (default: %(default)s)")
    parser.add_argument("--page", action="store_true", help="write table and figures from the counts that there are")
    asked = parser.parse_args()
    if not asked.page:
        write(simulate(asked.studies))
    found = read()
    publish(found)
    sys.exit("\n".join(broken(found)) or None)


if __name__ == "__main__":
    main()
