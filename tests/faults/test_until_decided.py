"""Kill a study that adds seeds until it is decided: the same command ends with the same looks and the same answer."""

import contextlib
import functools
import multiprocessing
import os
import random
import signal
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from ctkd_study.launch import InlineRunner, launch, tabulated
from ctkd_study.study import Study
from tests.support import recorded
from tests.support.black_box import STUDY, Command
from tests.support.events import Appearances, Ended, Moment
from tests.unit.plan.test_rule import decided, rows, run, state
from trainables.config import TrialConfig
from trainables.record import Row

LAUNCHES = 60


def run_and_die(folder: Path, number: int) -> None:
    """Run the study, in a process that kills itself at a moment that its number draws: within a trial, or after it."""
    draw = random.Random(number)
    left = draw.randint(0, 9)

    def rows_or_death(config: TrialConfig) -> list[Row]:
        nonlocal left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        return rows(config)

    launch(state(folder), InlineRunner(tabulated(rows_or_death)), Console(quiet=True))


def test_kills_at_any_trial_change_neither_looks_nor_answer(tmp_path: Path) -> None:
    run(state(tmp_path / "straight"))
    context, deaths = multiprocessing.get_context("fork"), 0
    for number in range(LAUNCHES):
        process = context.Process(target=functools.partial(run_and_die, tmp_path / "killed", number))
        process.start()
        process.join(60)
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL
        deaths += 1
    assert deaths >= 4
    assert decided(state(tmp_path / "killed")) == decided(state(tmp_path / "straight"))
    straight, killed = (state(tmp_path / name).read().manifests for name in ("straight", "killed"))
    assert set(straight) == set(killed)
    assert {m.status for m in killed.values()} == {"finished"}


@pytest.mark.slow
@pytest.mark.thorough
@pytest.mark.timeout(900)
def test_killed_drivers_on_ray_leave_the_records_and_answer_of_an_undisturbed_study(tmp_path: Path) -> None:
    study: dict[str, Any] = {
        **STUDY,
        "recipe": {**STUDY["recipe"], "epochs": 2},
        "seeds": 3,
        "margin": 1.0,
        "until": {"seeds": 6},
    }
    straight = Command(tmp_path / "straight", tmp_path / "straight" / "results", study)
    killed = Command(tmp_path / "killed", tmp_path / "killed" / "results", study)
    for command in (straight, killed):
        command.storage.mkdir(parents=True)
    Study(**study).run(str(straight.storage), runner=InlineRunner())
    looks = [pair["looks"] for pair in straight.answer()["pairwise"] if pair["looks"] is not None]
    assert any(len(each) > 1 for each in looks), "the study must add seeds"
    try:
        for saves in (3, 6, 5):
            process = killed.start()
            with Appearances(killed.storage) as appearances, contextlib.suppress(Ended):
                appearances.wait(Moment(recorded.SAVED, saves), functools.partial(killed.goes_on, process), 240)
                os.kill(process.pid, signal.SIGKILL)
            killed.ended(process, 60)
        killed.run_until_done()
        killed.assert_undisturbed(straight)
    finally:
        killed.family.kill()
