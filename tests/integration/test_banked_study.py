"""A study on Ray fills its teacher's bank in parts, before the trials that read it, and once."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ray import tune

from ctkd_study import Study, StudyError
from ctkd_study.launch import InlineRunner, RetryPolicy
from tests.support.banks import BASE, banked
from tests.support.trials import same
from tests.support.tuning import space, tuned
from trainables import record
from trainables.bank import BANKS
from trainables.storage import Storage

pytestmark = pytest.mark.usefixtures("ray_cluster")


def manifests(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(file.read_text()) for file in (folder / BANKS).rglob("segment.json")]


@pytest.mark.thorough
def test_a_study_fills_its_bank_in_parts_and_reads_what_an_inline_run_does(tmp_path: Path) -> None:
    study = Study(**BASE)
    on_ray, inline = tmp_path / "ray", tmp_path / "inline"
    outcome = study.run(str(on_ray))
    assert (outcome.trained, outcome.failed, outcome.unfinished) == (6, {}, {})
    assert {m.config["teacher_source"] for m in outcome.manifests.values()} == {"bank16", None}
    made = manifests(on_ray)
    assert len(made) == 2, "two cores, two parts"
    keys = np.concatenate([np.load(file) for file in (on_ray / BANKS).rglob("keys.npy")])
    assert len(keys) == len(np.unique(keys)) == sum(each["cost"]["pairs"] for each in made)
    study.run(str(inline), runner=InlineRunner())
    for trial in study.plan().trials:
        ours, theirs = (
            record.scan(Storage.at(str(folder)).within("banked", trial.id)).newest for folder in (on_ray, inline)
        )
        assert ours is not None
        assert theirs is not None
        same(ours, theirs)
    more = Study(**{**BASE, "seeds": 3}).run(str(on_ray))
    assert (more.trained, more.failed) == (3, {})
    assert len(manifests(on_ray)) > len(made), "the new seed sees new views"


def test_a_bank_that_cannot_be_filled_stops_what_needs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    impatient = RetryPolicy(tries=2, first_pause=0.1)
    monkeypatch.setattr("ctkd_study.launch.queue.RetryPolicy", lambda: impatient)
    (tmp_path / BANKS).write_text("a file where a folder must be")
    with pytest.raises(StudyError, match=r"the teacher could not be made ready: .*banks"):
        Study(**BASE).run(str(tmp_path))
    stored = Storage.at(str(tmp_path)).within("banked")
    finished = {trial.arm for trial in Study(**BASE).plan().trials if record.scan(stored.within(trial.id)).newest}
    assert finished == {"alone"}


def test_a_reused_actor_in_a_plain_tuner_reads_the_pairs_of_its_own_seed(tmp_path: Path) -> None:
    config = {**space(banked(tmp_path)), "seed": tune.grid_search([0, 1, 2])}
    results = tuned(config, tmp_path / "tune")
    assert {(result.metrics or {})["status"] for result in results} == {"finished"}
    assert len({(result.metrics or {})["pid"] for result in results}) == 1
