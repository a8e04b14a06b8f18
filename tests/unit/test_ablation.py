"""How the scripts of ablations end: what they print, and the status of the process."""

import argparse
from pathlib import Path
from typing import Any

import pytest

from ctkd_study import Study, ablation
from ctkd_study.launch.inline import InlineRunner, tabulated
from ctkd_study.launch.loop import Runner
from tests.support.studies import file_with
from trainables.config import TrialConfig
from trainables.record import Row


def rows(config: TrialConfig) -> list[Row]:
    top1 = 80.0 + config.recipe.lr
    row: Row = {"epoch": 1, "time_ms": 1, "val_loss": 0.1, "val_top1": top1, "test_loss": 0.1, "test_top1": top1}
    return [{**row, "epoch_seconds": 1.0, "device_seconds": 1.0, "eval_seconds": 0.0, "tflop": 1.0}]


def failed(config: TrialConfig) -> list[Row]:
    return []


def at_eight(config: TrialConfig) -> list[Row]:
    return failed(config) if config.recipe.lr == 8 else rows(config)


def interrupted(config: TrialConfig) -> list[Row]:
    raise KeyboardInterrupt


def nothing(todo: Any, context: Any) -> dict[str, str]:
    """A runner that was stopped before its first trial."""
    return {}


def unwritable(todo: Any, context: Any) -> dict[str, str]:
    raise OSError("no space left on device")


def options(tmp_path: Path) -> argparse.Namespace:
    base = tmp_path / "base.yaml"
    base.write_text(file_with({3: "teacher: null", 6: "distiller: {name: none}", 10: "  four: {}"}))
    return ablation.parser("about", base).parse_args(["--storage", str(tmp_path / "results"), "--margin", "2"])


def build(options: argparse.Namespace) -> Study:
    arms = {"rates": {"recipe": {"lr": {"grid": [2, 4, 8]}}}}
    return ablation.study(options, name="ablation", question="Which?", arms=arms)


def ended(tmp_path: Path, runner: Runner, measured: str = "rates") -> Any:
    """The status of the process; 0 where ``main`` returns."""
    try:
        ablation.main(build, options(tmp_path), [measured], runner)
    except SystemExit as end:
        return end.code
    return 0


@pytest.mark.parametrize(
    ("runner", "status", "out", "err"),
    [
        (InlineRunner(tabulated(rows)), 0, "| `recipe.lr` | 8 (chosen) | 1 | +3.33 | +3.33 | +3.33 to +3.33 |", ""),
        (InlineRunner(tabulated(at_eight)), 1, "| `recipe.lr` | 4 (chosen) | 1 | +1.00 | +1.00 | +1.00 to +1.00 |", ""),
        (InlineRunner(tabulated(failed)), 1, "No trial of rates has finished, so there are no effects.", ""),
        (nothing, 75, "15 trials are unfinished. The same command goes on from here.", ""),
        (InlineRunner(tabulated(interrupted)), 130, "Stopped. 15 trials are unfinished.", ""),
        (unwritable, 2, "", "no space left on device"),
    ],
    ids=["finished", "some fail", "all fail", "stopped", "interrupted", "disk full"],
)
def test_the_process_ends_as_the_command_does(
    runner: Runner, status: int, out: str, err: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended(tmp_path, runner) == status
    printed = capsys.readouterr()
    assert out in printed.out
    assert err in printed.err


def test_an_ablation_keeps_the_base_but_for_what_it_asks(tmp_path: Path) -> None:
    given = options(tmp_path)
    given.epochs, given.seeds, given.margin, given.set = 7, 2, None, ["recipe.momentum=0.5"]
    spec = build(given).spec
    assert (spec.name, spec.question, list(spec.arms)) == ("ablation", "Which?", ["rates"])
    assert (spec.recipe.epochs, spec.recipe.momentum, spec.seeds, spec.margin) == (7, 0.5, (0, 1), 5.0)
    given.margin = 2.0
    assert build(given).spec.margin == 2.0
