"""What is looked at of a study's trials, and when they form a balanced design."""

import itertools
from pathlib import Path

import numpy as np
from rich.console import Console

from ctkd_study.analysis.factors import Design, FinishedTrial, finished_trials
from ctkd_study.launch.inline import InlineRunner, tabulated
from ctkd_study.launch.loop import launch
from ctkd_study.plan import StudyState
from ctkd_study.spec import from_mapping
from tests.support.designs import product
from tests.support.studies import plain
from trainables.config import TrialConfig
from trainables.record import Row
from trainables.storage import Storage


def test_the_options_of_the_arms_that_differ_are_looked_at(tmp_path: Path) -> None:
    def rows(config: TrialConfig) -> list[Row]:
        if config.seed == 2:
            return []  # it fails
        row: Row = {"epoch": 1, "val_loss": 0.1, "val_top1": 90.0, "test_loss": 0.1, "test_top1": 80.0 + config.seed}
        return [{**row, "time_ms": 1, "epoch_seconds": 1.0, "device_seconds": 1.0, "eval_seconds": 0.0, "tflop": 1.0}]

    (tmp_path / "t.pth").write_bytes(b"never opened")
    curriculum = {"kind": {"grid": ["cosine", "step"]}, "end": {"grid": [1, 2]}}
    arms = {
        "fixed": {"temperature": {"kind": "fixed", "value": 4}},
        "spans": {"temperature": {"kind": "global"}, "curriculum": curriculum},
        "each": {"temperature": {"kind": "instance"}, "curriculum": {"kind": "cosine"}},
    }
    teacher = {"model": "resnet8", "checkpoint": str(tmp_path / "t.pth")}
    state = StudyState(from_mapping(plain(teacher=teacher, arms=arms)), Storage.at(str(tmp_path / "results")))
    plan, outcome = state.plan, launch(state, InlineRunner(tabulated(rows)), Console(quiet=True))
    found = finished_trials([trial for trial in plan.trials if trial.arm == "spans"], outcome.manifests)
    assert [(point.seed, dict(point.options), point.test_top1) for point in found] == [
        (seed, {"curriculum.kind": kind, "curriculum.end": end}, 80.0 + seed)
        for seed, kind, end in itertools.product((0, 1), ("cosine", "step"), ("1", "2"))
    ], "the third seed failed"
    both = finished_trials([trial for trial in plan.trials if trial.arm != "fixed"], outcome.manifests)
    assert set(both[0].options) == {"temperature.kind", "curriculum.kind", "curriculum.end"}
    assert finished_trials([], outcome.manifests) == []


def test_a_whole_product_is_a_design_in_any_order() -> None:
    found = product(lambda end, kind, seed: 100 * seed + 10 * int(end) + "abc".index(kind), seeds=2)
    for trials in (found, found[:1] + found[:0:-1]):
        design = Design.of(trials)
        assert design is not None
        assert {key: sorted(values) for key, values in design.options.items()} == {"end": [*"123"], "kind": [*"abc"]}
        for place in np.ndindex(2, 3, 3):
            end, kind = design.options["end"][place[1]], design.options["kind"][place[2]]
            top1 = 100 * design.seeds[place[0]] + 10 * int(end) + "abc".index(kind)
            assert design.test[place] == top1
            assert design.validation is not None
            assert design.validation[place] == top1 - 1
        assert (design.settings, design.dropped) == (9, ())


def test_a_seed_that_lacks_a_setting_is_left_out() -> None:
    found = product(lambda end, kind, seed: 80.0 + seed, seeds=3)
    design = Design.of([trial for trial in found if (trial.seed, *trial.options.values()) != (1, "2", "b")])
    assert design is not None
    assert (design.seeds, design.dropped) == ((0, 2), (1,))
    assert design.test.mean(axis=(1, 2)).tolist() == [80.0, 82.0]


def test_a_value_that_never_finished_is_no_part_of_the_design() -> None:
    design = Design.of([trial for trial in product(lambda *_: 80.0) if trial.options["end"] == "1"])
    assert design is not None
    assert design.options == {"kind": ("a", "b", "c")}
    one = Design.of([FinishedTrial(seed, {"end": "1"}, 80.0) for seed in range(3)])
    assert one is not None
    assert (dict(one.options), one.test.shape, one.settings, one.validation) == ({}, (3,), 1, None)


def test_what_is_not_balanced_is_no_design() -> None:
    found = product(lambda *_: 80.0)
    assert Design.of([]) is None
    assert Design.of([trial for trial in found if trial.seed == 0]) is None, "one seed"
    assert Design.of([trial for trial in found if tuple(trial.options.values()) != ("2", "b")]) is None, "no product"
    assert Design.of([*found, found[0]]) is None, "a setting twice"
    searched = [FinishedTrial(seed, {"end": str(seed / 7 + n)}, 80.0) for seed in range(3) for n in range(4)]
    assert Design.of(searched) is None, "each seed has settings of its own"
