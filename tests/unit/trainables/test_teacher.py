"""The teacher's fingerprint and weights."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support import settings
from tests.support.trials import finished, without_clock
from trainables import preparation, teacher
from trainables.storage import Storage


def test_teacher_from_a_published_file(tmp_path: Path) -> None:
    config = settings.trial(tmp_path)
    preparation.ensure(config)
    newest = teacher.record_of(config, Storage.at(str(tmp_path)))
    assert newest is not None
    file = tmp_path / "published.pth"
    torch.save({"epoch": 240, "model": newest.best(), "accuracy": 72.3}, file)
    loaded = settings.trial(tmp_path, teacher={**settings.STUDENT, "checkpoint": str(file)})
    assert teacher.fingerprint(loaded) != teacher.fingerprint(config)
    rows = [finished(each, tmp_path / name).rows() for name, each in (("ours", config), ("theirs", loaded))]
    assert [without_clock(row) for row in rows[0]] == [without_clock(row) for row in rows[1]]


def test_a_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "ran",)

    file = tmp_path / "evil.pth"
    torch.save({"model": Payload()}, file)
    config = settings.trial(tmp_path, teacher={**settings.STUDENT, "checkpoint": str(file)})
    with pytest.raises(ValueError, match="cannot be read as weights alone"):
        preparation.ensure(config)
    assert not (tmp_path / "ran").exists()


def test_teacher_file_of_another_network_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "other.pth"
    torch.save({"model": {"weight": torch.zeros(2)}}, file)
    with pytest.raises(ValueError, match="does not fit"):
        preparation.ensure(settings.trial(tmp_path, teacher={**settings.STUDENT, "checkpoint": str(file)}))
