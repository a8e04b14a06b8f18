"""Which part of the curriculum matters: where λ ends, how many epochs it takes, or the shape of the path?

    python studies/ablations/curriculum.py

This trains every combination of the three. It compares the best of them with the paper's schedule, with λ = 1 from the
first epoch (no curriculum), and with λ = 0 (only weight decay moves T). To vary one part, give one value of the others:

    python studies/ablations/curriculum.py --ends 0.1 0.3 1 3 10 --lengths 10 --shapes cosine
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from ctkd_study import Study, ablation, grid

BASE = Path(__file__).parents[1] / "digits" / "quickstart.yaml"
LEARNED = {"kind": "global"}


def options(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the script's options, by default from the command line."""
    parser = ablation.parser(__doc__, BASE)
    parser.add_argument("--ends", type=float, nargs="+", default=[0.1, 1.0, 10.0], help="values of λ at the end")
    parser.add_argument("--lengths", type=int, nargs="+", default=[5, 10, 20], help="epochs until λ reaches its end")
    parser.add_argument("--shapes", nargs="+", default=["cosine", "linear", "exponential"], help="kinds of schedule")
    return parser.parse_args(argv)


def study(options: argparse.Namespace) -> Study:
    """Build the ablation as a study."""
    schedules = {
        "kind": grid(*options.shapes),
        "start": 0.0,
        "end": grid(*options.ends),
        "epochs": grid(*options.lengths),
    }
    paper = {"kind": "cosine", "start": 0.0, "end": 1.0, "epochs": 10}
    return ablation.study(
        options,
        name="ablation_curriculum",
        question="Which part of the schedule of λ matters?",
        baseline="paper",
        arms={
            "paper": {"temperature": LEARNED, "curriculum": paper},
            "schedules": {"temperature": LEARNED, "curriculum": schedules},
            "at_once": {"temperature": LEARNED, "curriculum": {"kind": "constant", "value": 1.0}},
            "never": {"temperature": LEARNED, "curriculum": {"kind": "constant", "value": 0.0}},
        },
    )


if __name__ == "__main__":
    ablation.main(study, options(), measured=["schedules"])
