"""A bit of a file of a study changes: no command shows a wrong number or a traceback, and the next run mends it."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ctkd_study.cli import main
from ctkd_study.errors import StudyError
from ctkd_study.launch import Outcome
from ctkd_study.launch.inline import InlineRunner
from ctkd_study.study import Study
from tests.faults.conftest import FINISHED, NAME, STUDY, UNFINISHED
from tests.support import recorded
from tests.support.black_box import Command
from tests.support.records import flip_a_bit

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

#: Of a strategy, as `compare --json` has them: what rests on accuracies.
ACCURACIES = ("validation", "test", "difference", "low", "high", "per_seed", "mean", "sd")
#: The files that are tried in the short form, as patterns below the storage.
SOME = (
    *(f"{NAME}/global-*/run-000001-001/checkpoint_*/{file}" for file in ("manifest.json", "history.jsonl")),
    f"{NAME}/fixed-*/run-000001-001/checkpoint_*/state.pt",
    f"{NAME}/*/run-000001-001/start.json",
    f"{NAME}/study.json",
    f"{NAME}/launches/000001.json",
    ".teachers/*/run-000001-001/checkpoint_*/best.pt",
    ".banks/*/*/logits.npy",
)


@pytest.mark.parametrize("state", [pytest.param(FINISHED, marks=pytest.mark.thorough), UNFINISHED])
def test_a_bit(state: str, studies: dict[str, Command], tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    storage = studies[state].storage
    files = [sorted(storage.glob(pattern))[-1].relative_to(storage) for pattern in SOME]
    assert faults(files, [0.5], state, studies, tmp_path, caplog) == []


@pytest.mark.thorough
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("state", [FINISHED, UNFINISHED])
def test_every_file(state: str, studies: dict[str, Command], tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    storage = studies[state].storage
    files = [path.relative_to(storage) for path in sorted(storage.rglob("*")) if path.stat().st_size and path.is_file()]
    files = [path for path in files if path.name != "mlflow.db"]
    assert faults(files, [0.1, 0.9], state, studies, tmp_path, caplog) == []


def faults(
    files: list[Path],
    places: list[float],
    state: str,
    studies: dict[str, Command],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> list[str]:
    """Try all files; returns what went wrong."""
    found = []
    for number, (file, place) in enumerate((file, place) for file in files for place in places):
        folder = tmp_path / str(number)
        shutil.copytree(studies[state].storage, folder / "results")
        command = Command(folder, folder / "results", STUDY)
        flip_a_bit(command.storage / file, place)
        caplog.clear()
        what = wrong(command, file, studies[state], studies[FINISHED], caplog)
        found += [f"{file} at {place}: {each}" for each in what]
        shutil.rmtree(folder)
    return found


def wrong(
    command: Command, file: Path, before: Command, straight: Command, caplog: pytest.LogCaptureFixture
) -> Iterator[str]:
    name = NAME
    compared = CliRunner().invoke(main, ["compare", name, "--storage", str(command.storage), "--json"])
    yield from unexpected("compare", compared)
    if compared.exit_code == 0:
        yield from other_numbers(json.loads(compared.stdout), before.answer())
    yield from unexpected("sync", CliRunner().invoke(main, ["sync", name, "--storage", str(command.storage)]))
    plain = CliRunner().invoke(main, ["compare", name, "--storage", str(command.storage)])
    yield from unexpected("compare", plain)
    said = compared.output + plain.output
    try:
        outcome: Outcome = Study(**STUDY).run(str(command.storage), runner=InlineRunner())
    except StudyError as refusal:
        if file.name not in str(refusal):
            yield f"run refuses without its name: {refusal}"
        return
    except Exception as error:
        yield f"run: {error!r}"
        return
    said += caplog.text + str(outcome.damaged)
    if outcome.failed or outcome.unfinished:
        yield f"run: {outcome.failed} {outcome.unfinished}"
        return
    if file.parts[0] == NAME and is_newest_checkpoint(before.storage / file.parent) and file.parent.name not in said:
        yield "it is named nowhere"
    try:
        recorded.assert_equal(straight.trials(), command.trials())
        found, expected = command.answer(), straight.answer()
        if file.parts[0] != NAME:  # to do the teacher's work again costs again; of a finished study, nobody does
            del found["teacher"], expected["teacher"]
        assert found == expected
    except AssertionError as difference:
        yield f"after run: {difference}"


def is_newest_checkpoint(folder: Path) -> bool:
    """Whether a folder is a trial's newest checkpoint."""
    return folder == max(folder.parent.glob("checkpoint_*"), default=None)


def unexpected(what: str, result: Any) -> Iterator[str]:
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        yield f"{what}: {result.exception!r}"
    elif result.exit_code not in (0, 1, 2):
        yield f"{what}: exit status {result.exit_code}"


def other_numbers(found: Any, expected: Any, at: str = "") -> Iterator[str]:
    """What is neither as expected nor missing, of all that rests on accuracies."""
    if isinstance(found, dict) and isinstance(expected, dict):
        for key in found.keys() & expected.keys():
            yield from other_numbers(found[key], expected[key], f"{at}.{key}")
    elif isinstance(found, list) and isinstance(expected, list):
        if len(found) == len(expected):
            for place, (ours, theirs) in enumerate(zip(found, expected, strict=True)):
                yield from other_numbers(ours, theirs, f"{at}.{place}")
    elif any(name in at for name in ACCURACIES) and found != expected and found is not None:
        yield f"compare says {at} = {found} instead of {expected}"
