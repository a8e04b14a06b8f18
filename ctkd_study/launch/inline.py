"""Runs trials one after the other in this process, without Ray: for tests, and to debug a plug-in."""

import dataclasses
import functools
import logging
from collections.abc import Callable, Sequence

from ctkd_study.launch.loop import LaunchContext
from ctkd_study.launch.queue import TrialQueue
from trainables import preparation, record
from trainables.config import TrialConfig
from trainables.materials import load_materials
from trainables.record import Manifest, Row
from trainables.storage import Storage
from trainables.trial import describe, run_inline

log = logging.getLogger(__name__)

#: Runs one trial in its folder, telling of every row, and returns its last manifest.
TrainFunction = Callable[[TrialConfig, Storage, Callable[[Row], None]], Manifest]


def train(config: TrialConfig, folder: Storage, on_row: Callable[[Row], None]) -> Manifest:
    """Runs one trial for real."""
    preparation.ensure(config)
    return run_inline(config, load_materials, folder, on_row)


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
        index = config.run.attempt * record.CHECKPOINTS_PER_ATTEMPT
        return record.write_into(folder, index, manifest, rows, {}, None, None)

    return record_rows


@dataclasses.dataclass(frozen=True)
class InlineRunner:
    """One trial after the other in this process, without Ray: for tests, and to debug a plug-in."""

    train: TrainFunction = train

    def __call__(self, queue: TrialQueue, context: LaunchContext) -> None:
        while (pending := queue.pull()) is not None:
            on_row = functools.partial(context.progress.row, pending.id)
            try:
                self.train(pending.config, context.folder.trial(pending.id), on_row)
            except Exception as error:  # a plug-in may raise anything; the other trials go on
                log.exception("trial %s crashed", pending.id)
                queue.crashed(pending.id, f"{type(error).__name__}: {error}")
                context.progress.ended(pending.id, "failed")
            else:
                context.progress.ended(pending.id, queue.ended(pending.id) or "running")
            context.saved(pending.id)
