"""Which banks a set of trials reads, and which pairs of each."""

from collections.abc import Iterable, Iterator, Sequence

from trainables.alike import alike
from trainables.bank.bank import Bank, paid
from trainables.bank.keys import Keys, needed
from trainables.bank.segments import PRECISIONS, BankCost
from trainables.config import TrialConfig
from trainables.data import Arrays, Split, split
from trainables.storage import Storage
from trainables.teacher import fingerprint, storage_of

BANKS = ".banks"
"""Folder of the banks in a storage."""


def unbanked(configs: Iterable[TrialConfig]) -> int:
    """How many pairs of example and view ``ensure_banked`` would have the teacher look at."""
    return sum(len(bank.open().missing(keys)) for bank, _, _, keys in banks_of(configs))


def bank_cost(config: TrialConfig, storage: Storage) -> BankCost:
    """What was paid for the banks of a trial's teacher in a storage, of whatever data and precision."""
    banks, mark = storage.within(BANKS), fingerprint(config)
    return sum((paid(banks.within(name)) for name in banks.names() if name.startswith(f"{mark}-")), BankCost())


def representatives(configs: Iterable[TrialConfig]) -> list[TrialConfig]:
    """As few of some trials as read the same of the same banks: for each bank and seed, the one that trains longest."""
    longest: dict[tuple[str | None, str, int], TrialConfig] = {}
    for config in configs:
        seed = config.seed if config.teacher_source in PRECISIONS else 0
        key = (_bank_key(config), config.distiller.needs, seed)
        if key not in longest or longest[key].recipe.epochs < config.recipe.epochs:
            longest[key] = config
    return list(longest.values())


def _bank_key(config: TrialConfig) -> str | None:
    """The same for trials that read the same bank; None where a trial reads none."""
    if not config.uses_teacher or config.teacher_source not in PRECISIONS:
        return None
    return alike(config, "teacher_source", "teacher", "data", "run.teachers")


def bank_of(config: TrialConfig, arrays: Arrays, mark: str) -> Bank:
    """The bank that a trial reads; ``mark`` is its teacher's fingerprint."""
    precision, pooled = PRECISIONS[str(config.teacher_source)], config.distiller.needs == "pooled"
    return Bank.at(storage_of(config).within(BANKS), mark, config.data, arrays, precision, pooled)


def banks_of(configs: Iterable[TrialConfig]) -> Iterator[tuple[Bank, TrialConfig, Arrays, Keys]]:
    """The banks that trials read: each with one of the trials, the data set, and the keys of the pairs they draw."""
    by_bank: dict[str, list[TrialConfig]] = {}
    for config in configs:
        if (key := _bank_key(config)) is not None:
            by_bank.setdefault(key, []).append(config)
    for together in by_bank.values():
        # Of a mixed study, all pairs get pooled vectors: to look twice would cost more than to store them.
        widest = max(together, key=lambda config: config.distiller.needs == "pooled")
        arrays = widest.data.load()
        keys = drawn(together, arrays, split(arrays.train_labels, widest.data))
        yield bank_of(widest, arrays, fingerprint(widest)), widest, arrays, keys


def drawn(configs: Sequence[TrialConfig], arrays: Arrays, parts: Split) -> Keys:
    """The keys of all pairs that trials of the same data will draw."""
    epochs: dict[int, int] = {}
    for config in configs:
        epochs[config.seed] = max(epochs.get(config.seed, 0), config.recipe.epochs)
    return needed(epochs, parts.student, len(arrays.train_labels), configs[0].data.views.count)
