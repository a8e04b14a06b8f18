"""Nothing mixes: trials, teachers and banks are told apart by what they were made from, in processes of their own."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support import settings
from tests.support.banks import BASE, CROP
from tests.support.plugins import edit_noise, install_noise
from trainables.bank import BANKS, drawn
from trainables.data import Loaded
from trainables.storage import Storage
from trainables.teacher import TEACHERS

ROOT = Path(__file__).parents[2]
STUDENT = {"model": "resnet8", "widths": [2, 2, 2, 2]}
STUDY: dict[str, Any] = {
    "name": "small",
    "data": {"name": "noise", "validation": 50},
    "teacher": {**STUDENT, "recipe": {"epochs": 1}},
    "student": STUDENT,
    "recipe": {"epochs": 2},
    "distiller": {"name": "kd"},
    "teacher_source": "bank32",
    "seeds": 2,
    "margin": 5,
    "arms": {"four": {"temperature": {"kind": "fixed", "value": 4}}, "alone": {"distiller": {"name": "none"}}},
}
#: Runs a study file in this process, without Ray.
INLINE = """
import sys
from ctkd_study import Study
from ctkd_study.launch.inline import InlineRunner
outcome = Study.from_file(sys.argv[1]).run(sys.argv[2], runner=InlineRunner(), fresh="--fresh" in sys.argv)
assert not outcome.failed and not outcome.unfinished, (outcome.failed, outcome.unfinished)
"""


def process(*arguments: str, path: str = "", **environment: str) -> subprocess.Popen[str]:
    known = {**os.environ, "PYTHONPATH": f"{ROOT}:{path}", "OMP_NUM_THREADS": "1", **environment}
    pipes: Mapping[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen([sys.executable, *arguments], env=known, cwd=ROOT, **pipes)


def said_by(running: subprocess.Popen[str], status: int = 0) -> str:
    said, _ = running.communicate(timeout=170)
    assert running.returncode == status, said
    return said


def manifests(folder: Path) -> dict[str, dict[str, Any]]:
    """The newest manifest of each trial, by id."""
    files = sorted(folder.glob("*/run-*/checkpoint_*/manifest.json"))
    return {file.parts[-4]: json.loads(file.read_text()) for file in files}


# -- a data set's code is edited --------------------------------------------------------------------------------------


@pytest.mark.thorough
@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_data_sets_edited_code_is_refused_and_started_anew_with_a_teacher_of_its_own(tmp_path: Path) -> None:
    """Attack 4a: `run` said "0 ran" with the old verdict; one more seed mixed; the teacher was the old one's."""
    site, results, file = tmp_path / "site", tmp_path / "results", tmp_path / "study.yaml"
    install_noise(site, 1)
    file.write_text(json.dumps(STUDY))

    def command(*arguments: str) -> subprocess.Popen[str]:
        words = ("-m", "ctkd_study.cli", arguments[0], str(file), "--storage", str(results), *arguments[1:])
        return process(*words, path=str(site))

    said_by(command("run"))
    old = manifests(results / "small")
    assert len(old) == 4
    assert len({each["data"] for each in old.values()}) == 1
    assert {each["teacher"] for key, each in old.items() if key.startswith("alone")} == {None}
    assert len({each["teacher"] for key, each in old.items() if key.startswith("four")}) == 1

    edit_noise(site, 2)
    for arguments in (["run"], ["run", "--set", "seeds=3"], ["compare"], ["sync"]):
        said = said_by(command(*arguments), 2)
        assert 'code.data: "noise_part ' in said
        assert "(4 trials, e.g. " in said
        assert ("data (content): " in said) == (arguments[0] == "run"), "read by a run alone"
        assert "Traceback" not in said
    assert manifests(results / "small") == old, "nothing was run"

    said_by(process("-c", INLINE, str(file), str(results), "--fresh", path=str(site)))
    new = manifests(results / "small")
    assert new.keys() == old.keys()
    for key in ("data", "fingerprint"):
        assert {each[key] for each in new.values()}.isdisjoint({each[key] for each in old.values()})
    assert {each["teacher"] for each in new.values()} & {each["teacher"] for each in old.values()} == {None}
    assert len(list((results / TEACHERS).iterdir())) == len(list((results / BANKS).iterdir())) == 2

    edit_noise(site, 1)
    said = said_by(command("compare"), 2)
    assert "code.data: " in said, "the old code is refused now"


@pytest.mark.thorough
@pytest.mark.slow
def test_a_declared_version_lets_code_be_edited_but_not_the_data(tmp_path: Path) -> None:
    site, results, file = tmp_path / "site", tmp_path / "results", tmp_path / "study.yaml"
    install_noise(site, 1)
    part = site / "noise_part.py"
    declared = (
        part.read_text()
        .replace("from typing import", "from typing import ClassVar,")
        .replace("class Noise(DataOptions):\n", 'class Noise(DataOptions):\n    version: ClassVar[str] = "1"\n')
    )
    file.write_text(json.dumps({**STUDY, "arms": {"alone": STUDY["arms"]["alone"]}}))

    def run(code: str, status: int = 0) -> str:
        part.write_text(code)
        return said_by(process("-c", INLINE, str(file), str(results), path=str(site)), status)

    run(declared)
    before = manifests(results / "small")
    assert {each["config"]["code"]["data"] for each in before.values()} == {"noise_part version 1"}
    run(declared + "\n# only a comment\n")
    assert manifests(results / "small") == before
    said = run(declared.replace("SEED = 1", "SEED = 20"), 1)
    assert "ChangedStudyError" in said
    assert "data (content): " in said
    assert "code.data" not in said


# -- several processes and one storage --------------------------------------------------------------------------------

#: What makes a folder an object store, and this process one of a machine of its own.
MACHINE = """
import sys
from obstore.store import LocalStore
from trainables import lease
from trainables.storage import objects
objects._bucket = lambda scheme, bucket: LocalStore(sys.argv[1], mkdir=True)
lease._machine = lambda: sys.argv[2]
lease._RENEW_SECONDS = 0.5
"""
PREPARE = (
    MACHINE
    + """
import json
from trainables import preparation
from trainables.config import TrialConfig
rows = []
preparation.ensure(TrialConfig.model_validate(json.loads(sys.argv[3])), rows.append)
print("epochs:", len(rows))
"""
)


def trial(teachers: str, **changes: Any) -> Any:
    teacher = {**settings.STUDENT, "recipe": {**settings.RECIPE, "epochs": 12}}
    return settings.trial(
        Path("unused"),
        **{
            "data": {**CROP, "train_examples": 100},
            "teacher": teacher,
            "recipe": {**settings.RECIPE, "epochs": 6},
            "run": {"teachers": teachers},
            **changes,
        },
    )


def pairs(config: Any) -> int:
    data = Loaded.of(config.data)
    return len(drawn([config], data.arrays, data.split))


@pytest.mark.slow
def test_two_machines_that_share_an_object_store_train_one_teacher_and_fill_one_bank(tmp_path: Path) -> None:
    """They had each a lock of their own, in the home folder."""
    config = trial("s3://bucket/results")
    running = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        arguments = ("-c", PREPARE, str(tmp_path / "store"), name, json.dumps(config.plain()))
        running.append(process(*arguments, HOME=str(tmp_path / name), XDG_CACHE_HOME=str(tmp_path / name)))
    epochs = sorted(int(said_by(each).rpartition("epochs:")[2]) for each in running)
    assert epochs == [0, 12]
    results = tmp_path / "store" / "results"
    assert len(list((results / TEACHERS).glob("*/run-*"))) == 1
    segments = [json.loads(file.read_text()) for file in (results / BANKS).glob("*/*/segment.json")]
    assert sum(each["cost"]["pairs"] for each in segments) == pairs(config)


@pytest.mark.slow
def test_two_studies_at_once_that_share_a_storage_train_one_teacher(tmp_path: Path) -> None:
    running = []
    for name in ("first", "second"):
        file = tmp_path / f"{name}.yaml"
        teacher = {**settings.STUDENT, "recipe": {**settings.RECIPE, "epochs": 12}}
        file.write_text(json.dumps({**BASE, "name": name, "teacher": teacher, "teacher_source": "bank32"}))
        tracking = f"sqlite:///{tmp_path / name}.db"
        code = INLINE.replace("runner=", f"tracking_uri={tracking!r}, runner=")
        running.append(process("-c", code, str(file), str(tmp_path / "results")))
    for each in running:
        said_by(each)
    (home,) = (tmp_path / "results" / TEACHERS).iterdir()
    assert [path.name for path in home.glob("run-*")] == ["run-000001-001"]
    (bank,) = (tmp_path / "results" / BANKS).iterdir()
    found = [manifests(tmp_path / "results" / name) for name in ("first", "second")]
    weights = {each["teacher"] for part in found for each in part.values()} - {None}
    assert {each[:16] for each in weights} == {bank.name.partition("-")[0]}
    assert {key: each["summary"]["test_top1"] for key, each in found[0].items()} == {
        key: each["summary"]["test_top1"] for key, each in found[1].items()
    }


SHARDS = (
    MACHINE
    + """
import json, pathlib
from trainables import preparation
from trainables.bank import Bank, filling
from trainables.config import TrialConfig
filling._SEGMENT_ROWS = 100
config = TrialConfig.model_validate(json.loads(sys.argv[3]))
preparation.ensure_trained(config)
if sys.argv[4] == "hangs":
    write, written = Bank.write, []
    def writes(*arguments):
        if len(written) == 2:
            pathlib.Path(sys.argv[5]).touch()
            __import__("time").sleep(600)
        written.append(1)
        return write(*arguments)
    Bank.write = writes
for shard in (0, 1):
    preparation.ensure_banked([config], shard, 2)
"""
)


@pytest.mark.thorough
@pytest.mark.slow
def test_a_process_killed_while_it_fills_a_part_of_a_bank_is_taken_over(tmp_path: Path) -> None:
    config, sign = trial("s3://bucket/results"), tmp_path / "two segments are written"

    def fill(store: str, how: str) -> subprocess.Popen[str]:
        arguments = ("-c", SHARDS, str(tmp_path / store), "machine", json.dumps(config.plain()), how, str(sign))
        return process(*arguments, HOME=str(tmp_path), XDG_CACHE_HOME=str(tmp_path / store / "cache"))

    killed, until = fill("store", "hangs"), time.monotonic() + 100
    while not sign.exists() and time.monotonic() < until:
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert sign.exists()
    said_by(fill("store", "fills"))
    said_by(fill("undisturbed", "fills"))
    contents = []
    for store in ("store", "undisturbed"):
        home = Storage.at(str(tmp_path / store / "results" / BANKS))
        (bank,) = home.names()
        metas = [json.loads(home.read(f"{bank}/{name}/segment.json")) for name in home.names(bank)]
        stamps = sorted(file["sha256"] for meta in metas for file in meta["files"].values())
        assert sum(meta["cost"]["pairs"] for meta in metas) == pairs(config), "each pair once"
        contents.append((bank, stamps))
    assert contents[0] == contents[1], "what was written before the kill is kept, and the rest is the same"
