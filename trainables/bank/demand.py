"""Which banks a set of trials reads, and which pairs of example and view."""

from collections.abc import Iterable, Iterator, Sequence

from trainables.bank.bank import Bank, paid
from trainables.bank.keys import Keys, needed
from trainables.bank.segments import PRECISIONS, BankCost
from trainables.config import TrialConfig
from trainables.data import Arrays, Split, split
from trainables.shared_keys import alike
from trainables.storage import Storage
from trainables.teacher import fingerprint, storage_of

BANKS = ".banks"
"""Folder of the banks in a storage."""


def unbanked(configs: Iterable[TrialConfig]) -> int:
    """Return how many pairs of example and view the banks of these trials still lack."""
    return sum(len(bank.open().missing(keys)) for bank, _, _, keys in banks_of(configs))


def bank_cost(config: TrialConfig, storage: Storage) -> BankCost:
    """Return the cost of all banks of a trial's teacher in a storage, of any data set and precision."""
    banks, mark = storage.within(BANKS), fingerprint(config)
    return sum((paid(banks.within(name)) for name in banks.names() if name.startswith(f"{mark}-")), BankCost())


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


def bank_of(config: TrialConfig, arrays: Arrays, mark: str) -> Bank:
    """Return the bank that a trial reads; ``mark`` is its teacher's fingerprint."""
    precision, pooled = PRECISIONS[str(config.teacher_source)], config.distiller.needs == "pooled"
    return Bank.at(storage_of(config).within(BANKS), mark, config.data, arrays, precision, pooled)


def banks_of(configs: Iterable[TrialConfig]) -> Iterator[tuple[Bank, TrialConfig, Arrays, Keys]]:
    """Find the banks that trials read.

    Yields:
        A bank, one of the trials that read it, the data set, and the keys that these trials draw, ascending.
    """
    by_bank: dict[str, list[TrialConfig]] = {}
    for config in configs:
        if (key := _bank_key(config)) is not None:
            by_bank.setdefault(key, []).append(config)
    for together in by_bank.values():
        # If any trial reads pooled vectors, they are stored for all pairs: running the teacher twice would cost more.
        widest = max(together, key=lambda config: config.distiller.needs == "pooled")
        arrays = widest.data.load()
        keys = drawn(together, arrays, split(arrays.train_labels, widest.data))
        yield bank_of(widest, arrays, fingerprint(widest)), widest, arrays, keys


def drawn(configs: Sequence[TrialConfig], arrays: Arrays, parts: Split) -> Keys:
    """Return the keys of all pairs that trials of the same data draw, ascending."""
    epochs: dict[int, int] = {}
    for config in configs:
        epochs[config.seed] = max(epochs.get(config.seed, 0), config.recipe.epochs)
    return needed(epochs, parts.student, len(arrays.train_labels), configs[0].data.views.count)
