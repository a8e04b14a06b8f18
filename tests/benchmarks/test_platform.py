"""What the platform costs beside the training: plan, compare, Ray, MLflow. By the clock, unless it says CPU time."""

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from ray import tune

from ctkd_study import Study, grid
from ctkd_study.cluster import session
from ctkd_study.cluster.trial_feed import QueuedTrial
from ctkd_study.launch.inline import InlineRunner
from ctkd_study.records.folder import StudyFolder
from ctkd_study.tracking.projection import sync
from tests.benchmarks.measuring import report
from tests.support import settings, tracking_cases
from tests.support.records import FIRST_SAVE, saved
from tests.support.trials import recorded
from tests.support.tuning import fed
from trainables import checksums, preparation, record
from trainables.checksums import FileStamp
from trainables.config import RunOptions
from trainables.storage import Storage
from trainables.trial import describe

pytestmark = [pytest.mark.bench, pytest.mark.timeout(600)]

EPOCHS = 240
#: 490 fixed temperatures and 10 curricula with ten seeds: 5,000 trials.
LARGE: dict[str, Any] = {
    "name": "large",
    "data": {"name": "digits", "validation": 200, "train_examples": 300},
    "teacher": settings.TEACHER,
    "student": settings.STUDENT,
    "recipe": {**settings.RECIPE, "epochs": EPOCHS},
    "distiller": {"name": "kd"},
    "seeds": 10,
    "margin": 1.0,
    "arms": {
        "grid": {"temperature": {"kind": "fixed", "value": grid(*(1 + number / 10 for number in range(490)))}},
        "global": {
            "temperature": {"kind": "global"},
            "curriculum": {"kind": "cosine", "end": grid(*(number / 10 for number in range(1, 11)))},
        },
    },
}

_PLAN = """
import json, resource, sys, time
from pathlib import Path
from ctkd_study import Study
import ctkd_study.plan.due, ctkd_study.launch.inline, ctkd_study.study, trainables.preparation
import sklearn.datasets, torch, torch._dynamo, torch.distributed.tensor, torch.utils.flop_counter  # at first use, these
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before, began = peak(), time.process_time()
study = Study.from_file(sys.argv[1])
trials = study.plan().trials
assert len(trials) == 5000 and len({trial.id for trial in trials}) == 5000
planned = time.process_time()
study.estimate(sys.argv[2])
print(json.dumps([planned - began, time.process_time() - planned, peak() - before]))
"""


def test_a_plan_of_5000_trials(tmp_path: Path) -> None:
    file = tmp_path / "large.yaml"
    file.write_text(json.dumps(LARGE))
    measured = []
    for _ in range(5):
        command = [sys.executable, "-c", _PLAN, str(file), str(tmp_path)]
        process = subprocess.run(command, check=True, capture_output=True, text=True)
        measured.append(json.loads(process.stdout.splitlines()[-1]))
    plans, estimates, megabytes = (list(column) for column in zip(*measured, strict=True))
    found = report(
        "plan of 5,000 trials, from the file",
        "each in a process of its own, imports not counted",
        {
            "CPU seconds, trials": plans,
            "CPU seconds, estimate from timed steps": estimates,
            "MB of resident memory": megabytes,
        },
    )
    assert found["CPU seconds, trials"] < 20


def test_start_up() -> None:
    """Of commands, and of a worker before its first trial."""
    quickstart = str(Path(__file__).parents[2] / "studies" / "digits" / "quickstart.yaml")
    cli = [sys.executable, "-m", "ctkd_study.cli"]
    works = {
        "ctkd-study --help": [*cli, "--help"],
        "ctkd-study check": [*cli, "check", quickstart],
        "a worker's imports": [sys.executable, "-c", "import trainables.trainable"],
        "of these, torch": [sys.executable, "-c", "import torch"],
        "of these, ray.tune": [sys.executable, "-c", "import ray.tune"],
    }
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for number in range(6):
        for name, command in works.items():
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run(command, check=True, capture_output=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            if number:  # the first reads from the disk
                seconds[name].append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    report("start-up", "CPU seconds, each in a process of its own", dict(seconds))


def test_comparing_5000_trials_of_240_epochs(tmp_path: Path) -> None:
    study, storage = Study(**LARGE), Storage.at(str(tmp_path))
    folder = StudyFolder(storage, "large")
    uid = folder.store(study.spec)
    rows = tracking_cases.history("global", EPOCHS)
    files: dict[str, FileStamp] = {}
    first = tmp_path / "first"
    first.mkdir()
    for number, trial in enumerate(study.plan().trials):
        manifest = describe(trial.config, rows, rows[number % EPOCHS], status="finished", test_examples=797)
        run = {"study": "large", "uid": uid, "trial": trial.id, "arm": trial.arm, "setting": trial.setting.label}
        summary = manifest.summary.model_copy(update={"test_top1": 90 + (7919 * number % 1000) / 500})
        manifest = manifest.model_copy(update={**run, "summary": summary, "files": files})
        if not files:
            written = first / saved(Storage.at(str(first)), manifest, rows)
            files = recorded(first).manifest.files
            manifest = manifest.model_copy(update={"files": files})
        checkpoint = tmp_path / "large" / trial.id / "run-000001-001" / FIRST_SAVE
        checkpoint.mkdir(parents=True)
        for file in files:  # one history, linked to: its content decides no time
            os.link(written / file, checkpoint / file)
        (checkpoint / record.MANIFEST).write_bytes(checksums.sealed(manifest.model_dump(mode="json")))
    seconds: dict[str, float | list[float]] = {}
    comparisons, paths = [], []
    for _ in range(5):
        began = time.process_time()
        comparison = study.compare(str(tmp_path))
        comparisons.append(time.process_time() - began)
        began = time.process_time()
        histories = study.histories(str(tmp_path))
        paths.append(time.process_time() - began)
    assert sum(summary.strategy.trials for summary in comparison.summaries) == 5000
    assert len(histories) == 100
    seconds["comparison"] = comparisons
    seconds["epochs of the 100 trials that learn T"] = paths
    found = report("compare on 5,000 trials of 240 epochs", "CPU seconds", seconds)
    assert found["comparison"] < 60


class _NoWork(tune.Trainable):
    """Ends at its first step."""

    def step(self) -> dict[str, Any]:
        return {"status": "finished", "done": True}

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        return True


def test_1000_trials_without_work_through_ray(tmp_path: Path) -> None:
    seconds, cpu = [], []
    with session.ray_session(None, cpus=2):
        for number in range(5):
            began, before = time.perf_counter(), time.process_time()
            queued = [QueuedTrial(f"grid-{each:08x}-s0", {"number": each}) for each in range(1000)]
            results = fed(_NoWork, queued, tmp_path / str(number))
            seconds.append(time.perf_counter() - began)
            cpu.append(time.process_time() - before)
            assert len(results) == 1000
    report(
        "1,000 trials without work through Ray, two at a time",
        "of each trial; by the clock, and the driver's CPU time",
        {"milliseconds": seconds, "driver's CPU milliseconds": cpu},
    )


def test_rows_sent_to_mlflow(tmp_path: Path) -> None:
    rates = []
    for number in range(5):
        study = tracking_cases.Study(tmp_path / str(number), f"{number:016x}")
        study.fill(trials=5, epochs=EPOCHS)
        began = time.perf_counter()
        outcome = sync(study.projection(f"sqlite:///{tmp_path / 'mlflow.db'}"))
        seconds = time.perf_counter() - began
        assert outcome.complete
        rates.append(outcome.rows / seconds)
    found = report("tracker", "5 trials and a teacher of 240 epochs, into SQLite", {"epochs' rows a second": rates})
    assert found["epochs' rows a second"] > 50


@pytest.mark.timeout(5 * 1200)
def test_a_study_of_trials_of_5_seconds(tmp_path: Path) -> None:
    """Eight fixed temperatures, two curricula and the student alone, eight seeds; against the same one after the other.

    The plain loop is timed on a trial of each kind, before and after each run of the study.
    """
    arms: dict[str, Any] = {
        "grid": {"temperature": {"kind": "fixed", "value": grid(1, 2, 3, 4, 6, 8, 12, 16)}},
        "global": {"temperature": {"kind": "global"}},
        "instance": {"temperature": {"kind": "instance"}},
        "alone": {"distiller": {"name": "none"}},
    }
    keys = {**LARGE, "name": "study", "recipe": {**settings.RECIPE, "epochs": 65}, "seeds": 8, "arms": arms}
    one_of_each = {**arms, "grid": {"temperature": {"kind": "fixed", "value": 4}}}
    sample = Study(**{**keys, "name": "sample", "seeds": 1, "arms": one_of_each})

    def plain(number: int) -> float:
        """Seconds of the whole study without Ray and without a break, as far as a sample tells."""
        place = str(tmp_path / str(number))
        preparation.ensure_trained(
            sample.plan().trials[0].config.model_copy(update={"run": RunOptions(teachers=place)})
        )
        seconds = [manifest_seconds(m) for m in sample.run(place, runner=InlineRunner()).manifests.values()]
        return 8 * (8 * seconds[0] + sum(seconds[1:]))

    lengths, walls, fills, ratios = [], [], [], []
    plains = [plain(0)]
    for number in range(1, 6):
        began = time.perf_counter()
        outcome = Study(**keys).run(str(tmp_path / f"ray-{number}"))
        wall = time.perf_counter() - began
        plains.append(plain(number))
        assert (outcome.trained, outcome.failed) == (88, {})
        lengths.append(outcome.busy_seconds / outcome.trained)
        walls.append(wall)
        fills.append(outcome.busy_seconds / (wall * outcome.cores))
        ratios.append(sum(plains[-2:]) / 2 / wall)
    found = report(
        "88 trials on Ray, two cores",
        "by the clock; Ray's start and the teacher's training included",
        {
            "seconds of a trial": lengths,
            "seconds": walls,
            "device-seconds of trials / (wall x cores)": fills,
            "speed-up over a plain loop in one process": ratios,
        },
    )
    assert found["device-seconds of trials / (wall x cores)"] > 0.7


def manifest_seconds(manifest: record.Manifest) -> float:
    """Of a trial's work."""
    summary = manifest.summary
    return summary.epoch_seconds + summary.eval_seconds + summary.teacher_seconds
