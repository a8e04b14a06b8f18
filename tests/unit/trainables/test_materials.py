"""What is loaded for one trial, and which others it serves."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.banks import banked
from tests.support.trials import trainer_of, without_clock
from trainables.materials import serves


def test_materials_serve_a_trial_whose_pairs_they_hold(tmp_path: Path) -> None:
    first = banked(tmp_path, 0, 2)
    materials = trainer_of(first).materials
    assert serves(materials, first)
    assert serves(materials, banked(tmp_path, 0, 1))
    assert not serves(materials, banked(tmp_path, 0, 3))
    assert not serves(materials, banked(tmp_path, 1, 2))
    assert serves(trainer_of(banked(tmp_path, teacher_source="online")).materials, banked(tmp_path, 1))


@pytest.mark.parametrize("distiller", [{"name": "kd"}, {"name": "pkt"}])
@pytest.mark.parametrize(("source", "tolerance"), [("bank32", 1e-5), ("bank16", 1e-4)])
def test_an_epoch_with_the_bank_goes_as_with_the_online_teacher(
    tmp_path: Path, distiller: dict[str, Any], source: str, tolerance: float
) -> None:
    by_source = {
        name: trainer_of(banked(tmp_path, teacher_source=name, distiller=distiller)).train_epoch()
        for name in (source, "online")
    }
    ours, theirs = (without_clock(by_source[name]) for name in (source, "online"))
    for name in ("train_loss", "kd_loss", "ce_loss", "val_loss", "test_loss"):
        assert ours[name] == pytest.approx(theirs[name], rel=tolerance)
    assert ours["teacher_tflop"] == 0
    assert theirs["teacher_tflop"] != 0
