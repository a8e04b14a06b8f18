"""The command line: parses, calls, prints.

Exit status: 0; 1 where trials failed, or MLflow does not answer; 2 for what was asked for in error; 130 when stopped.
"""

import dataclasses
import json
import logging
import sys
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from ctkd_study.errors import StudyError

_FAILED, _WRONG, _INTERRUPTED = 1, 2, 130


class _Commands(click.Group):
    """Turns a user's mistakes into a text and a status; a traceback is left for our own."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except StudyError as error:
            click.echo(f"ctkd-study: {error}", err=True)
            ctx.exit(error.exit_status)
        except OSError as error:
            # A folder that cannot be read or written, a full disk, a host that is not there: the machine's, not ours.
            logging.getLogger(__name__).info("the whole error", exc_info=True)
            click.echo(f"ctkd-study: {error}", err=True)
            ctx.exit(_WRONG)
        except KeyboardInterrupt:
            click.echo("ctkd-study: stopped", err=True)
            ctx.exit(_INTERRUPTED)


def _shared(command: Any) -> Any:
    storage = click.option(
        "--storage",
        default="results",
        show_default=True,
        metavar="DIR|s3://...",
        help="Where the records of studies lie.",
    )
    uri = click.option("--tracking-uri", metavar="URI", help="MLflow; by default mlflow.db in the storage.")
    return storage(uri(command))


_overrides = click.option(
    "--set", "overrides", multiple=True, metavar="PATH=VALUE", help="Changes one value of the file; may be repeated."
)
_as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="ctkd-study")
@click.option("--verbose", "-v", is_flag=True, help="Print what is logged.")
def main(verbose: bool) -> None:
    """Compares ways to set the distillation temperature: grids, searches, and one curriculum run (CTKD)."""
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING, format="%(levelname)s %(name)s: %(message)s"
    )


@main.command()
@click.argument("study", metavar="STUDY.yaml")
@_shared
@_overrides
@click.option(
    "--address",
    metavar="RAY",
    help="Join a running Ray cluster, host:port or auto; default: RAY_ADDRESS, else this machine.",
)
@click.option("--fresh", is_flag=True, help="Start anew; the old records are renamed, not deleted.")
@click.option("--retry", is_flag=True, help="Run failed trials again.")
def run(
    study: str,
    storage: str,
    tracking_uri: str | None,
    overrides: tuple[str, ...],
    address: str | None,
    fresh: bool,
    retry: bool,
) -> None:
    """Run what is left of a study and print the verdict. The same command goes on after an interruption."""
    from ctkd_study.report import show, show_outcome
    from ctkd_study.spec import warnings
    from ctkd_study.study import Study

    console = Console()
    loaded = Study.from_file(study, overrides)
    for warning in warnings(loaded.spec):
        click.echo(f"warning: {warning}", err=True)
    outcome = loaded.run(
        storage=storage, tracking_uri=tracking_uri, address=address, fresh=fresh, retry=retry, console=console
    )
    show_outcome(outcome, console)
    if outcome.unfinished:
        click.echo(f"Stopped with {len(outcome.unfinished)} trials unfinished. The same command goes on from here.")
        sys.exit(_INTERRUPTED)
    found = loaded.compare(storage, state=outcome.state)
    show(found, console, loaded.histories(storage, state=outcome.state))
    if outcome.failed:
        sys.exit(_FAILED)


@main.command()
@click.argument("study", metavar="STUDY.yaml")
@_shared
@_overrides
@_as_json
@click.option("--plot", metavar="FILE", type=click.Path(dir_okay=False), help="Draw λ by epoch: .svg, .png, .pdf.")
def plan(
    study: str, storage: str, tracking_uri: str | None, overrides: tuple[str, ...], as_json: bool, plot: str | None
) -> None:
    """Show a study's trials, and what they will take; trains nothing."""
    from ctkd_study.report import plan_as_json, show_plan
    from ctkd_study.spec import warnings
    from ctkd_study.study import Study

    loaded = Study.from_file(study, overrides)
    planned = loaded.plan(storage)
    if plot is not None:
        from ctkd_study.report import curricula

        curricula.plot(loaded.spec, Path(plot))
    estimate = loaded.estimate(storage)
    found = warnings(loaded.spec)
    if as_json:
        click.echo(json.dumps(plan_as_json(planned, estimate, found), indent=1))
    else:
        show_plan(planned, estimate, found, Console())


@main.command()
@click.argument("study")
@_shared
@_as_json
@click.option("--html", metavar="FILE", type=click.Path(dir_okay=False, writable=True), help="Write a page to FILE.")
@click.option("--baseline", metavar="ARM", help="The arm that the others are compared with.")
@click.option("--margin", metavar="POINTS", type=float, help="Accuracy points that would not matter to you.")
@click.option("--charge-teacher", type=click.Choice(["none", "each"]), default="none", show_default=True)
def compare(
    study: str,
    storage: str,
    tracking_uri: str | None,
    as_json: bool,
    html: str | None,
    baseline: str | None,
    margin: float | None,
    charge_teacher: str,
) -> None:
    """Compare a study's strategies: accuracy, differences with intervals, cost, verdict."""
    from ctkd_study.report import comparison_as_json, show
    from ctkd_study.study import Study

    loaded = Study.named(study, storage)
    comparison = loaded.compare(
        storage=storage, baseline=baseline, margin=margin, charge_teacher=charge_teacher == "each"
    )
    if html is not None:
        from ctkd_study.report.html import page

        try:
            Path(html).write_text(page(comparison, loaded.histories(storage)), encoding="utf-8")
        except OSError as fault:
            raise StudyError(f"--html: {html or repr(html)} can't be written: {fault.strerror}") from fault
    if as_json:
        bank = loaded.bank(storage)
        facts = dataclasses.asdict(bank) if bank is not None else None
        click.echo(json.dumps(comparison_as_json(comparison, facts), indent=1, allow_nan=False))
    else:
        show(comparison, Console(), loaded.histories(storage))


@main.command()
@click.argument("study")
@_shared
def sync(study: str, storage: str, tracking_uri: str | None) -> None:
    """Rebuild MLflow from the records; may be repeated at any time."""
    from ctkd_study.study import Study

    outcome = Study.named(study, storage).sync(storage=storage, tracking_uri=tracking_uri)
    click.echo(str(outcome))
    if not outcome.complete:
        sys.exit(_FAILED)


@main.command()
@click.argument("study")
@_shared
@click.option("--port", type=click.IntRange(1, 65535), default=5000, show_default=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--browser/--no-browser", default=True, help="Open a browser.")
def ui(study: str, storage: str, tracking_uri: str | None, port: int, host: str, browser: bool) -> None:
    """Serve MLflow and open it at the study's comparison."""
    from ctkd_study.study import Study

    Study.named(study, storage).serve(storage=storage, tracking_uri=tracking_uri, host=host, port=port, browser=browser)


@main.command()
@click.argument("study", metavar="STUDY.yaml")
@_shared
@_overrides
def check(study: str, storage: str, tracking_uri: str | None, overrides: tuple[str, ...]) -> None:
    """Name every fault of a study file, with its line. The data set is not looked for; `plan` and `run` do that."""
    from ctkd_study.spec import warnings
    from ctkd_study.study import Study

    loaded = Study.from_file(study, overrides)
    teacher = loaded.spec.teacher
    if teacher is not None and teacher.checkpoint is not None and not Path(teacher.checkpoint).is_file():
        raise StudyError(f"teacher.checkpoint must be a file, but got {teacher.checkpoint}")
    for warning in warnings(loaded.spec):
        click.echo(f"warning: {warning}")
    settings, trials = len(loaded.spec.settings()), len(loaded.plan().trials)
    click.echo(f"{study} is a study: {len(loaded.spec.arms)} arms, {settings} settings, {trials} trials.")


@main.command()
def schema() -> None:
    """Print the JSON Schema of study files, for editors."""
    from ctkd_study.spec import json_schema

    click.echo(json.dumps(json_schema(), indent=1))


if __name__ == "__main__":
    main()
