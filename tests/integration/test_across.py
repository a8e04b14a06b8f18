"""Two recorded studies side by side, from the command line and from Python."""

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ctkd_study import Study, compare_studies
from ctkd_study.cli import main
from ctkd_study.launch import InlineRunner, tabulated
from tests.support.studies import plain
from trainables.config import TrialConfig
from trainables.record import Row

ALONE = {"distiller": {"name": "none"}}
ARMS: dict[str, Any] = {
    "base": ALONE,
    "slow": {**ALONE, "recipe": {"lr": 0.01}},
    "fast": {**ALONE, "recipe": {"lr": 0.5}},
}
GAIN = {0.01: 1.0, 0.5: -2.0}


def row(test: float) -> Row:
    return {
        "epoch": 1,
        "time_ms": 1,
        "val_loss": 0.1,
        "val_top1": test,
        "test_loss": 0.1,
        "test_top1": test,
        "tflop": 1.0,
    }


def by_rate(config: TrialConfig) -> list[Row]:
    return [row(90 + GAIN.get(config.recipe.lr, 0.0) * (1 + 0.1 * math.sin(config.seed)))]


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two studies; the second lacks an arm, and has more seeds."""
    place = str(tmp_path_factory.mktemp("across") / "results")
    for name, arms, seeds in (("first", ARMS, 3), ("second", {"base": ALONE, "slow": ARMS["slow"]}, 4)):
        study = Study(**plain(name=name, arms=arms, seeds=seeds, baseline="base", teacher=None))
        study.run(place, runner=InlineRunner(tabulated(by_rate)))
    return place


def compare(storage: str, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["compare", *arguments, "--storage", storage], env={"COLUMNS": "120"})


def test_json_has_each_study_and_their_mean(storage: str) -> None:
    done = compare(storage, "first", "second", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert [study["study"] for study in found["studies"]] == ["first", "second"]
    [slow] = found["strategies"]
    means = [1 + 0.1 * sum(map(math.sin, range(seeds))) / seeds for seeds in (3, 4)]
    assert [study["difference"] for study in slow["studies"]] == pytest.approx(means)
    assert slow["difference"]["mean"] == pytest.approx(sum(means) / 2)
    assert slow["difference"]["low"] < sum(means) / 2 < slow["difference"]["high"]
    assert slow["probability_of_improvement"]["mean"] == 1
    assert found["left_out"] == [{"name": "fast", "why": "second has no such arm"}]
    again = json.loads(compare(storage, "first", "second", "--json").stdout)
    assert again == found


def test_python_says_the_same(storage: str) -> None:
    found = compare_studies([Study.named(name, storage) for name in ("first", "second")], storage)
    by_command = json.loads(compare(storage, "first", "second", "--json").stdout)
    assert dataclasses.asdict(found.strategies[0].difference) == by_command["strategies"][0]["difference"]


def test_the_other_forms_are_printed_and_written(storage: str, tmp_path: Path) -> None:
    page, text = tmp_path / "page.html", tmp_path / "text.md"
    done = compare(storage, "first", "second", "--html", str(page), "--markdown", str(text))
    assert done.exit_code == 0, done.output
    assert "fast is left out: second has no such arm." in done.stdout
    assert "Mean over 2 studies (first, second): slow minus base is +1.0" in " ".join(done.stdout.split())
    assert page.read_text().count("<svg") == 1
    assert text.read_text().startswith("## first \\| second\n")
    alone = compare(storage, "first", "--markdown", str(text))
    assert alone.exit_code == 0, alone.output
    assert text.read_text().startswith("## first\n")


def test_baseline_and_margin_hold_for_every_study(storage: str) -> None:
    found = json.loads(compare(storage, "first", "second", "--json", "--baseline", "slow", "--margin", "0.5").stdout)
    [base] = found["strategies"]
    assert (found["baseline"], base["name"]) == ("slow", "base")
    assert base["difference"]["mean"] < -0.9
    assert {study["margin"] for study in found["studies"]} == {0.5}
    assert {study["verdict"] for study in base["studies"]} == {"worse"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["first", "first"], "each study must be named once, but got first more than once"),
        (["first", "second", "--baseline", "fast"], "the baseline must be one of the arms"),
        (["first", "second", "--margin", "0"], "the margin must be above 0"),
        (["first", "absent"], "no study 'absent'"),
        (["first", "second", "--markdown", "/absent/x.md"], "--markdown: /absent/x.md can't be written"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_reason(storage: str, arguments: list[str], message: str) -> None:
    done = compare(storage, *arguments)
    assert done.exit_code == 2
    assert message in done.stderr
