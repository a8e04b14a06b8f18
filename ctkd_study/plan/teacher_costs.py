"""What a practitioner who runs one strategy with one seed would pay for the teacher."""

from ctkd_study.analysis import Charges, Cost
from ctkd_study.errors import StudyError
from ctkd_study.plan.state import StudyState
from ctkd_study.records import TrialResult
from trainables import teacher
from trainables.bank import PRECISIONS, BankCost, bank_cost, share_of
from trainables.config import TrialConfig
from trainables.data import sizes_of, student_examples

_LOST = "--charge-teacher each must know what the teacher cost, but"


def teacher_charges(state: StudyState) -> Charges:
    """Return what the teacher costs each arm at each seed, apart from its work in the trials.

    That is its training, with evaluation on validation, and its looks at the pairs of example and view that the arm's
    trials read at that seed: not those of other seeds or other studies, which the bank holds as well. V views and D
    epochs make V (1 - (1 - 1/V)^D) pairs of an example, expected. A look costs what it did on average when the bank was
    filled. The training of a teacher from a file is not known, and costs nothing here.

    Raises:
        StudyError: the record of a teacher that trials have read, or its bank, is lost or damaged.
    """
    read = {state.spec.vary.group(m.seed) for m in state.manifests.values() if m.teacher is not None}
    training = {group: _training(state, group) for group in read}
    looks = {group: _cost_of_a_look(state, group) for group in read}
    charges = {}
    for arm in state.spec.resolved_arms:
        if not arm.uses_teacher:
            continue
        banked = [setting.config for setting in arm.expected if setting.config.teacher_source in PRECISIONS]
        banked = [config for config in banked if config.distiller.needs in ("logits", "pooled")]
        pairs = max((_pairs_of_a_seed(config) for config in banked), default=0.0)
        for seed in state.spec.all_seeds:
            group = state.spec.vary.group(seed)
            if group not in read:
                continue  # none of its trials has ended
            charge, look = training[group], looks[group]
            if pairs:
                if not look.pairs:
                    raise StudyError(f"{_LOST} the bank{_of(state, group)} is lost or damaged")
                each = Cost(look.device_seconds, look.tflop) / look.pairs
                charge += Cost(each.device_seconds * pairs, each.tflop * pairs)
            charges[arm.name, seed] = charge
    return charges


def _training(state: StudyState, group: int) -> Cost:
    options = state.teacher_configs[group].teacher
    if options is None or options.recipe is None:
        return Cost()
    record = state.teacher_records().get(group)
    if record is None:
        raise StudyError(f"{_LOST} the record of its training{_of(state, group)} is lost or damaged")
    result = TrialResult.from_manifest(record.manifest)
    return Cost(result.device_seconds + result.apart_device_seconds, result.tflop + result.apart_tflop)


def _cost_of_a_look(state: StudyState, group: int) -> BankCost:
    """Of all banks of a group's teacher together, with the number of pairs in them."""
    weights = state.inputs(group).teacher
    if weights is None and (record := state.teacher_records().get(group)) is not None:
        weights = teacher.weights_of(record)
    return bank_cost(weights, state.storage) if weights is not None else BankCost()


def _pairs_of_a_seed(config: TrialConfig) -> float:
    """How many pairs of example and view the epochs of one trial read, expected."""
    try:
        examples = config.data.train_examples or student_examples(config.data, sizes_of(config.data).train)
    except (FileNotFoundError, ValueError) as fault:
        raise StudyError(f"{_LOST} the number of training examples is not known: {fault}") from fault
    return examples * share_of({config.seed: config.recipe.epochs}, config.data.views.count)


def _of(state: StudyState, group: int) -> str:
    return f" of group {group}" if len(state.teacher_configs) > 1 else ""
