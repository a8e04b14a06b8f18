"""Ray comes and goes within a process that goes on."""

import subprocess
import sys

_LITTERING = """
import gc, threading, time
from ctkd_study import cluster

with cluster.joined(None, cpus=1):
    import ray

    references = [ray.put(number) for number in range(20_000)]

    def litter():
        while references:
            knot = [references.pop()]  # garbage that only a collection finds, in whichever thread it happens
            knot.append(knot)
            if len(references) % 4 == 0:
                time.sleep(0.001)

    gc.set_threshold(3)
    threading.Thread(target=litter, daemon=True).start()
assert references, "the thread must outlast the shutdown"
print("still here")
"""


def test_garbage_of_other_threads_does_not_end_the_process_as_ray_goes_down() -> None:
    process = subprocess.run([sys.executable, "-c", _LITTERING], capture_output=True, text=True, check=False)
    assert (process.returncode, process.stdout.strip()) == (0, "still here"), process.stderr
