"""Ablations: what the scripts in `studies/ablations` share.

Each script builds a study around the data and networks of another one, runs it, and says what mattered.
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from ctkd_study.analysis import Design, effects, finished_trials, importances, shares
from ctkd_study.errors import StudyError, status_after
from ctkd_study.launch import Outcome, Runner
from ctkd_study.report import effects as report
from ctkd_study.report import show, show_outcome
from ctkd_study.safe_text import visible, without_passwords
from ctkd_study.spec import load
from ctkd_study.study import Study

#: Keys that an ablation sets itself, and does not take from the study that it is built around.
_OWN = frozenset(
    {
        *("name", "question", "arms", "baseline", "confirm", "published"),
        *("seeds_planned", "temperature", "curriculum", "vary"),
    }
)


def parser(about: str | None, base: Path) -> argparse.ArgumentParser:
    """Return a parser with the options that every ablation has.

    Args:
        about: the script's docstring.
        base: the study file that gives data, teacher, student and recipe, unless the user names another.
    """
    found = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    found.add_argument("--base", type=Path, default=base, help="study file with data, teacher, student and recipe")
    found.add_argument("--set", action="append", default=[], metavar="PATH=VALUE", help="changes a value of that file")
    found.add_argument("--seeds", type=int, default=5, help="number of seeds (default 5)")
    found.add_argument("--epochs", type=int, help="epochs of the students; default: the base's")
    found.add_argument("--margin", type=float, help="accuracy points that would not matter; default: the base's")
    found.add_argument("--storage", default="results", help="where the records lie (default results)")
    found.add_argument("--tracking-uri", help="MLflow; by default mlflow.db in the storage")
    found.add_argument("--address", help="a running Ray cluster; by default one is started here")
    found.add_argument("--figure", type=Path, metavar="FILE", help="draws the effects: .svg, .png, .pdf")
    return found


def study(
    options: argparse.Namespace, *, name: str, question: str, arms: Mapping[str, Any], baseline: str | None = None
) -> Study:
    """Build a study around the base that the options name.

    Raises:
        SpecError: names every fault.
    """
    overrides = list(options.set)
    if options.epochs is not None:
        overrides.append(f"recipe.epochs={options.epochs}")
    base = {key: value for key, value in load(options.base, overrides).plain().items() if key not in _OWN}
    base["seeds"] = options.seeds
    base["margin"] = options.margin if options.margin is not None else base["margin"]
    return Study(**base, name=name, question=question, arms=dict(arms), baseline=baseline)


def run(study: Study, options: argparse.Namespace, measured: Sequence[str], runner: Runner | None = None) -> Outcome:
    """Run what is left of an ablation; print its verdict, the effects of what varies, and what mattered.

    Args:
        study: the ablation.
        options: of the script.
        measured: the arms whose trials are looked at; they should be a whole product of their options.
        runner: how trials are run; by default as Ray Tune trials.

    Raises:
        StudyError: it cannot be run, or only one trial is measured.
    """
    console = Console()
    outcome = study.run(
        options.storage, tracking_uri=options.tracking_uri, address=options.address, console=console, runner=runner
    )
    show_outcome(outcome, console)
    if outcome.unfinished:
        return outcome
    comparison = study.compare(options.storage, state=outcome.state)
    show(comparison, console)
    found = finished_trials([trial for trial in outcome.plan.trials if trial.arm in measured], outcome.manifests)
    if not found:
        print(f"\nNo trial of {', '.join(measured)} has finished, so there are no effects.")
        return outcome
    design = Design.of(found)
    if design is None:
        no_figure = " No figure is drawn." if options.figure is not None else ""
        print(f"\n{report.unbalanced_sentence(importances(found), len(found))}{no_figure}")
        return outcome
    moved = effects(design)
    print(f"\n{report.table(moved)}\n\n{report.sentence(shares(design), design)}")
    if options.figure is not None:
        report.plot(moved, options.figure)
    return outcome


def main(
    build: Callable[[argparse.Namespace], Study],
    options: argparse.Namespace,
    measured: Sequence[str],
    runner: Runner | None = None,
) -> None:
    """Build and run an ablation (see ``run``), and exit with the status of `ctkd-study run`.

    Exit status: that of `ctkd-study run`.
    """
    try:
        outcome = run(build(options), options, measured, runner)
    except (StudyError, OSError) as error:
        print(visible(without_passwords(str(error))), file=sys.stderr)
        sys.exit(error.exit_status if isinstance(error, StudyError) else 2)
    except KeyboardInterrupt as stop:
        print("stopped", file=sys.stderr)
        sys.exit(status_after(stop))
    sys.exit(outcome.exit_status)
