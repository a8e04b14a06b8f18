"""Which banks a set of trials reads, and which pairs of example and view."""

from collections.abc import Iterable, Iterator, Sequence

from trainables.bank.bank import MARK, Bank, paid
from trainables.bank.keys import Keys, needed
from trainables.bank.segments import PRECISIONS, BankCost
from trainables.config import TrialConfig
from trainables.data import Arrays, KeptData, Loaded, Split
from trainables.shared_keys import alike
from trainables.storage import Storage
from trainables.teacher import known_weights, storage_of

BANKS = ".banks"
"""Folder of the banks in a storage."""


def unbanked(configs: Iterable[TrialConfig]) -> int:
    """Return how many pairs of example and view the banks of these trials still lack; all, if there is no teacher."""
    lacking = 0
    for config, data, keys in _demands(configs):
        weights = known_weights(config, data.for_teacher().sha256)
        bank = bank_of(config, data.arrays, weights).open() if weights is not None else None
        lacking += len(bank.missing(keys) if bank is not None else keys)
    return lacking


def bank_cost(weights: str, storage: Storage) -> BankCost:
    """Return the cost of all banks of a teacher in a storage, of any data set and precision.

    Args:
        weights: SHA-256 of the teacher's weights.
        storage: of teachers and banks.
    """
    banks, begin = storage.within(BANKS), f"{weights[:MARK]}-"
    return sum((paid(banks.within(name)) for name in banks.names() if name.startswith(begin)), BankCost())


def representatives(configs: Iterable[TrialConfig]) -> list[TrialConfig]:
    """Return the smallest set of trials that reads all that these trials read from their banks.

    For each bank and seed, that is the trial with the most epochs.
    """
    longest: dict[tuple[str | None, str, int], TrialConfig] = {}
    for config in configs:
        seed = config.seed if config.teacher_source in PRECISIONS else 0
        key = (_bank_key(config), config.distiller.needs, seed)
        if key not in longest or longest[key].recipe.epochs < config.recipe.epochs:
            longest[key] = config
    return list(longest.values())


def _bank_key(config: TrialConfig) -> str | None:
    """Return a key that trials share if they read the same bank; None if this one reads none."""
    if not config.uses_teacher or config.teacher_source not in PRECISIONS:
        return None
    return alike(config, "teacher_source", "teacher", "data", "run.teachers")


def bank_of(config: TrialConfig, arrays: Arrays, weights: str) -> Bank:
    """Return the bank that a trial reads.

    Args:
        config: the trial.
        arrays: its data set, on the CPU.
        weights: SHA-256 of its teacher's weights.

    Raises:
        TypeError: the trial has no teacher.
    """
    if config.teacher is None:
        raise TypeError("a trial that reads a bank has a teacher")
    precision, pooled = PRECISIONS[str(config.teacher_source)], config.distiller.needs == "pooled"
    banks, network = storage_of(config).within(BANKS), config.teacher.network()
    return Bank.at(banks, weights, network, config.data, arrays, precision, pooled)


def banks_of(
    configs: Iterable[TrialConfig], data: Loaded | None = None
) -> Iterator[tuple[Bank, TrialConfig, Loaded, Keys]]:
    """Find the banks that trials read. Their teachers must be trained.

    Args:
        configs: the trials.
        data: that of all these trials, if it is loaded already.

    Yields:
        A bank, one of the trials that read it, the data, and the keys that these trials draw, ascending.

    Raises:
        FileNotFoundError: a teacher is not trained.
    """
    for config, found, keys in _demands(configs, data):
        weights = known_weights(config, found.for_teacher().sha256)
        if weights is None:
            raise FileNotFoundError(f"a bank needs its teacher, which is not trained in {storage_of(config).location}")
        yield bank_of(config, found.arrays, weights), config, found, keys


def _demands(configs: Iterable[TrialConfig], data: Loaded | None = None) -> Iterator[tuple[TrialConfig, Loaded, Keys]]:
    """Yield, for each bank, a trial that reads it, the data, and the keys that all trials draw that read it."""
    by_bank: dict[str, list[TrialConfig]] = {}
    for config in configs:
        if (key := _bank_key(config)) is not None:
            by_bank.setdefault(key, []).append(config)
    read = KeptData()
    for together in by_bank.values():
        # If any trial reads pooled vectors, they are stored for all pairs: running the teacher twice would cost more.
        widest = max(together, key=lambda config: config.distiller.needs == "pooled")
        found = data or read(widest.data)
        yield widest, found, drawn(together, found.arrays, found.split)


def drawn(configs: Sequence[TrialConfig], arrays: Arrays, parts: Split) -> Keys:
    """Return the keys of all pairs that trials of the same data draw, ascending."""
    epochs: dict[int, int] = {}
    for config in configs:
        epochs[config.seed] = max(epochs.get(config.seed, 0), config.recipe.epochs)
    return needed(epochs, parts.student, len(arrays.train_labels), configs[0].data.views.count)
