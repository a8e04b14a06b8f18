"""Jobs: which one a configuration asks for, and what is kept from one to the next."""

import contextlib
import os
import shutil
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support import settings
from tests.support.banks import banked
from trainables import jobs, preparation, teacher
from trainables.bank import BANKS, unbanked
from trainables.data import Loaded
from trainables.data.digits import DigitsOptions
from trainables.faults import Interrupted
from trainables.inputs import DownloadFailed, MissingInput
from trainables.lease import Lease
from trainables.storage import NotAFile, Storage

CPU = torch.device("cpu")


def unused(*arguments: Any) -> Any:
    raise AssertionError("this job reads no data")


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        ({"stand_by": True}, jobs.StandBy),
        ({"prepare": [{}]}, jobs.Prepare),
        ({"prepare": [{}], "shard": (1, 2)}, jobs.Prepare),
        ({"stand_by": False}, jobs.TrainUnrecorded),
        ({"run": {"folder": "/nowhere"}}, jobs.TrainRecorded),
    ],
)
def test_the_keys_of_a_configuration_choose_the_job(tmp_path: Path, config: dict[str, Any], kind: type) -> None:
    plain = settings.trial(tmp_path, arm="alone").plain()
    if "prepare" in config:
        config = {**config, "prepare": [plain]}
    elif not config.get("stand_by"):
        config = {**plain, **{key: value for key, value in config.items() if key in plain}}
    assert type(job := jobs.choose(config, jobs.KeptMaterials())) is kind
    assert job.is_recorded == (kind is jobs.TrainRecorded)


def test_other_configurations_are_refused() -> None:
    with pytest.raises(ValueError, match="this configuration is not a trial's"):
        jobs.choose({"stand_by": False}, unused)


def last(config: dict[str, Any]) -> jobs.Report:
    """The last report of a job."""
    job = jobs.choose(config, unused)
    while not (report := job.step()).ended:
        pass
    return report


def test_preparing_says_how_far_it_is_and_falls_silent_when_it_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "REPORT_SECONDS", 0.01)
    goes_on, real = threading.Event(), preparation.ensure_banked

    def hangs(*arguments: Any, **named: Any) -> None:
        assert goes_on.wait(60)
        real(*arguments, **named)

    monkeypatch.setattr(preparation, "ensure_banked", hangs)
    job = jobs.choose({"prepare": [banked(tmp_path, epochs=1).plain()]}, unused)
    while (report := job.step()).values["signs"] < 2:  # the teacher's epochs
        assert report.values["status"] == "running"
    signs = [job.step().values for _ in range(20)][-1]
    assert (signs["status"], signs["signs"]) == ("running", 2)
    assert 0 < signs["longest"] < 60
    goes_on.set()
    while not (report := job.step()).ended:
        pass
    assert report.values == {"status": "finished", "reason": ""}


def test_who_waits_for_another_process_does_not_fall_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "REPORT_SECONDS", 0.01)
    config, found = banked(tmp_path, epochs=1), list[int]()
    folder = teacher.folder_of(config, Storage.at(str(tmp_path)), Loaded.of(config.data).for_teacher().sha256)
    job = jobs.choose({"prepare": [config.plain()]}, unused)
    with Lease(Storage.at(str(tmp_path)).within(preparation.LEASES, folder.name)):
        until = time.monotonic() + 60
        while len(set(found)) < 3:
            assert time.monotonic() < until
            found.append(job.step().values["signs"])
    while not (report := job.step()).ended:
        pass
    assert report.values["status"] == "finished"


@pytest.mark.parametrize("what", ["data", "checkpoint"])
def test_a_missing_file_of_the_users_ends_preparing_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    config = banked(tmp_path)
    if what == "data":
        missing = FileNotFoundError(2, "No such file or directory", str(tmp_path / "digits.npz"))
        monkeypatch.setattr(DigitsOptions, "load", lambda options: (_ for _ in ()).throw(missing))
    else:
        plain = config.plain()
        gone = {"model": "resnet8", "checkpoint": str(tmp_path / "gone.pt")}
        config = jobs.parse({**plain, "teacher": gone})
    report = last({"prepare": [config.plain()]})
    assert report.values["status"] == "failed"
    assert report.values["reason"].startswith("MissingInput: [Errno 2] No such file or directory: ")
    assert str(tmp_path) in report.values["reason"]


def odd(how: str, path: Path) -> None:
    """Put something else in a file's place."""
    path.unlink()
    match how:
        case "pipe":
            os.mkfifo(path)
        case "socket":
            with socket.socket(socket.AF_UNIX) as made, contextlib.chdir(path.parent):
                made.bind(path.name)
        case "link":
            path.symlink_to("/dev/zero")
        case "folder":
            path.mkdir()


@pytest.mark.parametrize(
    ("how", "file"),
    [(how, "segment.json") for how in ("pipe", "socket", "link", "folder")]
    + [("pipe", name) for name in ("logits.npy", "start.json", "manifest.json", "best.pt")],
)
def test_what_is_no_file_in_a_bank_or_teacher_is_repaired_at_once(prepared: Path, how: str, file: str) -> None:
    config = banked(prepared, epochs=1)
    for path in sorted(prepared.rglob(file)):
        odd(how, path)
    assert last({"prepare": [config.plain()]}).values == {"status": "finished", "reason": ""}
    assert unbanked([config]) == 0


def test_what_is_no_file_in_the_place_of_a_lease_is_refused_at_once(tmp_path: Path) -> None:
    config = banked(tmp_path, epochs=1)
    assert last({"prepare": [config.plain()]}).values["status"] == "finished"
    for path in (tmp_path / preparation.LEASES).glob("*-0-of-1/000001.json"):
        odd("pipe", path)
    shutil.rmtree(tmp_path / BANKS)
    report = last({"prepare": [config.plain()]})
    assert report.values["status"] == "failed"
    assert "000001.json is no ordinary file" in report.values["reason"]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepared")
    preparation.ensure(banked(folder, epochs=1))
    return folder


@pytest.fixture
def prepared(kept: Path, tmp_path: Path) -> Path:
    """A storage with a teacher and its bank."""
    shutil.copytree(kept, tmp_path / "storage")
    return tmp_path / "storage"


def test_a_shard_fills_its_part_of_the_bank(tmp_path: Path) -> None:
    config = banked(tmp_path, epochs=2)
    missing = []
    for shard in ([0, 2], [0, 2], [1, 2]):
        assert last({"prepare": [config.plain()], "shard": shard}).values["status"] == "finished"
        missing.append(unbanked([config]))
    assert missing[0] == missing[1] > 0, "the same part twice"
    assert missing[2] == 0


def test_a_fault_in_preparing_is_reported_not_raised(tmp_path: Path) -> None:
    (tmp_path / BANKS).write_text("a file where a folder must be")
    report = last({"prepare": [banked(tmp_path).plain()]})
    assert (report.ended, report.ends_process) == (True, False)
    assert report.values["status"] == "interrupted", "it may pass"
    assert BANKS in report.values["reason"]


@pytest.mark.parametrize(
    ("fault", "status", "ends_process"),
    [
        (OSError("gone"), "interrupted", False),
        (Interrupted("OSError: gone"), "interrupted", False),
        (MemoryError("gone"), "interrupted", True),
        (RuntimeError("gone"), "failed", False),
        (MissingInput("gone"), "failed", False),
        (DownloadFailed("gone"), "interrupted", False),
        (NotAFile("gone"), "failed", False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_what_preparing_raises_is_told_by_its_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception, status: str, ends_process: bool
) -> None:
    def broken(*arguments: Any, **named: Any) -> None:
        raise fault

    monkeypatch.setattr(preparation, "ensure_trained", broken)
    report = last({"prepare": [banked(tmp_path).plain()]})
    assert (report.ended, report.values["status"], report.ends_process) == (True, status, ends_process)
    assert "gone (" in report.values["reason"]


def test_materials_are_kept_for_the_next_trial_that_reads_the_same(tmp_path: Path) -> None:
    kept = jobs.KeptMaterials()
    first = kept(banked(tmp_path, seed=0), CPU)
    hotter = banked(tmp_path, seed=0, temperature={"kind": "fixed", "value": 9})
    assert kept(hotter, CPU) is first
    more = kept(banked(tmp_path, seed=1), CPU)
    assert more is not first, "another seed reads other pairs of the bank"
    alone = settings.trial(tmp_path, arm="alone")
    without = kept(alone, CPU)
    assert without.source is None
    assert kept(settings.trial(tmp_path, seed=5, arm="alone"), CPU) is without
    fewer = settings.trial(tmp_path, arm="alone", data={"name": "digits", "validation": 100, "train_examples": 50})
    assert len(kept(fewer, CPU).split.student) == 50


def test_a_wrong_configuration_names_every_fault() -> None:
    data = {"name": "digits", "validation": 10, "colour": 1}
    with pytest.raises(ValueError, match="this configuration is not a trial's") as error:
        jobs.parse({"seed": "0", "data": data, "recipe": {}})
    for key in ("seed", "data.digits.colour", "recipe.epochs", "student"):
        assert key in str(error.value)
