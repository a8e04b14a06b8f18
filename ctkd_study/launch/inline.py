"""Runs trials one after the other in this process, without Ray: for tests, and to debug a plug-in."""

import dataclasses
import functools
import logging
from collections.abc import Callable, Sequence

import torch

from ctkd_study.launch.loop import LaunchContext
from ctkd_study.launch.queue import TrialQueue
from trainables import faults, preparation, record
from trainables.config import TrialConfig
from trainables.materials import Materials, load_materials
from trainables.record import Contents, Manifest, Row, Run
from trainables.recorded import run_inline
from trainables.storage import Storage
from trainables.trial import describe

log = logging.getLogger(__name__)

#: Runs one trial in its folder, telling of every row, and returns its last manifest.
TrainFunction = Callable[[TrialConfig, Storage, Callable[[Row], None]], Manifest]


def train(config: TrialConfig, folder: Storage, on_row: Callable[[Row], None]) -> Manifest:
    """Runs one trial for real."""
    return run_inline(config, _materials, folder, on_row)


def _materials(config: TrialConfig, device: torch.device) -> Materials:
    preparation.ensure(config)
    return load_materials(config, device)


def tabulated(table: Callable[[TrialConfig], Sequence[Row]]) -> TrainFunction:
    """Records what a table says instead of training: from plan to verdict in seconds, to try a study's logic.

    Args:
        table: the rows of a trial; the one with the best validation accuracy is selected.
    """

    def record_rows(config: TrialConfig, folder: Storage, on_row: Callable[[Row], None]) -> Manifest:
        rows = list(table(config))
        for row in rows:
            on_row(row)
        best = max(rows, key=lambda row: (row["val_top1"] or 0.0, -(row["val_loss"] or 0.0)), default=None)
        manifest = describe(config, rows, best, status="finished" if rows else "failed")
        run = Run.begin(folder, record.scan(folder), config.run.attempt)
        return run.save(manifest.model_copy(update={"starts": [run.start]}), Contents(rows, {}))

    return record_rows


@dataclasses.dataclass(frozen=True)
class InlineRunner:
    """One trial after the other in this process, without Ray: for tests, and to debug a plug-in."""

    train: TrainFunction = train

    def __call__(self, queue: TrialQueue, context: LaunchContext) -> None:
        while not (queue.exhausted or context.lost.is_set()):
            if (pending := queue.pull()) is None:
                queue.stopped.wait(queue.seconds_to_wait())
                continue
            on_row, fault = functools.partial(context.progress.row, pending.id), ""
            try:
                self.train(pending.config, context.folder.trial(pending.id), on_row)
            except Exception as error:  # a plug-in may raise anything; the other trials go on
                log.info("trial %s was interrupted", pending.id, exc_info=True)
                fault = faults.described(error)
            status = queue.ended(pending.id, fault)
            if status in ("finished", "failed"):
                context.progress.ended(pending.id, status)
            else:
                context.progress.interrupted(pending.id, fault)
            context.saved(pending.id)
