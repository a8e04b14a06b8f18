"""Checks that come before a study runs: its networks, the teacher's file, its data set."""

import contextlib
from collections.abc import Iterator

from ctkd_study.errors import StudyError
from ctkd_study.plan.due import Plan
from trainables import faults, teacher
from trainables.data import KeptData, Loaded, Sizes, sizes_of, student_examples
from trainables.models.init import shapes_alone
from trainables.shared_keys import alike


def read_data(plan: Plan) -> tuple[Loaded, ...]:
    """Read the data set, and download it if need be; returns it with the split of each group of seeds.

    Raises:
        StudyError: it cannot be read, or has too few examples.
    """
    read, vary = KeptData(), plan.spec.vary
    with blaming("data"):
        return tuple(read(vary.data(plan.spec.data, group)) for group in range(vary.groups))


def check_networks(plan: Plan, sizes: Sizes | None = None) -> None:
    """Build every network once, without numbers, for images of the data set's size, and load the teacher's file.

    Args:
        plan: the trials.
        sizes: of the data set; default: those that it declares. If it declares none, it is read.

    Raises:
        StudyError: a network cannot take the images, or the file is not the teacher's; names every arm.
    """
    sizes = sizes or known_sizes(plan)
    if found := faulty_arms(plan, sizes):
        raise StudyError("\n".join(found.values()))
    used = (setting.config.teacher for setting in plan.spec.settings())
    options = next((options for options in used if options is not None), None)
    if options is not None and options.checkpoint is not None:
        with blaming("teacher"):
            network = options.network().build(sizes.classes, sizes.channels, sizes.size)
            teacher.load_weights(options.checkpoint, network)


def known_sizes(plan: Plan) -> Sizes:
    """Return the sizes of the data set, which is read only if it declares none.

    Raises:
        StudyError: it cannot be read, or has too few examples.
    """
    with blaming("data"):
        sizes = sizes_of(plan.spec.data)
        student_examples(plan.spec.data, sizes.train)
    return sizes


def faulty_arms(plan: Plan, sizes: Sizes) -> dict[str, str]:
    """Return what is wrong with arms whose networks cannot be built, by name of the arm."""
    found, built = dict[str, str](), set[str]()
    for setting in plan.spec.settings():
        options = setting.config.teacher
        for network in (setting.config.student, *([options.network()] if options is not None else [])):
            if (key := alike(setting.config, network=network)) in built or setting.arm in found:
                continue
            try:
                with blaming(f"arm {setting.arm}"), shapes_alone():
                    network.build(sizes.classes, sizes.channels, sizes.size)
                built.add(key)
            except StudyError as fault:
                found[setting.arm] = str(fault)
    return found


@contextlib.contextmanager
def blaming(part: str) -> Iterator[None]:
    """Raise every error, a plug-in's too, as a ``StudyError`` that names this part of the study.

    It also names the kind of error, the file and the line, unless this project raises it for its users to read.
    """
    try:
        yield
    except StudyError:
        raise
    except Exception as error:
        says_enough = isinstance(error, OSError | ValueError | ArithmeticError) and faults.is_ours(error)
        raise StudyError(f"{part}: {error if says_enough else faults.described(error)}") from error
