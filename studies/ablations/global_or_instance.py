"""Is one learned T for all samples better, or one for each sample?

    python studies/ablations/global_or_instance.py

This trains both with several end values of λ, because the two respond to λ differently, and compares the best of each.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from ctkd_study import Study, ablation, grid

BASE = Path(__file__).parents[1] / "digits" / "quickstart.yaml"


def options(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the script's options, by default from the command line."""
    parser = ablation.parser(__doc__, BASE)
    parser.add_argument("--ends", type=float, nargs="+", default=[0.3, 1.0, 3.0], help="values of λ at the end")
    return parser.parse_args(argv)


def study(options: argparse.Namespace) -> Study:
    """Build the ablation as a study."""
    curriculum = {"kind": "cosine", "start": 0.0, "end": grid(*options.ends), "epochs": 10}
    return ablation.study(
        options,
        name="ablation_global_or_instance",
        question="Is one learned temperature for each sample better than one for all?",
        baseline="global",
        arms={kind: {"temperature": {"kind": kind}, "curriculum": curriculum} for kind in ("global", "instance")},
    )


if __name__ == "__main__":
    ablation.main(study, options(), measured=["global", "instance"])
