"""A trial is tied to the data and the teacher that it was trained on."""

import dataclasses
from pathlib import Path

import pytest
import torch

from tests.support import tiny
from tests.support.trials import save
from trainables.config import TrialConfig
from trainables.inputs import ChangedInputs, Inputs
from trainables.materials import Materials
from trainables.trial import MaterialSource, Trial


def made_of(data: str, teacher: str) -> MaterialSource:
    def materials(config: TrialConfig, device: torch.device) -> Materials:
        return dataclasses.replace(tiny.materials(), inputs=Inputs(data, teacher))

    return materials


def test_a_manifest_names_what_the_trial_was_made_of(tmp_path: Path) -> None:
    manifest = save(Trial(tiny.trial(), made_of("d" * 64, "t" * 64)), tmp_path).manifest
    assert (manifest.data, manifest.teacher) == ("d" * 64, "t" * 64)


@pytest.mark.parametrize(("data", "teacher"), [("e" * 64, "t" * 64), ("d" * 64, "u" * 64)])
def test_other_data_and_another_teacher_are_refused(data: str, teacher: str, tmp_path: Path) -> None:
    found = save(Trial(tiny.trial(), made_of("d" * 64, "t" * 64)), tmp_path)
    with pytest.raises(ChangedInputs, match="since this trial was trained"):
        Trial(tiny.trial(), made_of(data, teacher)).restore(found)
    run = tiny.trial().run.model_copy(update={"data": "d" * 64, "weights": "t" * 64})
    config = tiny.trial().model_copy(update={"run": run})
    with pytest.raises(ChangedInputs, match="since the study's other trials were trained"):
        Trial(config, made_of(data, teacher))
    Trial(config, made_of("d" * 64, "t" * 64)).restore(found)


def test_a_trial_knows_whether_it_is_saved() -> None:
    trial = Trial(tiny.trial(), made_of("d", "t"))
    assert trial.is_saved is False
    trial.saved()
    assert trial.is_saved is True
    trial.step()
    assert trial.is_saved is False
