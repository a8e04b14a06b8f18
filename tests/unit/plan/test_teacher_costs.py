"""What a strategy pays for the teacher: its training, and its own seed's looks."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from ctkd_study import Study, StudyError
from ctkd_study.analysis import Charges
from ctkd_study.launch import InlineRunner
from ctkd_study.plan import StudyState, read_data, teacher_charges
from tests.support.banks import BASE
from trainables import preparation, teacher
from trainables.bank import BANKS, needed
from trainables.data import split
from trainables.flops import forward_flops
from trainables.storage import Storage

ARMS = {name: BASE["arms"][name] for name in ("two", "alone")}


def run(folder: Path, **changes: Any) -> Study:
    study = Study(**{**BASE, "arms": ARMS, "teacher_source": "bank32", **changes})
    assert not study.run(str(folder), runner=InlineRunner()).failed
    return study


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Study]:
    folder = tmp_path_factory.mktemp("ran")
    return folder, run(folder)


def state(folder: Path, study: Study) -> StudyState:
    return StudyState(study.spec, Storage.at(str(folder))).read()


def charges(folder: Path, study: Study) -> Charges:
    return teacher_charges(state(folder, study))


def test_a_seed_pays_for_the_training_and_for_the_pairs_that_its_trials_read(ran: tuple[Path, Study]) -> None:
    folder, study = ran
    found, here = charges(folder, study), state(folder, study)
    assert set(found) == {("two", 0), ("two", 1)}, "no teacher, no charge"
    trained, (data,) = here.teacher_records()[0].manifest.summary, read_data(here.plan)
    members = split(data.arrays.train_labels, study.spec.data).student
    pairs = len(needed({0: 3}, members, 1000, study.spec.data.views.count))
    options = here.teacher_configs[0].teacher
    assert options is not None
    look = forward_flops(options.network().build(10, 1, 8), 1, 8) / 1e12
    validated = trained.eval_tflop * 100 / 897  # of 100 validation and 797 test examples
    assert found["two", 0].tflop == pytest.approx(trained.tflop + validated + pairs * look, rel=0.01)
    bank = study.bank(str(folder))
    assert bank is not None
    looks = found["two", 0].device_seconds - trained.device_seconds - trained.eval_seconds * 100 / 897
    assert looks == pytest.approx(bank.device_seconds * pairs / bank.pairs, rel=0.05)
    assert pairs < 0.6 * bank.pairs, "half of the bank is the other seed's"
    run_by_others = (here.teacher_configs[0].model_copy(update={"seed": seed}) for seed in range(2, 6))
    teachers = {"run": here.teacher_configs[0].run.model_copy(update={"teachers": str(folder)})}
    preparation.ensure_banked([config.model_copy(update=teachers) for config in run_by_others])
    larger = study.bank(str(folder))
    assert larger is not None
    assert larger.pairs > 2 * bank.pairs
    assert charges(folder, study)["two", 0].tflop == pytest.approx(found["two", 0].tflop), "whoever else reads the bank"


@pytest.mark.thorough
def test_groups_of_seeds_pay_for_their_own_teacher(tmp_path: Path) -> None:
    study = run(tmp_path, seeds=5, vary={"teacher": 5, "split": 5})
    found, records = charges(tmp_path, study), state(tmp_path, study).teacher_records()
    seconds = [records[group].manifest.summary.device_seconds for group in range(5)]
    paid = [found["two", seed].device_seconds for seed in range(5)]
    # Each also pays its looks, whose seconds differ from group to group as the machine goes.
    assert all(own < each < sum(seconds) for own, each in zip(seconds, paid, strict=True))
    lost = next(iter(state(tmp_path, study).teacher_records().items()))
    shutil.rmtree(lost[1].storage.location)
    with pytest.raises(StudyError, match=rf"the record of its training of group {lost[0]} is lost or damaged"):
        charges(tmp_path, study)


@pytest.mark.parametrize(
    ("folder", "what"), [(teacher.TEACHERS, "the record of its training is lost"), (BANKS, "the bank is lost")]
)
def test_a_lost_record_is_refused_and_never_free(
    ran: tuple[Path, Study], tmp_path: Path, folder: str, what: str
) -> None:
    (before, study), storage = ran, tmp_path / "copy"
    shutil.copytree(before, storage)
    paid, plain = (study.compare(str(storage), charge_teacher=each).summaries[0].cost for each in (True, False))
    assert paid is not None
    assert plain is not None
    assert paid.tflop > plain.tflop
    shutil.rmtree(storage / folder)
    with pytest.raises(StudyError, match=what):
        study.compare(str(storage), charge_teacher=True)
    assert study.compare(str(storage)).summaries[0].cost == plain
