"""From plan to verdict in seconds: the inline runner with tabulated results, and small studies trained for real."""

import io
import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from ctkd_study import Study, StudyError, grid
from ctkd_study.errors import ChangedStudyError, LeaseError
from ctkd_study.launch import InlineRunner, tabulated
from ctkd_study.records import Launch, StudyFolder
from ctkd_study.report import terminal
from ctkd_study.report.html import page
from tests.support import settings
from tests.support.studies import plain
from trainables import record
from trainables.config import TrialConfig
from trainables.models import MODELS
from trainables.record import Row
from trainables.storage import Storage

BASE: dict[str, Any] = {
    "name": "tabulated",
    "data": {"name": "digits", "validation": 200, "train_examples": 300},
    "teacher": {"model": "resnet20", "checkpoint": "teacher.pth"},
    "student": settings.STUDENT,
    "recipe": settings.RECIPE,
    "distiller": {"name": "kd"},
    "seeds": 8,
    "margin": 1.0,
    "arms": {
        "grid": {"temperature": {"kind": "fixed", "value": grid(1, 2, 4, 8)}},
        "global": {"temperature": {"kind": "global"}},
    },
}


@pytest.fixture
def storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    torch.save(MODELS.parse({"model": "resnet20"}).build(10, 1, 8).state_dict(), tmp_path / "teacher.pth")
    return str(tmp_path / "results")


def rows(val: float, test: float, seconds: float) -> list[Row]:
    """Two epochs; the second is the better one."""
    return [
        {
            "epoch": epoch,
            "time_ms": 1_700_000_000_000 + epoch,
            "val_loss": 1.0 - val / 100,
            "val_top1": val - (2 - epoch),
            "test_loss": 1.0 - test / 100,
            "test_top1": test - (2 - epoch),
            "epoch_seconds": seconds,
            "device_seconds": seconds,
            "eval_seconds": 0.5,
            "tflop": epoch * seconds / 10,
        }
        for epoch in (1, 2)
    ]


def table(config: TrialConfig) -> list[Row]:
    """T = 4 is best on validation and third on test; the curriculum about equals what the grid keeps."""
    temperature = config.temperature
    assert temperature is not None
    noise = math.sin(config.seed) / 10
    if getattr(temperature, "kind", "") == "global":
        return rows(95.0, 90.0 + noise + 0.2 * math.cos(3 * config.seed), 3.0)
    value = float(getattr(temperature, "value", 0.0))
    val = {1.0: 91.0, 2.0: 94.0, 4.0: 96.0, 8.0: 95.0}[value]
    test = {1.0: 92.0, 2.0: 91.0, 4.0: 90.0, 8.0: 89.0}[value]
    return rows(val, test + noise, 2.0)


def test_strategies_pay_and_select_as_the_table_says(storage: str) -> None:
    study = Study(**BASE)
    outcome = study.run(storage, runner=InlineRunner(tabulated(table)))
    assert not outcome.failed
    assert not outcome.unfinished
    found = study.compare(storage)
    by_name = {summary.strategy.name: summary for summary in found.summaries}
    assert {replicate.selected for replicate in by_name["grid"].strategy.replicates} == {"T=4"}
    assert by_name["grid"].test_top1.mean == pytest.approx(90.0 + sum(math.sin(seed) for seed in range(8)) / 80)
    cost = by_name["grid"].cost
    assert cost is not None
    assert (cost.device_seconds, cost.tflop) == pytest.approx((4 * 4.0, 4 * 0.4))
    ratio = by_name["global"].cost_ratio
    assert ratio is not None
    assert ratio.tflop is not None
    assert ratio.device_seconds is not None
    assert (ratio.device_seconds.ratio, ratio.tflop.ratio) == pytest.approx((6.0 / 16.0, 0.6 / 1.6))
    (pair,) = found.pairs
    assert pair.verdict == "not_worse"
    assert "not worse than grid" in found.sentence


def test_another_metric_needs_its_margin_and_is_no_look(storage: str) -> None:
    study = Study(**BASE)
    study.run(storage, runner=InlineRunner(tabulated(table)))
    with pytest.raises(StudyError, match=r"with --metric nll, give another, in nats, with --margin"):
        study.compare(storage, metric="nll")
    found = study.compare(storage, metric="nll", margin=0.005)
    assert found.sentence.startswith("Exploratory: ")
    # The rows' loss is 1 - accuracy / 100.
    accuracy = study.compare(storage)
    assert accuracy.looks == 1, "the first look at the declared metric"
    assert found.pairs[0].difference == pytest.approx((accuracy.pairs[0].difference or 0) / 100)
    with pytest.raises(ChangedStudyError, match="the metric is declared at the first run, as 'top1', but is now 'nll'"):
        Study(**{**BASE, "metric": "nll", "margin": 0.01}).compare(storage)


def test_the_grids_trials_replay_other_searches(storage: str) -> None:
    study = Study(**BASE)
    study.run(storage, runner=InlineRunner(tabulated(table)))
    comparison = study.compare(storage)
    found = {replay.name: replay for replay in study.replays(comparison, storage)}
    grid = comparison.summaries[0]
    whole = found["random 4 of 4"]
    assert (whole.test_top1, whole.cost) == (grid.test_top1, grid.cost)
    # Of two epochs, the first is the rung: halving keeps two of four, then one; validation accuracy orders them alike.
    halved = found["halving by 4: 4 x 1, 1 x 2 epochs"]
    assert halved.test_top1.mean == pytest.approx(grid.test_top1.mean)
    assert halved.cost.device_seconds == pytest.approx((4 + 1) * 2.0)


def test_a_wide_spread_is_undecided_and_says_how_many_more_seeds(storage: str) -> None:
    def spread(config: TrialConfig) -> list[Row]:
        wide = 2.0 * (-1) ** config.seed
        return rows(95.0, 90.0 + (wide if getattr(config.temperature, "kind", "") == "global" else 0.0), 1.0)

    study = Study(**BASE)
    study.run(storage, runner=InlineRunner(tabulated(spread)))
    found = study.compare(storage)
    assert found.pairs[0].verdict == "undecided"
    assert found.pairs[0].more_seeds is not None
    assert f"{found.pairs[0].more_seeds} more seeds" in found.sentence


def test_a_failed_setting_is_not_selected_and_not_run_again_by_itself(storage: str) -> None:
    def partly(config: TrialConfig) -> Sequence[Row]:
        return [] if getattr(config.temperature, "value", None) == 4.0 and config.seed == 0 else table(config)

    study = Study(**BASE)
    outcome = study.run(storage, runner=InlineRunner(tabulated(partly)))
    assert list(outcome.failed.values()) == ["no reason given"]
    strategy = study.compare(storage).summaries[0].strategy
    assert strategy.replicates[0].selected == "T=8"
    assert len(strategy.failed) == 1
    again = study.run(storage, runner=InlineRunner(tabulated(table)))
    assert again.trained == 0, "a failed trial is not retried by itself"
    retried = study.run(storage, retry=True, runner=InlineRunner(tabulated(table)))
    assert (retried.trained, retried.failed) == (1, {})


def test_published_accuracies_stand_beside_the_studys_own(tmp_path: Path) -> None:
    def by_seed(config: TrialConfig) -> list[Row]:
        return rows(70.0, 70.5 + config.seed / 10, 1.0)[1:]

    study = Study(
        **{
            **plain(arms={"alone": {"distiller": {"name": "none"}}}),
            "teacher": None,
            "protocol": "paper",
            "data": {"name": "digits", "validation": 0},
            "published": {"source": "Somebody, 2023", "student": 70.1},
        }
    )
    storage = str(tmp_path / "results")
    study.run(storage, runner=InlineRunner(tabulated(by_seed)))
    console = Console(file=io.StringIO(), width=120)
    terminal.show(study.compare(storage), console)
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    assert "- alone: published 70.10 / here 70.60 ± 0.25 (Somebody, 2023)." in printed
    assert "published 70.10 / here 70.60" in page(study.compare(storage))


def test_yaml_and_python_give_the_same_trials(tmp_path: Path) -> None:
    study = Study(
        name="quickstart",
        data={"name": "digits", "validation": 250, "train_examples": 300},
        teacher={"model": "resnet20", "recipe": {"epochs": 25}},
        student={"model": "resnet8", "widths": [4, 4, 8, 16]},
        recipe={"epochs": 30, "batch_size": 32, "lr": 0.05, "schedule": {"kind": "cosine"}},
        distiller={"name": "kd"},
        seeds=10,
        vary={"teacher": 10, "split": 10},
        margin=1.5,
        arms={
            "grid": {"temperature": {"kind": "fixed", "value": grid(1, 2, 4, 8, 16)}},
            "global": {"temperature": {"kind": "global"}, "curriculum": {"kind": "cosine", "epochs": 10}},
        },
    )
    path = tmp_path / "study.yaml"
    path.write_text(json.dumps(study.spec.plain()))
    ours, theirs = study.plan().trials, Study.from_file(path).plan().trials
    assert len(ours) == 60
    assert [(t.id, t.config.fingerprint()) for t in ours] == [(t.id, t.config.fingerprint()) for t in theirs]
    shipped = {t.id: t.config.fingerprint() for t in Study.from_file("studies/digits/quickstart.yaml").plan().trials}
    for trial in ours:
        # The hash is over the arm's own keys, and this one leaves λ's bounds at their defaults.
        if trial.arm == "grid":
            assert shipped[trial.id] == trial.config.fingerprint()


def test_trained_for_real_then_more_seeds_then_fresh(tmp_path: Path) -> None:
    storage = str(tmp_path / "results")
    small = {**BASE, "name": "small", "teacher": settings.TEACHER, "seeds": 1}
    small["data"] = {"name": "digits", "validation": 100, "train_examples": 100}
    first = Study(**small).run(storage, runner=InlineRunner())
    assert first.trained == 5
    more = Study(**{**small, "seeds": 2, "margin": 5.0}).run(storage, runner=InlineRunner())
    assert (more.trained, more.attempt) == (5, 2)
    assert {key: m for key, m in more.manifests.items() if key in first.manifests} == first.manifests
    assert Study.named("small", storage).compare(storage).question.seeds == (0, 1)
    with pytest.raises(StudyError, match=r"recipe\.lr: 0\.05 -> 0\.1"):
        Study(**{**small, "recipe": {**settings.RECIPE, "lr": 0.1}}).run(storage, runner=InlineRunner())
    fresh = Study(**{**small, "recipe": {**settings.RECIPE, "lr": 0.1}}).run(storage, fresh=True, runner=InlineRunner())
    assert fresh.trained == 5
    kept = Storage.at(storage).within("small.1")
    assert record.scan(kept.within(next(iter(first.manifests)))).newest is not None
    estimate = Study.named("small", storage).estimate(storage)
    assert {arm.basis for arm in estimate.arms} == {"1 finished trial"}
    assert estimate.teacher_seconds is None


def test_a_network_that_cannot_take_the_images_is_refused_before_anything_runs(tmp_path: Path) -> None:
    study = Study(**{**BASE, "student": {"model": "MobileNetV2"}, "teacher": settings.TEACHER})
    with pytest.raises(StudyError, match="arm grid"):
        study.run(str(tmp_path), runner=InlineRunner())
    assert not (tmp_path / "tabulated").exists()


def test_one_driver_at_a_time(storage: str) -> None:
    study = Study(**BASE)
    with Launch(StudyFolder(Storage.at(storage), "tabulated")), pytest.raises(LeaseError) as refused:
        study.run(storage, runner=InlineRunner(tabulated(table)))
    assert f"(process {os.getpid()})" in str(refused.value)
    assert study.run(storage, runner=InlineRunner(tabulated(table))).trained == 40
