"""A study whose storage is S3: a real server on this machine, the real command line, and drivers that are killed."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from ctkd_study.launch import InlineRunner
from ctkd_study.study import Study
from tests.support import settings
from tests.support.trials import same
from trainables import record
from trainables.record import Checkpoint
from trainables.storage import Storage

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

STUDY: dict[str, Any] = {
    "name": "on-s3",
    "data": {"name": "digits", "validation": 100, "train_examples": 100},
    "teacher": settings.TEACHER,
    "student": settings.STUDENT,
    "recipe": {**settings.RECIPE, "epochs": 12},
    "distiller": {"name": "kd"},
    "seeds": [3],
    "margin": 2.0,
    "checkpoint": {"epochs": 1},
    "arms": {"fixed": {"temperature": {"kind": "fixed", "value": 4}}, "global": {"temperature": {"kind": "global"}}},
}
_DRIVER = """
import json, sys
from ctkd_study.launch import InlineRunner
from ctkd_study.study import Study
if __name__ == "__main__":
    Study(**json.loads(sys.argv[1])).run(sys.argv[2], tracking_uri=sys.argv[3], runner=InlineRunner())
"""


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The location of an empty bucket on a server of S3."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    name = f"bucket-{uuid.uuid4().hex[:8]}"
    boto3.client("s3").create_bucket(Bucket=name)
    yield f"s3://{name}/results"
    server.stop()


def trials(location: str) -> dict[str, Checkpoint]:
    folder = Storage.at(location).within("on-s3")
    scans = {name: record.scan(folder.within(name)).newest for name in folder.names() if name.endswith("-s3")}
    return {name: newest for name, newest in scans.items() if newest is not None}


def start(bucket: str, tmp_path: Path) -> "subprocess.Popen[str]":
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    command = [sys.executable, "-c", _DRIVER, json.dumps(STUDY), bucket, uri]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ.copy())


def test_a_killed_driver_goes_on_and_a_second_one_is_refused(bucket: str, tmp_path: Path) -> None:
    straight = tmp_path / "straight"
    Study(**STUDY).run(str(straight), runner=InlineRunner())
    driver = start(bucket, tmp_path)
    until = time.monotonic() + 120
    while not any(each.manifest.epoch >= 3 for each in trials(bucket).values()):
        assert driver.poll() is None, driver.communicate()[0]
        assert time.monotonic() < until
        time.sleep(0.05)
    driver.send_signal(signal.SIGSTOP)  # so that it does not end meanwhile
    second = start(bucket, tmp_path)
    output, _ = second.communicate(timeout=120)
    assert second.returncode != 0
    assert "one driver at a time" in output
    assert f"process {driver.pid}" in output
    driver.send_signal(signal.SIGKILL)
    driver.communicate()
    third = start(bucket, tmp_path)
    output, _ = third.communicate(timeout=120)
    assert third.returncode == 0, output
    expected, found = trials(str(straight)), trials(bucket)
    assert found.keys() == expected.keys()
    for name, checkpoint in expected.items():
        same(checkpoint, found[name])
    assert any(len(each.manifest.starts) == 2 for each in found.values()), "one was interrupted, and went on"


def test_of_many_that_create_an_object_one_succeeds(bucket: str) -> None:
    storage, wins = Storage.at(bucket), list[str]()

    def create(content: str) -> None:
        if storage.create("lease/000001.json", content.encode()):
            wins.append(content)

    threads = [threading.Thread(target=create, args=(f"driver {number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wins == [storage.read("lease/000001.json").decode()]
