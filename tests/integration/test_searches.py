"""Searched arms from plan to verdict, with tabulated results: killed, resumed, extended, changed."""

import dataclasses
import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from ctkd_study import Study, grid, loguniform
from ctkd_study.errors import ChangedStudyError
from ctkd_study.launch import InlineRunner, LaunchContext, Outcome, Runner, TrialQueue, launch, tabulated
from ctkd_study.plan import StudyState, due
from ctkd_study.report import plan_as_json, show_plan
from ctkd_study.report.columns import values
from tests.support.studies import plain
from trainables.config import TrialConfig
from trainables.record import Row
from trainables.storage import Storage

SEARCH = {"by": "tpe", "settings": 8, "startup": 3}
FIXED = {"temperature": {"kind": "fixed", "value": grid(1, 4, 16)}}
BEST = 4.0


def study(**changes: Any) -> Study:
    """A grid beside a search; a setting is the better the nearer T is to 4."""
    search = {**SEARCH, **changes.pop("search", {})}
    block = {"temperature": {"kind": "fixed", "value": changes.pop("value", loguniform(1, 16))}, "search": search}
    return Study(**plain(arms={"grid": FIXED, "searched": {**block, **changes.pop("block", {})}}, seeds=3, **changes))


def rows(config: TrialConfig) -> list[Row]:
    distance = abs(float(getattr(config.temperature, "value", 0)) - BEST)
    if 9 < distance < 10:  # T from 13 to 14 diverges
        return []
    top1 = 90 - distance + 0.1 * config.seed
    row: Row = {"epoch": 1, "time_ms": 1, "val_loss": 0.1, "val_top1": top1, "test_loss": 0.1, "test_top1": top1 - 1}
    return [{**row, "epoch_seconds": 2.0, "device_seconds": 2.0, "eval_seconds": 1.0, "tflop": 0.5}]


TABLE = InlineRunner(tabulated(rows))


@dataclasses.dataclass(frozen=True)
class Dying:
    """A driver that dies after some trials, perhaps in the middle of one."""

    trials: int

    def __call__(self, queue: TrialQueue, context: LaunchContext) -> None:
        runner = tabulated(rows)
        for _ in range(self.trials):
            if (pending := queue.pull()) is not None:
                runner(pending.config, context.folder.trial(pending.id), lambda row: None)
                queue.ended(pending.id)
        queue.pull()
        raise KeyboardInterrupt


def run(asked: Study, folder: Path, runner: Runner = TABLE, retry: bool = False) -> Outcome:
    """Run a study without MLflow, which takes most of the time."""
    return launch(StudyState(asked.spec, Storage.at(str(folder))), runner, Console(quiet=True), retry=retry)


def tried(outcome: Outcome) -> dict[tuple[str, int], list[tuple[int | None, str, float | None]]]:
    """By arm and seed: number, setting and accuracy of each trial."""
    found: dict[tuple[str, int], list[tuple[int | None, str, float | None]]] = {}
    for each in sorted(outcome.manifests.values(), key=lambda manifest: (manifest.suggestion or 0, manifest.trial)):
        summary = each.summary
        found.setdefault((each.arm, each.seed), []).append((each.suggestion, each.setting, summary.val_top1))
    return found


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return run(study(), tmp_path_factory.mktemp("undisturbed"))


def test_every_seed_searches_anew(undisturbed: Outcome) -> None:
    found = tried(undisturbed)
    assert not undisturbed.unfinished
    assert undisturbed.trials == undisturbed.plan.size == 3 * (3 + 8)
    for seed in range(3):
        assert [number for number, _, _ in found["searched", seed]] == list(range(1, 9))
        assert len({setting for _, setting, _ in found["searched", seed]}) == 8
    assert len({tuple(found["searched", seed]) for seed in range(3)}) == 3


@pytest.mark.parametrize("trials", [0, 4, 13, 30])
def test_a_killed_search_goes_on_as_if_nothing_had_happened(undisturbed: Outcome, trials: int, tmp_path: Path) -> None:
    killed = run(study(), tmp_path, Dying(trials))
    assert killed.unfinished
    assert len(killed.manifests) == trials
    again = run(study(), tmp_path)
    assert tried(again) == tried(undisturbed)
    assert again.trained == 33 - trials


def test_more_settings_keep_those_that_were_tried(undisturbed: Outcome, tmp_path: Path) -> None:
    few = run(study(search={"settings": 5}), tmp_path)
    assert {key: found[:5] for key, found in tried(undisturbed).items()} == tried(few)
    assert tried(run(study(), tmp_path)) == tried(undisturbed)
    fewer = study(search={"settings": 5}).compare(str(tmp_path))
    assert [summary.strategy.trials for summary in fewer.summaries] == [9, 15]
    assert [summary.strategy.missing for summary in fewer.summaries] == [0, 0]


def test_searches_of_all_seeds_run_side_by_side(tmp_path: Path) -> None:
    state = StudyState(study().spec, Storage.at(str(tmp_path))).read()
    found = [(trial.arm, trial.seed) for trial in due(state.spec, state.manifests)]
    assert found == [(arm, seed) for seed in range(3) for arm in ("grid", "grid", "grid", "searched")]


def test_a_search_is_compared_as_a_strategy(undisturbed: Outcome) -> None:
    folder = str(undisturbed.state.storage.location)
    found = study().compare(folder)
    assert found.baseline == "grid"
    grid_row, row = values(found)
    assert (grid_row["searched_by"], row["searched_by"]) == (None, "tpe")
    assert grid_row["settings"] == ["T=1", "T=4", "T=16"]
    assert row["settings"] == [setting for seed in range(3) for _, setting, _ in tried(undisturbed)["searched", seed]]
    assert row["trials"] == 24
    assert row["failed"] == sum(top1 is None for seed in range(3) for *_, top1 in tried(undisturbed)["searched", seed])
    for seed, kept in enumerate(row["selected"]):
        trials = tried(undisturbed)["searched", seed]
        assert kept == max((top1, setting) for _, setting, top1 in trials if top1 is not None)[1]
    assert row["cost"]["device_seconds"] == pytest.approx(2.0 * (24 - row["failed"]) / 3)
    assert "searched (best of 8 by tpe)" in found.sentence


def test_a_plan_counts_what_will_be_suggested(tmp_path: Path) -> None:
    plan, estimate = study().plan(str(tmp_path)), study().estimate(str(tmp_path))
    assert (plan.size, len(plan.trials)) == (33, 12)
    assert [(arm.arm, arm.settings, arm.trials) for arm in estimate.arms] == [("grid", 3, 9), ("searched", 8, 24)]
    console = Console(file=io.StringIO(), width=100)
    show_plan(plan, estimate, [], console)
    assert "33 trials" in console.file.getvalue()  # type: ignore[attr-defined]
    found = json.loads(json.dumps(plan_as_json(plan, estimate, [])))
    assert [each["suggestion"] for each in found["trials"] if each["seed"] == 0] == [None, None, None, 1]
    assert found["size"] == 33


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"search": {"by": "random"}}, 'arms.searched.search.by: "tpe" -> "random"'),
        ({"search": {"startup": 4}}, "arms.searched.search.startup: 3 -> 4"),
        ({"value": loguniform(1, 8)}, "arms.searched.temperature.value.loguniform: [1.0, 16.0] -> [1.0, 8.0]"),
        ({"block": {"recipe": {"lr": 0.2}}}, 'arms.searched.recipe: null -> {"lr": 0.2}'),
    ],
    ids=["sampler", "startup", "range", "something else"],
)
def test_a_changed_search_is_refused(undisturbed: Outcome, changes: dict[str, Any], line: str) -> None:
    with pytest.raises(ChangedStudyError) as caught:
        run(study(**changes), Path(undisturbed.state.storage.location))
    assert f"{line}    (24 trials, e.g. searched-" in str(caught.value)


def test_a_search_does_not_go_on_from_a_grid(tmp_path: Path) -> None:
    value = {"temperature": {"kind": "fixed", "value": grid(1, 4)}}
    run(Study(**plain(arms={"grid": FIXED, "searched": value})), tmp_path)
    with pytest.raises(ChangedStudyError, match=r'arms\.searched: null -> {"temperature"'):
        run(study(), tmp_path)


def test_a_failed_trial_keeps_its_place_when_it_is_tried_again(tmp_path: Path) -> None:
    asked = study(value=loguniform(12, 15), search={"settings": 6})
    first = run(asked, tmp_path)
    assert first.failed
    again = run(asked, tmp_path, retry=True)
    assert again.trained == len(first.failed)
    assert tried(again) == tried(first)
