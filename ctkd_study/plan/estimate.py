"""The time and cost of a plan: from finished trials, else from a few timed steps on this machine."""

import contextlib
import dataclasses
import statistics
from collections.abc import Iterator, Mapping, Sequence

from ctkd_study.errors import StudyError
from ctkd_study.plan.bank_choice import reads_of, views_drawn
from ctkd_study.plan.due import Plan
from ctkd_study.plan.groups import GroupAdvice, advise
from ctkd_study.plan.preflight import blaming
from ctkd_study.plan.timing import Cost, Range, StepTimer
from ctkd_study.spec import Arm, StudySpec
from trainables import teacher
from trainables.bank import PRECISIONS, unbanked
from trainables.config import RunOptions
from trainables.data import sizes_of, student_examples
from trainables.record import Manifest


@dataclasses.dataclass(frozen=True, kw_only=True)
class ArmEstimate(Cost):
    """The cost of an arm, all its trials together."""

    arm: str
    settings: int
    trials: int
    money: float | None
    """Price of the device-seconds; None where the study names no price."""


@dataclasses.dataclass(frozen=True)
class BankEstimate:
    """The teacher's work for the trials that distil from its logits or pooled vectors."""

    source: str
    """Where these trials read its outputs."""
    reads: int
    """Outputs read by all trials and epochs: the images that an online teacher looks at."""
    pairs: int
    """Pairs of example and view that the bank still lacks."""
    seconds: Range
    """Time of one slot to fill the bank."""

    def __str__(self) -> str:
        if self.source == "online":
            return f"The teacher runs online, {self.reads:,} images in all: a bank would save too little or not fit."
        if not self.pairs:
            return f"All of the {self.reads:,} reads of the teacher's outputs are in its bank."
        return (
            f"The teacher's outputs are read {self.reads:,} times; its bank takes {self.pairs:,} more looks, about "
            f"{self.seconds.middle:.2g} s."
        )


@dataclasses.dataclass(frozen=True)
class Estimate:
    """Time and cost of a plan."""

    arms: tuple[ArmEstimate, ...]
    slots: int
    """Trials that run at once."""
    teacher_seconds: Range | None
    """Time to train the teachers, as many at once as slots; None where they are trained, or never are."""
    bank: BankEstimate | None = None
    """None where no trial distils from what a bank could hold."""
    advice: GroupAdvice | None = None
    """How many groups with their own teacher and split to choose; None where there is no teacher to train."""
    faults: tuple[str, ...] = ()
    """What cannot be estimated because it fails, one sentence each; arms that fail are not among ``arms``."""

    @property
    def wall_seconds(self) -> Range:
        """Time from start to end, all slots busy."""
        shared = [arm.wall_seconds for arm in self.arms] + ([self.bank.seconds] if self.bank is not None else [])
        return sum(shared, Range()) * (1 / self.slots) + (self.teacher_seconds or Range())


def estimate(
    plan: Plan,
    records: Mapping[str, Manifest],
    slots: int,
    teachers_missing: int,
    teachers: str | None = None,
    gpu: float = 0.0,
    timer: StepTimer | None = None,
    faulty: Mapping[str, str] | None = None,
    trained: float | None = None,
) -> Estimate:
    """Estimate the time and cost of a plan.

    Args:
        plan: the trials.
        records: the newest records of the trials, by id. A setting with finished trials costs what they cost.
        slots: how many trials run at once.
        teachers_missing: how many teachers are not trained yet.
        teachers: where teachers and banks lie.
        gpu: share of a GPU that a trial is given.
        timer: measures the other settings; default: by a few steps on this machine.
        faulty: what is wrong with arms that are known to fail, by name; they are left out.
        trained: device-seconds of a teacher with its bank, on average, where some are trained.

    Returns:
        The estimate. What fails in the timed steps is named in its ``faults``, and left out.
    """
    timer, found = timer or StepTimer(plan.spec.data, gpu, plan.spec.cores_per_trial), dict(faulty or {})
    arms = []
    for arm in plan.spec.resolved_arms:
        if arm.name not in found:
            with _noting(found, arm.name):
                arms.append(_arm(arm, plan.spec, records, timer))
    training, bank = None, None
    if teachers_missing:
        with _noting(found, "the teacher"):
            training = _training(plan, timer)
    with _noting(found, "the bank"):
        bank = _bank(plan, timer, teachers)
    if trained is None and training is not None:
        filling = bank.seconds.middle if bank is not None else 0.0
        trained = training.device_seconds.middle + filling * (gpu or plan.spec.cores_per_trial) / plan.spec.vary.groups
    advice = None
    if trained is not None and not found:
        seed_seconds = sum(arm.device_seconds.middle for arm in arms) / len(plan.spec.all_seeds)
        advice = advise(plan.spec, records, trained, seed_seconds)
    seconds = training.wall_seconds * max(teachers_missing / slots, 1.0) if training is not None else None
    return Estimate(tuple(arms), slots, seconds, bank, advice, tuple(found.values()))


@contextlib.contextmanager
def _noting(found: dict[str, str], part: str) -> Iterator[None]:
    """Note what fails, so that the rest is estimated all the same."""
    try:
        yield
    except StudyError as fault:
        found[part] = str(fault)


def _arm(arm: Arm, spec: StudySpec, records: Mapping[str, Manifest], timer: StepTimer) -> ArmEstimate:
    costs: list[Cost] = []
    searched = [record for record in records.values() if record.arm == arm.name and record.suggestion is not None]
    for setting in arm.expected:
        recorded = [records.get(setting.trial(seed).id) for seed in spec.all_seeds]
        known = searched if arm.searched is not None else recorded
        finished = [record for record in known if record is not None and record.status == "finished"]
        with blaming(f"arm {arm.name}: the timed steps failed"):
            costs += [_of_finished(finished) if finished else timer.trial(setting.config)] * len(recorded)
    device_seconds, price = sum((cost.device_seconds for cost in costs), Range()), spec.price_per_device_hour
    return ArmEstimate(
        arm=arm.name,
        settings=arm.size,
        trials=len(costs),
        tflop=sum(cost.tflop for cost in costs),
        device_seconds=device_seconds,
        wall_seconds=sum((cost.wall_seconds for cost in costs), Range()),
        money=device_seconds.middle / 3600 * price if price is not None else None,
        basis="; ".join(sorted({cost.basis for cost in costs})),
    )


def _of_finished(records: Sequence[Manifest]) -> Cost:
    summaries = [record.summary for record in records]
    return Cost(
        tflop=statistics.median(each.tflop for each in summaries),
        device_seconds=Range.of([each.device_seconds for each in summaries]),
        wall_seconds=Range.of([each.epoch_seconds + each.eval_seconds + each.teacher_seconds for each in summaries]),
        basis=f"{len(records)} finished trials" if len(records) > 1 else "1 finished trial",
    )


def _training(plan: Plan, timer: StepTimer) -> Cost | None:
    for config in (setting.config for setting in plan.spec.settings()):
        if config.teacher is not None and config.teacher.recipe is not None:
            with blaming("teacher: the timed steps failed"):
                return timer.trial(teacher.teacher_trial(config, config.teacher))
    return None


def _bank(plan: Plan, timer: StepTimer, teachers: str | None) -> BankEstimate | None:
    readers = [trial.config for trial in plan.trials if trial.config.distiller.needs in ("logits", "pooled")]
    if not readers:
        return None
    data, source, pairs = plan.spec.data, str(readers[0].teacher_source), 0
    with blaming("data"):
        examples = student_examples(data, sizes_of(data).train)
        at_hand = data.at_hand()
    if at_hand:
        run = RunOptions(teachers=teachers)
        with blaming("teacher: its bank cannot be looked up"):
            pairs = unbanked([config.model_copy(update={"run": run}) for config in readers])
    elif source in PRECISIONS:  # which pairs are banked cannot be looked up: the bank is taken for empty
        pairs = round(examples * views_drawn(plan.spec, max(config.recipe.epochs for config in readers)))
    with blaming("teacher: the timed images failed"):
        seconds = timer.look(readers[0]) * pairs if pairs else Range()
    return BankEstimate(source, examples * reads_of(plan.spec), pairs, seconds)
