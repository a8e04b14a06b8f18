"""Do the bounds of a learned T matter?

T lies between τ_init and τ_init + τ_range. The paper uses 1 and 20.

    python studies/ablations/temperature_range.py

This trains every combination of the two and compares the best of them with the paper's.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from ctkd_study import Study, ablation, grid

BASE = Path(__file__).parents[1] / "digits" / "quickstart.yaml"
PAPER = {"kind": "cosine", "start": 0.0, "end": 1.0, "epochs": 10}


def options(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the script's options, by default from the command line."""
    parser = ablation.parser(__doc__, BASE)
    parser.add_argument("--inits", type=float, nargs="+", default=[0.5, 1.0, 2.0, 4.0], help="τ_init, the lower bound")
    parser.add_argument("--ranges", type=float, nargs="+", default=[5.0, 10.0, 20.0, 40.0], help="τ_range, the span")
    return parser.parse_args(argv)


def study(options: argparse.Namespace) -> Study:
    """Build the ablation as a study."""
    bounds = {"tau_init": grid(*options.inits), "tau_range": grid(*options.ranges)}
    return ablation.study(
        options,
        name="ablation_temperature_range",
        question="Do the bounds of a learned temperature matter?",
        baseline="paper",
        arms={
            "paper": {"temperature": {"kind": "global"}, "curriculum": PAPER},
            "bounds": {"temperature": {"kind": "global", **bounds}, "curriculum": PAPER},
        },
    )


if __name__ == "__main__":
    ablation.main(study, options(), measured=["bounds"])
