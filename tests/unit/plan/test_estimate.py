"""What a plan will take: sums over arms, settings and seeds, from finished trials and from timed steps."""

import dataclasses
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from ctkd_study import Study
from ctkd_study.launch.inline import InlineRunner
from ctkd_study.plan.due import Plan, make_plan
from ctkd_study.plan.estimate import ArmEstimate, BankEstimate, Estimate, estimate
from ctkd_study.plan.timing import Range, StepTimer
from ctkd_study.spec import from_mapping
from tests.support import settings
from tests.support.banks import CROP
from tests.support.studies import plain
from trainables import preparation
from trainables.config import RunOptions, TrialConfig
from trainables.data import Arrays
from trainables.probe import PerImage
from trainables.record import Manifest, Summary

ROUNDS = [PerImage(training, 0.0005, 0.0001, 2e-6) for training in (0.001, 0.004, 0.002)]
"""Seconds and TFLOP per image."""
TRAINED, EVALUATED = 900 * 3, (100 + 797) * 3
"""Images of a trial: three epochs on digits, of whose 1,000 examples 100 are held out."""
GRID = {"temperature": {"kind": "fixed", "value": {"grid": [1, 2]}}}
FOUR = {"temperature": {"kind": "fixed", "value": 4}}
WALL = Range(
    (0.001 + 0.0005) * TRAINED + 0.0001 * EVALUATED,
    (0.002 + 0.0005) * TRAINED + 0.0001 * EVALUATED,
    (0.004 + 0.0005) * TRAINED + 0.0001 * EVALUATED,
)
"""Of a trial."""
TIMED = "3 timed rounds of 4 steps on this machine"


class FakeProbe:
    """Tells literal times, and remembers what it was asked."""

    def __init__(self, plan: Plan, gpu: float = 0.0, cores: float = 2.0) -> None:
        self.timed: list[TrialConfig] = []
        self.looked: list[TrialConfig] = []
        self.timer = StepTimer(plan.spec.data, gpu, cores, self._steps, self._looks)

    def _steps(self, config: TrialConfig, arrays: Arrays) -> Sequence[PerImage]:
        assert (len(arrays.train_labels), len(arrays.test_labels)) == (1000, 797)
        self.timed.append(config)
        return ROUNDS

    def _looks(self, config: TrialConfig, arrays: Arrays) -> Sequence[float]:
        self.looked.append(config)
        return [0.01, 0.03, 0.02]


def plan_of(**changes: Any) -> Plan:
    """Three seeds of three epochs; the teacher's outputs come from a bank."""
    return make_plan(from_mapping(plain(**{"teacher_source": "bank32", **changes})))


def span(low: float, middle: float, high: float) -> Any:
    """What a range must nearly be."""
    return pytest.approx((low, middle, high))


def numbers(of: Range | None) -> tuple[float, float, float]:
    assert of is not None
    return dataclasses.astuple(of)


def record(plan: Plan, number: int, status: Any = "finished", **summary: Any) -> dict[str, Manifest]:
    """A record of one of a plan's trials."""
    trial = plan.trials[number]
    manifest = Manifest(
        study="small",
        uid="uid",
        trial=trial.id,
        arm=trial.arm,
        setting=trial.setting.label,
        seed=trial.seed,
        fingerprint="f",
        config={},
        attempt=1,
        epoch=3,
        epochs=3,
        status=status,
        summary=Summary(**summary),
    )
    return {trial.id: manifest}


@pytest.mark.parametrize(
    ("values", "expected"),
    [([3.0], (3, 3, 3)), ([5.0, 1.0, 2.0], (1, 2, 5)), ([4.0, 1.0, 8.0, 2.0], (1, 3, 8))],
)
def test_a_range_lies_around_the_median(values: list[float], expected: tuple[float, ...]) -> None:
    assert dataclasses.astuple(Range.of(values)) == expected


def test_ranges_are_scaled_and_added() -> None:
    assert Range(1, 2, 4) * 3 == Range(3, 6, 12)
    assert Range(1, 2, 4) + Range(10, 20, 30) == Range(11, 22, 34)
    assert Range() == Range(0, 0, 0)


def test_timed_steps_are_summed_over_settings_and_seeds() -> None:
    plan = plan_of(arms={"grid": GRID, "four": FOUR}, price_per_device_hour=7.2)
    probe = FakeProbe(plan)
    grid, four = estimate(plan, {}, 1, teachers_missing=0, timer=probe.timer).arms
    assert (grid.arm, grid.settings, grid.trials, grid.basis) == ("grid", 2, 6, TIMED)
    assert (four.arm, four.settings, four.trials, four.basis) == ("four", 1, 3, TIMED)
    assert grid.tflop == pytest.approx(6 * 2e-6 * TRAINED)
    assert four.tflop == pytest.approx(3 * 2e-6 * TRAINED)
    # Two cores a trial.
    assert numbers(grid.device_seconds) == span(6 * 5.4, 6 * 10.8, 6 * 21.6)
    assert numbers(four.device_seconds) == span(3 * 5.4, 3 * 10.8, 3 * 21.6)
    assert numbers(grid.wall_seconds) == pytest.approx(numbers(WALL * 6))
    assert grid.money == pytest.approx(6 * 10.8 / 3600 * 7.2)
    assert len(probe.timed) == 1, "T's value changes no work: one kind of trial is timed once"


def test_kinds_of_trials_are_timed_apart() -> None:
    plan = plan_of(arms={"four": FOUR, "alone": {"distiller": {"name": "none"}}})
    probe = FakeProbe(plan)
    estimate(plan, {}, 1, teachers_missing=0, timer=probe.timer)
    assert [config.distiller.plain()["name"] for config in probe.timed] == ["kd", "none"]


def test_without_a_price_there_is_no_money() -> None:
    plan = plan_of()
    (arm,) = estimate(plan, {}, 1, teachers_missing=0, timer=FakeProbe(plan).timer).arms
    assert arm.money is None
    free = plan_of(price_per_device_hour=0.0)
    (arm,) = estimate(free, {}, 1, teachers_missing=0, timer=FakeProbe(free).timer).arms
    assert arm.money == 0.0


def test_epochs_and_training_subset_count() -> None:
    plan = plan_of(
        data={"name": "digits", "validation": 100, "train_examples": 50},
        arms={"four": {**FOUR, "recipe": {"epochs": 7}}},
    )
    (arm,) = estimate(plan, {}, 1, teachers_missing=0, timer=FakeProbe(plan).timer).arms
    assert arm.tflop == pytest.approx(3 * 2e-6 * 50 * 7)
    assert arm.wall_seconds.middle == pytest.approx(3 * (0.0025 * 50 * 7 + 0.0001 * 897 * 7))


@pytest.mark.parametrize(("gpu", "share", "device"), [(0.0, 2.0, "cpu"), (0.25, 0.25, "auto"), (2.0, 2.0, "auto")])
def test_device_seconds_are_of_the_share_that_a_trial_is_given(gpu: float, share: float, device: str) -> None:
    plan = plan_of()
    probe = FakeProbe(plan, gpu)
    found = estimate(plan, {}, 1, teachers_missing=0, timer=probe.timer)
    assert found.arms[0].device_seconds.middle == pytest.approx(3 * 0.002 * TRAINED * share)
    assert found.arms[0].wall_seconds.middle == pytest.approx(3 * WALL.middle)
    assert [config.numerics.device for config in (*probe.timed, *probe.looked)] == [device, device]


def test_cores_are_those_of_the_study() -> None:
    assert plan_of(numerics={"threads": 3}).spec.cores_per_trial == 3.0
    assert plan_of(numerics={"threads": 3}, resources={"cpu": 1.5}).spec.cores_per_trial == 1.5


# -- from records ----------------------------------------------------------------------------------------------------


def test_a_setting_with_finished_trials_costs_what_they_cost() -> None:
    plan = plan_of(seeds=4)
    records = {
        **record(plan, 0, tflop=1.0, device_seconds=10.0, epoch_seconds=5.0, eval_seconds=0.5, teacher_seconds=0.25),
        **record(plan, 1, tflop=3.0, device_seconds=40.0, epoch_seconds=20.0, eval_seconds=2.0, teacher_seconds=1.0),
        **record(plan, 2, tflop=2.0, device_seconds=20.0, epoch_seconds=10.0, eval_seconds=1.0, teacher_seconds=0.5),
        **record(plan, 3, status="running", tflop=99.0, device_seconds=999.0),
    }
    probe = FakeProbe(plan)
    (arm,) = estimate(plan, records, 1, teachers_missing=0, timer=probe.timer).arms
    assert (arm.tflop, arm.trials, arm.basis) == (8.0, 4, "3 finished trials")
    assert numbers(arm.device_seconds) == (40.0, 80.0, 160.0)
    assert numbers(arm.wall_seconds) == (23.0, 46.0, 92.0)
    assert probe.timed == []
    (arm,) = estimate(plan, dict(list(records.items())[:2]), 1, teachers_missing=0, timer=probe.timer).arms
    assert (arm.tflop, arm.basis) == (8.0, "2 finished trials")


@pytest.mark.parametrize("status", ["running", "failed"])
def test_only_finished_trials_say_what_a_trial_costs(status: str) -> None:
    plan = plan_of()
    (arm,) = estimate(plan, record(plan, 0, status), 1, teachers_missing=0, timer=FakeProbe(plan).timer).arms
    assert arm.basis == TIMED


def test_a_setting_is_not_priced_by_its_neighbours() -> None:
    """An arm's name may begin another's, and one setting of a grid may be finished before the other."""
    plan = plan_of(arms={"a": GRID, "a-b": FOUR}, seeds=2)
    two = next(number for number, trial in enumerate(plan.trials) if trial.setting.label == "T=2")
    records = record(plan, two, tflop=5.0, device_seconds=1.0, epoch_seconds=2.0)
    a, other = estimate(plan, records, 1, teachers_missing=0, timer=FakeProbe(plan).timer).arms
    assert a.tflop == pytest.approx(2 * 5.0 + 2 * 2e-6 * TRAINED)
    assert a.device_seconds.middle == pytest.approx(2 * 1.0 + 2 * 10.8)
    assert a.wall_seconds.middle == pytest.approx(2 * 2.0 + 2 * WALL.middle)
    assert a.basis == f"1 finished trial; {TIMED}"
    assert (other.trials, other.basis) == (2, TIMED)


# -- slots and the teacher -------------------------------------------------------------------------------------------


def test_slots_share_the_trials_and_the_bank_but_wait_for_the_teacher() -> None:
    cost: dict[str, Any] = {
        "tflop": 1.0,
        "device_seconds": Range(),
        "settings": 1,
        "trials": 1,
        "money": None,
        "basis": "",
    }
    walls = {"a": Range(10, 20, 40), "b": Range(2, 4, 8)}
    arms = tuple(ArmEstimate(arm=name, wall_seconds=wall, **cost) for name, wall in walls.items())
    bank = BankEstimate("bank32", 9, 3, Range(4, 8, 16))
    assert Estimate(arms, 4, None).wall_seconds == Range(3, 6, 12)
    assert Estimate(arms, 4, None, bank).wall_seconds == Range(4, 8, 16)
    assert Estimate(arms, 4, Range(100, 200, 400), bank).wall_seconds == Range(104, 208, 416)


def test_the_teacher_is_a_trial_on_all_examples_that_validation_leaves() -> None:
    changes: dict[str, Any] = {
        "data": {"name": "digits", "validation": 100, "train_examples": 50},
        "arms": {"alone": {"distiller": {"name": "none"}}, "four": FOUR},
    }
    plan = plan_of(**changes)
    found = estimate(plan, {}, 1, teachers_missing=1, timer=FakeProbe(plan).timer)
    assert found.teacher_seconds is not None
    assert found.teacher_seconds.low == pytest.approx(0.0015 * 900 * 2 + 0.0001 * 897 * 2), "two epochs"
    assert found.slots == 1
    assert estimate(plan, {}, 5, teachers_missing=0, timer=FakeProbe(plan).timer).teacher_seconds is None


def test_teachers_of_groups_are_trained_as_many_at_once_as_slots() -> None:
    plan = plan_of(seeds=5, vary={"teacher": 5})
    one, five, wide = (
        estimate(plan, {}, slots, teachers_missing=missing, timer=FakeProbe(plan).timer)
        for slots, missing in ((2, 1), (2, 5), (10, 5))
    )
    assert numbers(five.teacher_seconds) == span(*numbers(one.teacher_seconds and one.teacher_seconds * 2.5))
    assert wide.teacher_seconds == one.teacher_seconds


def test_groups_are_advised_from_the_cost_of_a_teacher_and_of_a_seed() -> None:
    plan = plan_of(seeds=5, vary={"teacher": 5}, numerics={"threads": 2})
    timed = estimate(plan, {}, 1, teachers_missing=5, timer=FakeProbe(plan).timer).advice
    assert timed is not None
    training, views = 2 * 0.002 * 900 * 2, 2 * 0.02 * 900
    assert timed.seed_seconds == pytest.approx(2 * 0.002 * TRAINED)
    assert timed.group_seconds == pytest.approx(training + views)
    known = estimate(plan, {}, 1, teachers_missing=0, timer=FakeProbe(plan).timer, trained=7.0).advice
    assert known is not None
    assert known.group_seconds == 7.0
    assert estimate(plan, {}, 1, teachers_missing=0, timer=FakeProbe(plan).timer).advice is None, "none is trained"


def test_a_teacher_that_no_arm_uses_or_that_is_a_file_takes_no_time(tmp_path: Path) -> None:
    alone = plan_of(arms={"alone": {"distiller": {"name": "none"}}})
    found = estimate(alone, {}, 1, teachers_missing=1, timer=FakeProbe(alone).timer)
    assert (found.teacher_seconds, found.bank) == (None, None)
    loaded = plan_of(teacher={"model": "resnet8", "checkpoint": str(tmp_path / "t.pth")}, teacher_source="online")
    assert estimate(loaded, {}, 1, teachers_missing=1, timer=FakeProbe(loaded).timer).teacher_seconds is None


# -- the bank --------------------------------------------------------------------------------------------------------


def test_a_bank_takes_a_look_at_each_pair_that_it_lacks(tmp_path: Path) -> None:
    plan = plan_of(
        arms={"grid": GRID, "alone": {"distiller": {"name": "none"}}, "long": {**FOUR, "recipe": {"epochs": 5}}}
    )
    bank = estimate(plan, {}, 1, 0, str(tmp_path), timer=FakeProbe(plan).timer).bank
    assert bank is not None
    # Digits have one view; the student sees 900 examples, three seeds, two settings of three epochs and one of five.
    assert (bank.source, bank.reads, bank.pairs) == ("bank32", 900 * 3 * (3 + 3 + 5), 900)
    assert numbers(bank.seconds) == span(9.0, 18.0, 27.0)


def test_an_online_teacher_fills_no_bank(tmp_path: Path) -> None:
    plan = plan_of(teacher_source="online")
    probe = FakeProbe(plan)
    bank = estimate(plan, {}, 1, 0, str(tmp_path), timer=probe.timer).bank
    assert bank == BankEstimate("online", 8100, 0, Range())
    assert probe.looked == []
    maps = plan_of(distiller={"name": "sp"}, teacher_source="online")
    assert estimate(maps, {}, 1, 0, str(tmp_path), timer=FakeProbe(maps).timer).bank is None


def test_the_banks_text() -> None:
    online = BankEstimate("online", 1_234_567, 0, Range())
    full = BankEstimate("bank16", 8100, 0, Range())
    empty = BankEstimate("bank32", 8100, 1900, Range(1.0, 12.34, 30.0))
    assert str(online) == "The teacher runs online, 1,234,567 images in all: a bank would save too little or not fit."
    assert str(full) == "All of the 8,100 reads of the teacher's outputs are in its bank."
    assert str(empty) == "The teacher's outputs are read 8,100 times; its bank takes 1,900 more looks, about 12 s."


@pytest.mark.parametrize("distiller", ["kd", "pkt"])
def test_a_bank_serves_distillers_of_logits_and_of_pooled_vectors(tmp_path: Path, distiller: str) -> None:
    plan = plan_of(distiller={"name": distiller})
    bank = estimate(plan, {}, 1, 0, str(tmp_path), timer=FakeProbe(plan).timer).bank
    assert bank is not None
    assert (bank.reads, bank.pairs) == (8100, 900)


def test_where_the_data_is_not_at_hand_the_bank_is_taken_for_empty(tmp_path: Path) -> None:
    far = {"name": "cifar100", "validation": 5000, "folder": str(tmp_path / "elsewhere")}
    for source, pairs in (("bank16", 395_143), ("online", 0)):
        plan = plan_of(data=far, teacher_source=source)
        timer = StepTimer(plan.spec.data, 0.0, 1.0, lambda config, arrays: ROUNDS, lambda config, arrays: [0.001])
        bank = estimate(plan, {}, 1, 0, str(tmp_path), timer=timer).bank
        assert bank is not None
        # 45,000 examples of 162 views, nine epochs in all: 162 (1 - (161 / 162)^9) = 8.78 different views each.
        assert (bank.reads, bank.pairs) == (405_000, pairs)
        assert bank.seconds.middle == pytest.approx(pairs / 1000)
    long = plan_of(data=far, teacher_source="bank16", arms={"four": FOUR, "long": {**FOUR, "recipe": {"epochs": 5}}})
    bank = estimate(long, {}, 1, 0, str(tmp_path), timer=timer).bank
    assert bank is not None
    # Fifteen epochs: 162 (1 - (161 / 162)^15) = 14.37 different views each.
    assert (bank.reads, bank.pairs) == (1_080_000, 646_599)


# -- failures --------------------------------------------------------------------------------------------------------


def test_an_arm_that_diverges_is_named_and_the_others_are_estimated() -> None:
    hot = {**FOUR, "recipe": {"lr": 1000.0, "weight_decay": 1.0}}
    plan = make_plan(from_mapping(plain(arms={"hot": hot, "four": FOUR}, student=settings.STUDENT)))
    found = estimate(plan, {}, 1, teachers_missing=0)
    assert [arm.arm for arm in found.arms] == ["four"]
    (fault,) = found.faults
    assert re.match(r"arm hot: the timed steps failed: .*\w+_loss is (nan|inf) in epoch \d", fault)


def _broken(config: TrialConfig, arrays: Arrays) -> Any:
    raise KeyError("lost")


LOST = f"KeyError: 'lost' ({__file__}:{_broken.__code__.co_firstlineno + 1} in _broken)"


@pytest.mark.parametrize(
    ("probe", "arms", "expected"),
    [
        ({"steps": _broken}, 0, f"arm four: the timed steps failed: {LOST}"),
        ({"looks": _broken}, 1, f"teacher: the timed images failed: {LOST}"),
    ],
)
def test_a_plug_ins_error_names_what_failed_and_where(
    tmp_path: Path, probe: dict[str, Callable[..., Any]], arms: int, expected: str
) -> None:
    plan = plan_of()
    parts: dict[str, Any] = {"steps": lambda config, arrays: ROUNDS, "looks": lambda config, arrays: [0.01], **probe}
    found = estimate(plan, {}, 1, 0, str(tmp_path), timer=StepTimer(plan.spec.data, 0.0, 1.0, **parts))
    assert found.faults == (expected,)
    assert len(found.arms) == arms
    assert (found.bank is None) == (arms == 1), "what failed has no estimate"


def test_a_teacher_whose_steps_fail_is_named(tmp_path: Path) -> None:
    plan = plan_of()

    def steps(config: TrialConfig, arrays: Arrays) -> Sequence[PerImage]:
        return ROUNDS if config.teacher is not None else _broken(config, arrays)

    timer = StepTimer(plan.spec.data, 0.0, 1.0, steps, lambda config, arrays: [0.01])
    found = estimate(plan, {}, 1, teachers_missing=1, teachers=str(tmp_path), timer=timer)
    assert found.faults == (f"teacher: the timed steps failed: {LOST}",)
    assert (len(found.arms), found.teacher_seconds) == (1, None)


def test_an_arm_that_is_known_to_fail_is_not_timed(tmp_path: Path) -> None:
    plan = plan_of(arms={"grid": GRID, "four": FOUR})
    probe = FakeProbe(plan)
    found = estimate(plan, {}, 1, 0, str(tmp_path), timer=probe.timer, faulty={"grid": "arm grid: it is broken"})
    assert [arm.arm for arm in found.arms] == ["four"]
    assert found.faults == ("arm grid: it is broken",)


# -- on this machine -------------------------------------------------------------------------------------------------


def test_steps_are_timed_without_the_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    study = Study(
        **plain(
            data={"name": "cifar100", "validation": 5000},
            student=settings.STUDENT,
            teacher=settings.TEACHER,
            recipe={"epochs": 3, "batch_size": 4},
            teacher_source="bank16",
        )
    )
    found = study.estimate(str(tmp_path / "results"))
    (arm,) = found.arms
    assert arm.basis == TIMED
    assert 0 < arm.device_seconds.low <= arm.device_seconds.middle <= arm.device_seconds.high
    assert arm.wall_seconds.low > arm.device_seconds.low, "with evaluation, on one core"
    assert found.bank is not None
    assert found.bank.pairs == 395_143
    assert found.bank.seconds.low > 0
    assert list(tmp_path.iterdir()) == [], "nothing was downloaded or written"


def test_a_share_of_a_gpu_is_what_steps_are_charged_for() -> None:
    plan = plan_of(student=settings.STUDENT, teacher_source="online", numerics={"device": "cpu"})
    (shared,) = estimate(plan, {}, 1, teachers_missing=0, gpu=0.01).arms
    (whole,) = estimate(plan, {}, 1, teachers_missing=0).arms
    assert shared.device_seconds.high < 0.02 * shared.wall_seconds.low
    assert whole.device_seconds.high > 0.1 * whole.wall_seconds.low


def test_the_timed_arithmetic_is_that_of_the_trials(tmp_path: Path) -> None:
    ours = Study(**plain(student=settings.STUDENT, teacher=settings.TEACHER, seeds=1))
    before, outcome = ours.estimate(str(tmp_path)), ours.run(str(tmp_path), runner=InlineRunner())
    (arm,), (manifest,) = before.arms, outcome.manifests.values()
    assert arm.tflop == pytest.approx(manifest.summary.tflop)
    after = ours.estimate(str(tmp_path))
    assert (after.arms[0].basis, after.teacher_seconds) == ("1 finished trial", None)
    assert after.arms[0].device_seconds.middle == manifest.summary.device_seconds


def test_a_bank_that_is_filled_takes_no_more_looks(tmp_path: Path) -> None:
    plan = make_plan(from_mapping(plain(data=CROP, teacher_source="bank16", seeds=1, recipe={"epochs": 1})))
    run = RunOptions(teachers=str(tmp_path / "filled"))
    preparation.ensure(plan.trials[0].config.model_copy(update={"run": run}))
    timer = StepTimer(plan.spec.data, 0.0, 1.0, lambda config, arrays: ROUNDS, lambda config, arrays: [0.001])
    pairs = {}
    for place in ("filled", "empty"):
        bank = estimate(plan, {}, 1, 0, str(tmp_path / place), timer=timer).bank
        assert bank is not None
        pairs[place] = bank.pairs
    assert pairs == {"filled": 0, "empty": 40}
