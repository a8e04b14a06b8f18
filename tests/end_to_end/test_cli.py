"""The command line as a user meets it: a study in a fresh directory, from check to verdict, and into MLflow."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ctkd_study.cli import main
from ctkd_study.tracking.metric_names import metric_name
from tests.support import settings
from tests.support.tracking_cases import contents, held
from trainables import record
from trainables.storage import Storage

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

STUDY: dict[str, Any] = {
    "name": "small",
    "question": "Does it work <b>at all</b>?",
    "data": {"name": "digits", "validation": 100, "train_examples": 100},
    "teacher": settings.TEACHER,
    "student": settings.STUDENT,
    "recipe": {**settings.RECIPE, "epochs": 6},
    "distiller": {"name": "kd"},
    "seeds": 3,
    "margin": 5.0,
    "price_per_device_hour": 2.5,
    "arms": {
        "grid": {"temperature": {"kind": "fixed", "value": {"grid": [1, 4]}}},
        "global": {"temperature": {"kind": "global"}, "curriculum": {"kind": "cosine", "epochs": 3}},
    },
}


class Cli:
    """The command in a directory of its own: in this process, which has everything loaded, or in one of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, *arguments: str, status: int = 0) -> str:
        with contextlib.chdir(self.folder):
            done = CliRunner().invoke(main, arguments, env={"COLUMNS": "120"})
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exc_info
        assert done.exit_code == status, done.output
        return done.output

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "ctkd_study.cli", *arguments],
            cwd=self.folder,
            env={**os.environ, "COLUMNS": "120"},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def write(self, **changes: Any) -> None:
        (self.folder / "small.yaml").write_text(json.dumps({**STUDY, **changes}))


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Cli, str]:
    """The study, run once for all tests that only look at it."""
    cli = Cli(tmp_path_factory.mktemp("study"))
    cli.write()
    assert "9 trials" in cli("check", "small.yaml")
    plan = json.loads(cli("plan", "small.yaml", "--json"))
    assert len(plan["trials"]) == 9
    assert not (cli.folder / "results").exists(), "a plan leaves nothing behind"
    process = cli.start("run", "small.yaml")
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, output
    assert "Traceback" not in output
    return cli, output


def test_run_prints_progress_efficiency_and_verdict(ran: tuple[Cli, str]) -> None:
    _, output = ran
    assert "9 of 9 trials have ended; 9 ran in this launch" in output
    assert "MLflow: 10 runs, 56 epochs sent" in output
    assert "% of that" in output
    for word in ("grid", "global", "USD", "kept, by seed"):
        assert word in output


def test_mlflow_holds_exactly_the_rows_and_sync_changes_nothing(ran: tuple[Cli, str]) -> None:
    cli, _ = ran
    uri = f"sqlite:///{cli.folder / 'results' / 'mlflow.db'}"
    uid = json.loads((cli.folder / "results" / "small" / "study.json").read_text())["uid"]
    before = held(uri, uid)
    runs = {run["name"]: run for run in before[:-1]}
    assert len(runs) == 10
    folder = Storage.at(str(cli.folder / "results" / "small"))
    for trial in json.loads(cli("plan", "small.yaml", "--json"))["trials"]:
        newest = record.scan(folder.within(trial["id"])).newest
        assert newest is not None
        expected = sorted(
            (metric_name(name), row["epoch"], row["time_ms"], value)
            for row in newest.rows()
            for name, value in row.items()
            if value is not None and name not in ("epoch", "time_ms")
        )
        summaries = ("selected/", "total/")  # of the whole trial
        points = [point for point in runs[trial["id"]]["points"] if not point[0].startswith(summaries)]
        assert points == expected
        assert runs[trial["id"]]["status"] == "FINISHED"
    for _ in range(2):
        assert "0 epochs sent" in cli("sync", "small")
        assert held(uri, uid) == before
    rebuilt = f"sqlite:///{cli.folder / 'rebuilt.db'}"
    cli("sync", "small", "--tracking-uri", rebuilt)
    assert contents(held(rebuilt, uid)) == contents(before)


def test_compare_as_json_html_and_with_other_choices(ran: tuple[Cli, str]) -> None:
    cli, _ = ran
    found = json.loads(cli("compare", "small", "--json"))
    names = ("study", "protocol", "strategies", "pairwise", "teacher", "bank", "verdict")
    assert set(names) <= found.keys()
    assert [strategy["name"] for strategy in found["strategies"]] == ["grid", "global"]
    itself, other = (strategy["cost_ratio"] for strategy in found["strategies"])
    assert itself == {key: {"ratio": 1.0, "low": 1.0, "high": 1.0} for key in ("tflop", "device_seconds")}
    assert other["tflop"]["ratio"] == pytest.approx(0.5, rel=0.01)
    assert other["device_seconds"]["low"] < other["device_seconds"]["ratio"] < other["device_seconds"]["high"]
    (pair,) = found["pairwise"]
    assert pair["verdict"] in ("better", "not_worse", "worse", "undecided")
    assert pair["low"] < pair["difference"] < pair["high"]
    other = json.loads(cli("compare", "small", "--json", "--baseline", "global", "--charge-teacher", "each"))
    assert other["pairwise"][0]["difference"] == pytest.approx(-pair["difference"])
    charged, plain = (each["strategies"][0]["cost"]["device_seconds"] for each in (other, found))
    assert charged > plain
    assert (found["set_after_looking"], found["margin"] != 7) == ([], True)
    after = json.loads(cli("compare", "small", "--json", "--margin", "7"))
    assert (after["set_after_looking"], after["margin"]) == (["margin"], 7)
    assert "Margin set after looking." in after["verdict"]
    cli("compare", "small", "--markdown", "table.md", "--margin", "7")
    table = (cli.folder / "table.md").read_text()
    assert "; margin set after looking:" in table, "in the caption"
    assert "- Margin set after looking: chosen with knowledge of the result" in table
    assert json.loads(cli("compare", "small", "--json"))["set_after_looking"] == [], "the first margin again"
    cli("compare", "small", "--html", "page.html")
    page = (cli.folder / "page.html").read_text()
    assert "&lt;b&gt;at all&lt;/b&gt;" in page
    assert "<b>at all</b>" not in page


def test_running_it_again_trains_nothing(ran: tuple[Cli, str]) -> None:
    cli, _ = ran
    assert "0 ran in this launch" in cli("run", "small.yaml")


@pytest.mark.parametrize(
    ("arguments", "telling"),
    [
        (["compare", "smal"], "it holds small"),
        (["compare", "small", "--baseline", "gird"], "gird"),
        (["compare", "small", "--margin", "-1"], "margin"),
        (["run", "absent.yaml"], "absent.yaml"),
        (["run", "small.yaml", "--set", "recipe.lr=fast"], "recipe.lr"),
        (["check", "small.yaml", "--set", "arms.grid.temperture.kind=fixed"], "temperature"),
        (["sync", "absent"], "absent"),
    ],
)
def test_a_users_mistake_is_a_text_and_status_2(ran: tuple[Cli, str], arguments: list[str], telling: str) -> None:
    cli, _ = ran
    assert telling in cli(*arguments, status=2)


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Let commands obey SIGINT: a process in a shell's background ignores it, and so do those that it starts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.thorough
def test_ctrl_c_stops_cleanly_and_says_how_to_go_on(tmp_path: Path, ctrl_c: None) -> None:
    cli = Cli(tmp_path)
    cli.write(recipe={**settings.RECIPE, "epochs": 400}, checkpoint={"epochs": 10})
    process = cli.start("run", "small.yaml")
    until = time.monotonic() + 120
    while not list((tmp_path / "results" / "small").glob("*-s*/run-*/checkpoint_*/manifest.json")):
        assert time.monotonic() < until
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert "The same command goes on from here" in output
    assert "Traceback" not in output
    assert (tmp_path / "results" / "small" / "launches" / "000001.ended.json").exists()


def test_a_reader_that_leaves_early_is_no_error(tmp_path: Path) -> None:
    process = Cli(tmp_path).start("schema")
    assert process.stdout is not None
    process.stdout.close()  # what the command prints on standard error goes there, too
    assert process.wait(timeout=60) == 1


def test_a_plan_needs_no_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    cli = Cli(tmp_path)
    cli.write(data={"name": "cifar100", "validation": 5000})
    found = json.loads(cli("plan", "small.yaml", "--json"))
    assert [(arm["arm"], arm["trials"]) for arm in found["arms"]] == [("grid", 6), ("global", 3)]
    assert found["bank"]["reads"] == 45_000 * 9 * 6
    assert sorted(path.name for path in tmp_path.iterdir()) == ["small.yaml"], "nothing was downloaded"


def test_a_plan_names_the_arm_that_diverges(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    hot = {"temperature": {"kind": "fixed", "value": 4}, "recipe": {"lr": 1000.0, "weight_decay": 1.0}}
    cli.write(arms={"hot": hot})
    assert "not estimated: arm hot: the timed steps failed: " in cli("plan", "small.yaml", status=1)


def test_a_failing_trial_is_named_and_gives_status_1(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    hot = {"temperature": {"kind": "fixed", "value": 4}, "recipe": {"lr": 1000.0, "weight_decay": 1.0, "epochs": 20}}
    cli.write(arms={"grid": STUDY["arms"]["grid"], "hot": hot}, seeds=1)
    output = cli("run", "small.yaml", status=1)
    assert "failed: hot-" in output
    assert "in epoch" in output
    found = json.loads(cli("compare", "small", "--json"))
    failed = next(strategy for strategy in found["strategies"] if strategy["name"] == "hot")
    assert failed["failed"] == 1
    assert failed["selected"] == [None]
    assert failed["cost"]["device_seconds"] > 0


@pytest.mark.parametrize(
    ("arguments", "telling"),
    [
        (["run", "small.yaml", "--set", "resources.cpu=4000"], "resources.cpu must be at most"),
        (["run", "small.yaml", "--address", "localhost:1"], "no Ray cluster at localhost:1"),
        (["run", "small.yaml", "--address", ""], "must be host:port or auto, but got ''"),
        (["compare", "small", "--html", ""], "--html: '' can't be written"),
        (["run", "small.yaml", "--address", "nonsense"], "must be host:port or auto, but got 'nonsense'"),
        (["run", "small.yaml", "--tracking-uri", "garbage"], "--tracking-uri must be"),
        (["run", "small.yaml", "--storage", "ftp://bucket/prefix"], "s3://bucket/prefix"),
        (["check", "small.yaml", "--set", "teacher={model: resnet8, checkpoint: absent.pth}"], "absent.pth"),
        (["plan", "small.yaml", "--set", "data.validation=100000"], "validation"),
        (["compare", "../small"], "a name of"),
        (["compare", "small", "--storage", "small.yaml"], "small.yaml"),
        (["compare", "changed.yaml"], "recipe.epochs: 6 -> 7"),
        (["sync", "changed.yaml"], "recipe.epochs: 6 -> 7"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_done(
    ran: tuple[Cli, str], arguments: list[str], telling: str
) -> None:
    cli, _ = ran
    changed = {**STUDY, "recipe": {**STUDY["recipe"], "epochs": 7}}
    (cli.folder / "changed.yaml").write_text(json.dumps(changed))
    assert telling in cli(*arguments, status=2)


@pytest.mark.parametrize("content", ["{", "", "[1]", '{"a": 1}', "null"])
def test_a_damaged_file_of_the_study_is_named(ran: tuple[Cli, str], content: str) -> None:
    cli, _ = ran
    folder = cli.folder / "results" / "small"
    whole = (folder / "study.json").read_text()
    (folder / "study.json").write_text(content)
    try:
        assert "study.json is damaged" in cli("compare", "small", status=2)
    finally:
        (folder / "study.json").write_text(whole)
    for name in ("looks.json", "launches/000001.ended.json"):
        (folder / name).write_text(content)
        assert "grid" in cli("compare", "small"), "an answer does not hang on who looked or ran before"
