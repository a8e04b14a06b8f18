"""How wide must the network be that sets T for each sample?

The authors do not publish a width; the default here is the number of classes.

    python studies/ablations/hidden_width.py

This trains several widths and compares the best of them with the default.
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
    parser.add_argument("--widths", type=int, nargs="+", default=[1, 4, 16, 64, 256], help="hidden units")
    return parser.parse_args(argv)


def study(options: argparse.Namespace) -> Study:
    """Build the ablation as a study."""
    return ablation.study(
        options,
        name="ablation_hidden_width",
        question="Does the width of the network that sets T for each sample matter?",
        baseline="default",
        arms={
            "default": {"temperature": {"kind": "instance"}, "curriculum": PAPER},
            "widths": {"temperature": {"kind": "instance", "hidden": grid(*options.widths)}, "curriculum": PAPER},
        },
    )


if __name__ == "__main__":
    ablation.main(study, options(), measured=["widths"])
