"""A results folder from somebody else: no command runs its code, leaves it, hangs, or shows codes."""

import io
import json
import os
import pickle
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from ctkd_study.cli import main
from ctkd_study.errors import StudyError
from ctkd_study.launch import RetryPolicy, queue
from ctkd_study.launch.inline import InlineRunner
from ctkd_study.safe_text import visible
from ctkd_study.study import Study
from tests.faults.conftest import NAME, STUDY, UNFINISHED
from tests.support.black_box import Command
from trainables import checksums, lease
from trainables.checksums import CHECKSUM

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

SECRET = "what-lies-outside"
#: Sets a terminal's title, is markup of Rich, and a tag.
TEXT = "\x1b]0;evil\x07[red]evil[/red]<script>evil</script>"


class Mischief:
    """Makes a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __reduce__(self) -> tuple[Callable[[Path], object], tuple[Path]]:
        return Path.touch, (self._file,)


class Folder:
    """A copy of a study that was stopped, for an attacker to change; nobody keeps him from sealing what he writes."""

    def __init__(self, storage: Path, outside: Path) -> None:
        self.storage, self.outside, self.ran = storage, outside, outside.with_name("ran")

    @property
    def study(self) -> Path:
        return self.storage / NAME

    @property
    def teacher(self) -> Path:
        return next((self.storage / ".teachers").glob("*/run-*/checkpoint_*2"))

    @property
    def segment(self) -> Path:
        return next((self.storage / ".banks").glob("*/segment-*"))

    def newest(self, arm: str) -> Path:
        """The folder of an arm's newest checkpoint."""
        return max(self.study.glob(f"{arm}-*/run-*/checkpoint_*"))

    def pickle(self) -> bytes:
        return pickle.dumps({"weight": Mischief(self.ran)})

    def forge(self, file: Path, **changes: Any) -> None:
        """Change a sealed file, and seal it anew."""
        content = {**json.loads(file.read_text()), **changes}
        content.pop(CHECKSUM, None)
        file.write_bytes(checksums.sealed(content))

    def replace(self, file: Path, content: bytes) -> None:
        """Change a file of a checkpoint or segment, and its stamp."""
        file.write_bytes(content)
        manifest = next(path for path in file.parent.glob("*.json"))
        stamps = json.loads(manifest.read_text())["files"]
        name = file.name if file.name in stamps else file.stem
        stamp = {"size": len(content), "sha256": checksums.sha256(content)}
        self.forge(manifest, files={**stamps, name: stamp})


def pickles_beside(folder: Folder) -> None:
    for place in (
        folder.study,
        folder.newest("global"),
        folder.newest("global").parent,
        folder.newest("global").parents[1],
    ):
        for name in ("_dict_checkpoint.pkl", ".tune_metadata", "experiment_state.pkl", "tuner.pkl", "data.pkl"):
            (place / name).write_bytes(folder.pickle())


def pickle_as_state(folder: Folder) -> None:
    folder.replace(folder.newest("global") / "state.pt", folder.pickle())


def pickle_as_teacher(folder: Folder) -> None:
    folder.replace(folder.teacher / "best.pt", folder.pickle())
    shutil.rmtree(folder.storage / ".banks")


def pickle_in_bank(folder: Folder) -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.array([Mischief(folder.ran)], dtype=object), allow_pickle=True)
    folder.replace(folder.segment / "logits.npy", buffer.getvalue())


def replaced_by_link(pick: Callable[[Folder], Path]) -> Callable[[Folder], None]:
    def attack(folder: Folder) -> None:
        path = pick(folder)
        target = folder.outside / path.name
        path.rename(target)
        path.symlink_to(target)

    return attack


def link_to_secret(pick: Callable[[Folder], Path]) -> Callable[[Folder], None]:
    def attack(folder: Folder) -> None:
        pick(folder).unlink()
        pick(folder).symlink_to(folder.outside / "secret.json")

    return attack


def path_in_manifest(folder: Folder) -> None:
    manifest = folder.newest("global") / "manifest.json"
    secret = (folder.outside / "secret.json").read_bytes()
    stamp = {"size": len(secret), "sha256": checksums.sha256(secret)}
    files = json.loads(manifest.read_text())["files"]
    folder.forge(manifest, files={**files, os.path.relpath(folder.outside / "secret.json", manifest.parent): stamp})


def path_in_start(folder: Folder) -> None:
    target = os.path.relpath(folder.outside, folder.newest("global").parents[1])
    folder.forge(folder.newest("global").parent / "start.json", goes_on_from=f"{target}/checkpoint_000001")


def pipe(pick: Callable[[Folder], Path]) -> Callable[[Folder], None]:
    def attack(folder: Folder) -> None:
        path = pick(folder)
        path.unlink(missing_ok=True)
        os.mkfifo(path)

    return attack


def deep(pick: Callable[[Folder], Path]) -> Callable[[Folder], None]:
    def attack(folder: Folder) -> None:
        pick(folder).write_bytes(b"[" * 200_000)

    return attack


def texts(folder: Folder) -> None:
    folder.forge(
        folder.newest("fixed") / "manifest.json",
        status="failed",
        reason=TEXT,
        traceback=TEXT,
        setting=TEXT,
        remarks=[TEXT],
    )
    folder.forge(folder.newest("global") / "manifest.json", remarks=[TEXT], machine={"model": TEXT, TEXT: TEXT})


def text_in_study(folder: Folder) -> None:
    file = folder.study / "study.json"
    study = json.loads(file.read_text())["study"]
    folder.forge(file, study={**study, "question": TEXT})


def unlike_manifest(folder: Folder) -> None:
    for arm, value in (("global", "evil"), ("fixed", TEXT)):
        folder.forge(folder.newest(arm) / "manifest.json", config={TEXT: value}, fingerprint=TEXT)


def holder_text(folder: Folder) -> None:
    (folder.study / "launches" / "000002.json").write_text(json.dumps({"owner": TEXT, "machine": TEXT, "pid": TEXT}))


#: Files of the study, each of which an attacker may replace.
FILES: dict[str, Callable[[Folder], Path]] = {
    "study": lambda folder: folder.study / "study.json",
    "looks": lambda folder: folder.study / "looks.json",
    "launch": lambda folder: folder.study / "launches" / "000001.json",
    "ended": lambda folder: folder.study / "launches" / "000001.ended.json",
    "start": lambda folder: folder.newest("global").parent / "start.json",
    "manifest": lambda folder: folder.newest("global") / "manifest.json",
    "history": lambda folder: folder.newest("global") / "history.jsonl",
    "state": lambda folder: folder.newest("global") / "state.pt",
    "teacher": lambda folder: folder.teacher / "manifest.json",
    "segment": lambda folder: folder.segment / "segment.json",
}
FOLDERS: dict[str, Callable[[Folder], Path]] = {
    "trial": lambda folder: folder.newest("global").parents[1],
    "run": lambda folder: folder.newest("global").parent,
    "checkpoint": lambda folder: folder.newest("global"),
    "launches": lambda folder: folder.study / "launches",
}
ATTACKS: dict[str, Callable[[Folder], None]] = {
    "pickles-beside": pickles_beside,
    "pickle-as-state": pickle_as_state,
    "pickle-as-teacher": pickle_as_teacher,
    "pickle-in-bank": pickle_in_bank,
    **{f"link-to-secret-{name}": link_to_secret(pick) for name, pick in FILES.items() if name != "looks"},
    **{f"link-to-folder-{name}": replaced_by_link(pick) for name, pick in FOLDERS.items()},
    "path-in-manifest": path_in_manifest,
    "path-in-start": path_in_start,
    **{f"pipe-{name}": pipe(pick) for name, pick in FILES.items()},
    **{f"deep-{name}": deep(pick) for name, pick in FILES.items()},
    "texts": texts,
    "text-in-study": text_in_study,
    "text-in-identity": unlike_manifest,
    "text-of-holder": holder_text,
}


@pytest.fixture
def folder(studies: dict[str, Command], tmp_path: Path) -> Folder:
    shutil.copytree(studies[UNFINISHED].storage, tmp_path / "results")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.json").write_text(json.dumps({"owner": SECRET, "uid": SECRET, "version": 2, "study": SECRET}))
    return Folder(tmp_path / "results", outside)


SHORT = (
    "pickle-as-state",
    "link-to-secret-state",
    "path-in-manifest",
    "pipe-manifest",
    "pipe-launch",
    "deep-study",
    "texts",
)


def marks(name: str) -> list[pytest.MarkDecorator]:
    return [] if name in SHORT else [pytest.mark.thorough]


@pytest.mark.parametrize(
    "attack", [pytest.param(attack, id=name, marks=marks(name)) for name, attack in ATTACKS.items()]
)
def test_a_folder(
    attack: Callable[[Folder], None],
    folder: Folder,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # What cannot be read now is tried again, for minutes.
    monkeypatch.setattr(queue, "RetryPolicy", lambda: RetryPolicy(first_pause=0.01, longest_pause=0.01))
    monkeypatch.setattr(lease, "STALE_SECONDS", 1.0)
    attack(folder)
    before = dict(tree(folder.outside))
    storage, said, page = str(folder.storage), "", folder.storage.with_name("page.html")
    for command in (
        ["compare", NAME],
        ["compare", NAME, "--json"],
        ["compare", NAME, "--html", str(page)],
        ["sync", NAME],
    ):
        result = CliRunner().invoke(main, [*command, "--storage", storage])
        assert result.exception is None or isinstance(result.exception, SystemExit), (command, result.exception)
        assert result.exit_code in (0, 1, 2), result.output
        said += result.output
    try:
        Study(**STUDY).run(storage, runner=InlineRunner())
    except (StudyError, OSError) as refusal:  # of which the command prints the text
        said += visible(str(refusal))
    shown = page.read_text() if page.exists() else ""
    assert not folder.ran.exists(), "it ran code"
    assert SECRET not in said + shown + caplog.text
    assert not {"\x1b", "\x07"} & {*said, *shown}
    assert "<script>evil" not in shown
    assert dict(tree(folder.outside)) == before


def tree(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in folder.rglob("*"):
        if path.is_file():
            yield str(path), path.read_bytes()
