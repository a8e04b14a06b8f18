"""A trial goes on only with the data and the teacher that it began with, and only with those of its study."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from tests.support import tiny
from trainables import record
from trainables.config import TrialConfig
from trainables.inputs import ChangedInputs, Inputs, short
from trainables.record import Checkpoint, Run
from trainables.recorded import RecordedTrial
from trainables.storage import Storage
from trainables.trial import MaterialSource, Trial

A, B = "a" * 64, "b" * 64
OLD = Inputs(A, A)


def source(inputs: Inputs) -> MaterialSource:
    return lambda config, device: dataclasses.replace(tiny.materials(), inputs=inputs)


def begun(folder: Path, config: TrialConfig, inputs: Inputs = OLD) -> Checkpoint:
    """A trial with one recorded epoch."""
    trial, storage = Trial(config, source(inputs)), Storage.at(str(folder))
    trial.step()
    run = Run.begin(storage, record.scan(storage), None)
    run.save(trial.manifest(), trial.contents())
    newest = record.scan(storage).newest
    assert newest is not None
    return newest


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        (Inputs(), Inputs(A, B), []),
        (OLD, Inputs(), []),
        (OLD, OLD, []),
        (OLD, Inputs(B, A), ["data (content): aaaaaaaaaaaa -> bbbbbbbbbbbb"]),
        (Inputs(A), Inputs(A, B), []),
        (OLD, Inputs(None, B), ["teacher (weights): aaaaaaaaaaaa -> bbbbbbbbbbbb"]),
    ],
)
def test_only_what_is_known_on_both_sides_differs(before: Inputs, now: Inputs, expected: list[str]) -> None:
    assert before.differences(now) == expected
    if expected:
        with pytest.raises(ChangedInputs, match=r"changed since it began: .*--retry, or start anew with --fresh"):
            before.require(now, "it began")
    else:
        before.require(now, "it began")


def test_the_unknown_is_taken_from_others() -> None:
    assert Inputs(A).or_else(Inputs(B, B)) == Inputs(A, B)
    assert Inputs().or_else(OLD) == OLD
    assert short(A) == "aaaaaaaaaaaa"


def test_the_record_states_data_and_teacher(tmp_path: Path) -> None:
    manifest = begun(tmp_path, tiny.trial(), Inputs(A, B)).manifest
    assert (manifest.data, manifest.teacher) == (A, B)


@pytest.mark.parametrize("now", [Inputs(B, A), Inputs(A, B)])
def test_a_trial_does_not_go_on_with_other_data_or_another_teacher(tmp_path: Path, now: Inputs) -> None:
    newest = begun(tmp_path, tiny.trial())
    Trial(tiny.trial(), source(OLD)).restore(newest)
    with pytest.raises(ChangedInputs, match="changed since this trial was trained: "):
        Trial(tiny.trial(), source(now)).restore(newest)


@pytest.mark.parametrize("expected", [{"data": B}, {"weights": B}])
def test_a_trial_does_not_begin_with_other_inputs_than_its_studys(expected: dict[str, Any]) -> None:
    ours = tiny.trial(run={"data": A, "weights": A})
    assert Trial(ours, source(OLD)).status == "running"
    theirs = tiny.trial(run={"data": A, "weights": A, **expected})
    with pytest.raises(ChangedInputs, match="changed since the study's other trials were trained: "):
        Trial(theirs, source(OLD))
    assert ours.fingerprint() == theirs.fingerprint() == tiny.trial().fingerprint(), "no part of it"


def test_a_trial_whose_data_changed_fails_with_advice_and_goes_on_once_the_data_is_back(tmp_path: Path) -> None:
    """Neither interrupted for ever, nor trained on, nor lost."""
    storage = Storage.at(str(tmp_path))
    first = begun(tmp_path, tiny.trial())
    steps = [RecordedTrial(tiny.trial(), source(Inputs(B, A)), storage).step() for _ in range(2)]
    assert [step.status for step in steps] == ["interrupted", "failed"]
    assert "data (content): aaaaaaaaaaaa -> bbbbbbbbbbbb. Put back" in steps[1].reason
    failed = record.scan(storage).newest
    assert failed is not None
    assert (failed.manifest.status, failed.manifest.epoch) == ("failed", 1)
    assert (failed.manifest.data, failed.manifest.fingerprint) == (A, first.manifest.fingerprint)
    again = tiny.trial(run={"attempt": 9, "retry": True})
    step = RecordedTrial(again, source(OLD), storage).step()
    assert (step.status, step.row and step.row["epoch"]) == ("running", 2)
