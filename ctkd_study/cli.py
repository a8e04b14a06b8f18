"""The command line: parses, calls, prints.

Exit status: 0; 1 if trials failed or MLflow does not answer; 2 for an invalid request, study file or folder; 75 if
trials are unfinished because of a fault that may pass, so that the same command is to be run again; 130 if stopped by
Ctrl-C, 143 by SIGTERM. Only a bug gives a traceback; --verbose shows it for any error.
"""

import dataclasses
import json
import logging
import signal
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource
from rich.console import Console

from ctkd_study.errors import StudyError, Terminated, status_after
from ctkd_study.safe_text import visible, without_passwords
from trainables.plugins import PluginError

_FAILED, _INVALID = 1, 2


class _Commands(click.Group):
    """Turns what a command returns or raises into a message and an exit status; commands return None for 0."""

    def invoke(self, ctx: click.Context) -> Any:
        # SIGTERM as Ctrl-C: without it, the process would end at once, and leave its lease and its children behind.
        before = signal.signal(signal.SIGTERM, _terminate)
        try:
            ctx.exit(super().invoke(ctx) or 0)
        except BrokenPipeError:
            raise  # the reader of a pipe has left: click ends the command quietly
        except (StudyError, PluginError, OSError) as error:
            # OSError: a folder that cannot be read or written, a full disk, an unknown host.
            logging.getLogger(__name__).info("the whole error", exc_info=True)
            click.echo(f"ctkd-study: {visible(without_passwords(str(error)))}", err=True)
            ctx.exit(error.exit_status if isinstance(error, StudyError) else _INVALID)
        except KeyboardInterrupt as stop:
            click.echo("ctkd-study: stopped", err=True)
            ctx.exit(status_after(stop))
        finally:
            signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def _terminate(number: int, frame: object) -> None:
    raise Terminated


class _SafeFormatter(logging.Formatter):
    """Keeps passwords and terminal codes out of the log, also those in other libraries' exceptions."""

    def format(self, record: logging.LogRecord) -> str:
        return visible(without_passwords(super().format(record)))


def _warn_of_password(context: click.Context, option: click.Parameter, uri: str | None) -> str | None:
    from ctkd_study.tracking import password_advice

    given = context.get_parameter_source(option.name or "") is ParameterSource.COMMANDLINE
    if uri is not None and given and (advice := password_advice(uri)):
        # Not refused: the password is in the list of processes already, and to stop would not take it back.
        click.echo(
            f"warning: all users of this machine can read the password in --tracking-uri (`ps`); {advice}", err=True
        )
    return uri


_storage = click.option(
    "--storage", default="results", show_default=True, metavar="DIR|s3://...", help="Where the records of studies lie."
)
_tracking_uri = click.option(
    "--tracking-uri",
    metavar="URI",
    envvar="CTKD_STUDY_TRACKING_URI",
    show_envvar=True,
    callback=_warn_of_password,
    help="MLflow, without its password; by default mlflow.db in the storage.",
)
_overrides = click.option(
    "--set", "overrides", multiple=True, metavar="PATH=VALUE", help="Changes one value of the file; may be repeated."
)
_as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="ctkd-study")
@click.option("--verbose", "-v", is_flag=True, help="Print what is logged.")
def main(verbose: bool) -> None:
    """Compares ways to set the distillation temperature: grids, searches, and one curriculum run (CTKD)."""
    handler = logging.StreamHandler()
    handler.setFormatter(_SafeFormatter("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, handlers=[handler])


@main.command()
@click.argument("study", metavar="STUDY.yaml")
@_storage
@_tracking_uri
@_overrides
@click.option(
    "--address",
    metavar="RAY",
    help="Join a running Ray cluster, host:port or auto; default: RAY_ADDRESS, else this machine.",
)
@click.option("--fresh", is_flag=True, help="Start anew; the old records are renamed, not deleted.")
@click.option("--retry", is_flag=True, help="Run failed trials again.")
@click.option(
    "--until-decided",
    is_flag=True,
    help="Add seeds until every arm is decided, up to 20 or as `until:` in the file says, which needs no option.",
)
def run(
    study: str,
    storage: str,
    tracking_uri: str | None,
    overrides: tuple[str, ...],
    address: str | None,
    fresh: bool,
    retry: bool,
    until_decided: bool,
) -> int | None:
    """Run what is left of a study and print the verdict. The same command goes on after an interruption."""
    from ctkd_study.report import show, show_outcome
    from ctkd_study.spec import warnings
    from ctkd_study.study import Study

    console = Console()
    loaded = Study.from_file(study, overrides)
    if until_decided and loaded.spec.until is None:
        loaded = Study.from_file(study, (*overrides, f"until={json.dumps(loaded.spec.usual_until())}"))
    for warning in warnings(loaded.spec):
        click.echo(f"warning: {visible(warning)}", err=True)
    outcome = loaded.run(
        storage=storage, tracking_uri=tracking_uri, address=address, fresh=fresh, retry=retry, console=console
    )
    show_outcome(outcome, console)
    if not outcome.unfinished:
        found = loaded.compare(storage, state=outcome.state)
        show(found, console)
    return outcome.exit_status


@main.command()
@click.argument("study", metavar="STUDY.yaml")
@_storage
@_overrides
@_as_json
@click.option("--plot", metavar="FILE", type=click.Path(dir_okay=False), help="Draw λ by epoch: .svg, .png, .pdf.")
def plan(study: str, storage: str, overrides: tuple[str, ...], as_json: bool, plot: str | None) -> int | None:
    """Show a study's trials and their estimated time and cost. Trains nothing and downloads nothing."""
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
    return _FAILED if estimate.faults else None


@main.command()
@click.argument("study", metavar="STUDY.yaml")
@_storage
@_overrides
@_as_json
def design(study: str, storage: str, overrides: tuple[str, ...], as_json: bool) -> None:
    """Show what a study would need: seeds, cost, and the chance of each verdict, by the true difference."""
    from ctkd_study.report import design_as_json, show_design
    from ctkd_study.study import Study

    loaded = Study.from_file(study, overrides)
    found, price = loaded.design(storage), loaded.spec.price_per_device_hour
    if as_json:
        click.echo(json.dumps(design_as_json(found, loaded.spec.name, price), indent=1))
    else:
        show_design(found, Console(), price, loaded.spec.currency)


@main.command()
@click.argument("studies", metavar="STUDY...", nargs=-1, required=True)
@_storage
@_as_json
@click.option("--html", metavar="FILE", type=click.Path(dir_okay=False, writable=True), help="Write a page to FILE.")
@click.option(
    "--markdown", metavar="FILE", type=click.Path(dir_okay=False, writable=True), help="Write Markdown to FILE."
)
@click.option(
    "--figures", metavar="DIR", type=click.Path(file_okay=False), help="Write the figures to DIR, as SVG and PNG."
)
@click.option("--baseline", metavar="ARM", help="The arm that the others are compared with.")
@click.option(
    "--metric",
    type=click.Choice(["top1", "top5", "nll", "ece"]),
    help="What is compared on the test set; by default what the study declares. Others are exploratory.",
)
@click.option("--margin", metavar="POINTS", type=float, help="What would not matter to you, in the metric's unit.")
@click.option(
    "--charge-teacher",
    type=click.Choice(["none", "each"]),
    default="none",
    show_default=True,
    help="Whether each strategy also pays for the teacher.",
)
def compare(
    studies: tuple[str, ...],
    storage: str,
    as_json: bool,
    html: str | None,
    markdown: str | None,
    figures: str | None,
    baseline: str | None,
    metric: str | None,
    margin: float | None,
    charge_teacher: str,
) -> None:
    """Compare a study's strategies: accuracy, differences with intervals, cost, verdict.

    Several studies are put side by side: the differences in each, and their mean over the studies.
    """
    from ctkd_study import report
    from ctkd_study.study import Study, compare_studies

    loaded = [Study.named(study, storage) for study in studies]
    asked: dict[str, Any] = {"baseline": baseline, "metric": metric, "margin": margin}
    asked |= {"charge_teacher": charge_teacher == "each"}
    if len(loaded) > 1:
        across = compare_studies(loaded, storage, **asked)
        if html is not None:
            from ctkd_study.report.html import page_across

            _write("--html", html, page_across(across))
        if markdown is not None:
            _write("--markdown", markdown, report.across_as_markdown(across))
        if figures is not None:
            from ctkd_study.report.illustrations import illustrations_across, save_all

            save_all(illustrations_across(across), Path(figures))
        if as_json:
            click.echo(json.dumps(report.across_as_json(across), indent=1, allow_nan=False))
        else:
            report.show_across(across, Console())
        return
    comparison = loaded[0].compare(storage, **asked)
    written = as_json or html is not None or markdown is not None or figures is not None
    replays = loaded[0].replays(comparison, storage) if written else []
    provenance = loaded[0].provenance(storage) if written else None
    if html is not None:
        from ctkd_study.report.html import page

        _write("--html", html, page(comparison, loaded[0].histories(storage), replays, provenance))
    if markdown is not None:
        _write("--markdown", markdown, report.comparison_as_markdown(comparison, replays, provenance))
    if figures is not None:
        from ctkd_study.report.illustrations import illustrations, save_all

        save_all(list(illustrations(comparison, loaded[0].histories(storage), replays)), Path(figures))
    if as_json:
        bank = loaded[0].bank(storage)
        facts = dataclasses.asdict(bank) if bank is not None else None
        click.echo(
            json.dumps(report.comparison_as_json(comparison, facts, replays, provenance), indent=1, allow_nan=False)
        )
    else:
        report.show(comparison, Console())


def _write(option: str, file: str, text: str) -> None:
    try:
        Path(file).write_text(text, encoding="utf-8")
    except OSError as fault:
        raise StudyError(f"{option}: {file or repr(file)} can't be written: {fault.strerror}") from fault


@main.command()
@click.argument("study")
@_storage
@_tracking_uri
def sync(study: str, storage: str, tracking_uri: str | None) -> int | None:
    """Bring MLflow up to date with the records; may be repeated at any time."""
    from ctkd_study.study import Study

    outcome = Study.named(study, storage).sync(storage=storage, tracking_uri=tracking_uri)
    click.echo(str(outcome))
    return None if outcome.complete else _FAILED


@main.command()
@click.argument("study")
@_storage
@_tracking_uri
@click.option("--port", type=click.IntRange(1, 65535), default=5000, show_default=True, help="Port to listen on.")
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on. MLflow has no login here: whoever reaches another address can delete runs.",
)
@click.option("--browser/--no-browser", default=True, help="Open a browser.")
def ui(study: str, storage: str, tracking_uri: str | None, port: int, host: str, browser: bool) -> None:
    """Serve MLflow and open it at the study's comparison."""
    from ctkd_study.study import Study

    Study.named(study, storage).serve(storage=storage, tracking_uri=tracking_uri, host=host, port=port, browser=browser)


@main.command()
@click.argument("study", metavar="STUDY.yaml")
@_overrides
def check(study: str, overrides: tuple[str, ...]) -> None:
    """Name every fault of a study file, with its line. Networks are built by `plan`, the data set is read by `run`."""
    from ctkd_study.spec import warnings
    from ctkd_study.study import Study

    loaded = Study.from_file(study, overrides)
    teacher = loaded.spec.teacher
    if teacher is not None and teacher.checkpoint is not None and not Path(teacher.checkpoint).is_file():
        raise StudyError(f"teacher.checkpoint must be a file, but got {teacher.checkpoint}")
    for warning in warnings(loaded.spec):
        click.echo(f"warning: {visible(warning)}")
    settings, trials = sum(arm.size for arm in loaded.spec.resolved_arms), loaded.plan().size
    most = "at most " if loaded.spec.until is not None else ""
    click.echo(f"{study} is a study: {len(loaded.spec.arms)} arms, {settings} settings, {most}{trials} trials.")


@main.command()
def schema() -> None:
    """Print the JSON Schema of study files, for editors."""
    from ctkd_study.spec import json_schema

    click.echo(json.dumps(json_schema(), indent=1))


if __name__ == "__main__":
    main()
