"""Runs trials as Ray Tune trials, on a running cluster or on one that is started for the launch."""

import contextlib
import dataclasses
import signal
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ctkd_study.cluster import placement, session
from ctkd_study.errors import TeacherError
from ctkd_study.launch import LaunchContext, PendingTrial, TrialQueue
from trainables import record
from trainables.bank import representatives
from trainables.config import TrialConfig

if TYPE_CHECKING:  # it needs Ray, whose import waits for its environment
    from ctkd_study.cluster.feed import Item


@dataclasses.dataclass(frozen=True)
class RayRunner:
    """Ray Tune trials, on a running cluster or on one that is started for the launch.

    Args:
        address: of a running cluster; None starts one on this machine.
    """

    address: str | None = None

    def __call__(self, queue: TrialQueue, context: LaunchContext) -> None:
        # Set after Ray has set its own, which print a stack and end the process.
        with session.joined(self.address), _terminated_like_interrupted():
            _tune(queue, context)


def _tune(queue: TrialQueue, context: LaunchContext) -> None:
    from ray import tune

    from ctkd_study.cluster.events import TuneEvents
    from ctkd_study.cluster.feed import InOrder, Item, ListSearch
    from trainables.trainable import CTKDTrainable

    todo: list[PendingTrial] = []
    while (pending := queue.pull()) is not None:
        todo.append(pending)
    gpu = placement.on_cluster(context.gpu, [item.config for item in todo], context.cpu)
    prepared = _preparations([item.config for item in todo if item.needs_teacher], context, gpu)
    trials = [
        Item(
            item.id,
            _with_share(item.config, gpu).plain(),
            item.checkpoint,
            item.first_index,
            "bank" if item.needs_teacher else "nothing",
        )
        for item in todo
    ]
    events = TuneEvents(context.progress, context.saved, queue, [item.id for item in prepared])
    free = sum(item.awaits == "nothing" for item in trials)
    standing_by = _standing_by(min(session.slots(context.cpu, gpu), context.concurrency or len(trials)), prepared, free)
    search = ListSearch([*prepared, *trials, *standing_by], lambda: events.teacher, context.concurrency)
    root = context.folder.storage
    tuner = tune.Tuner(
        tune.with_resources(CTKDTrainable, {"cpu": context.cpu, "gpu": gpu}),
        tune_config=tune.TuneConfig(
            search_alg=search,
            scheduler=InOrder(events.released),
            reuse_actors=True,
            trial_name_creator=_trial_id,
            trial_dirname_creator=_trial_id,
        ),
        run_config=tune.RunConfig(
            name=context.folder.name,
            storage_path=root.root,
            storage_filesystem=None if root.is_local else root.filesystem,
            verbose=0,
            callbacks=[events],
            failure_config=tune.FailureConfig(max_failures=context.retry.lost_workers),
            checkpoint_config=tune.CheckpointConfig(num_to_keep=2, checkpoint_at_end=False),
        ),
    )
    context.progress.devices = session.devices(gpu)
    tuner.fit()
    if events.teacher == "failed":
        raise TeacherError(f"the teacher could not be made ready: {events.teacher_fault}")


def _preparations(needing: Sequence[TrialConfig], context: LaunchContext, gpu: float) -> "list[Item]":
    """What is to be run before the trials that need the teacher: its training, then its bank, in parts."""
    from ctkd_study.cluster.events import BANK, TEACHER
    from ctkd_study.cluster.feed import Item
    from trainables.trainable import PREPARE, SHARD

    chosen = representatives(needing)
    if not chosen:
        return []
    first_index = context.attempt * record.CHECKPOINTS_PER_ATTEMPT
    configs = [config.plain() for config in chosen]
    shards = min(session.slots(context.cpu, gpu), context.concurrency or len(needing))
    # The bank of a data set of one view is the work of seconds.
    if shards == 1 or all(config.teacher_source == "online" or config.data.views.count == 1 for config in chosen):
        return [Item(TEACHER, {PREPARE: configs}, None, first_index)]
    online = chosen[0].model_copy(update={"teacher_source": "online"})
    return [Item(TEACHER, {PREPARE: [online.plain()]}, None, first_index)] + [
        Item(f"{BANK}{shard + 1}", {PREPARE: configs, SHARD: [shard, shards]}, None, first_index, "training")
        for shard in range(shards)
    ]


def _standing_by(slots: int, prepared: "Sequence[Item]", free: int) -> "list[Item]":
    """What starts the actors that will have nothing to do before the teacher is there.

    Args:
        slots: trials that run at once.
        prepared: what makes the teacher ready.
        free: trials that do not wait for it.
    """
    from ctkd_study.cluster.events import STAND_BY
    from ctkd_study.cluster.feed import Item
    from trainables import trainable

    idle = slots - 1 - free if prepared else 0
    return [Item(f"{STAND_BY}{number}", {trainable.STAND_BY: True}, None, 0) for number in range(idle)]


def _with_share(config: TrialConfig, gpu: float) -> TrialConfig:
    return config.model_copy(update={"run": config.run.model_copy(update={"device_share": gpu or None})})


@contextlib.contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """Makes SIGTERM stop a launch as Ctrl-C does; does nothing outside the main thread."""

    def interrupt(number: int, frame: Any) -> None:
        signal.raise_signal(signal.SIGINT)

    try:
        previous = signal.signal(signal.SIGTERM, interrupt)
    except ValueError:
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _trial_id(trial: Any) -> str:
    return str(trial.trial_id)
