"""Checks that come before a study runs: its networks, the teacher's file, its data set."""

import contextlib
from collections.abc import Iterator

from ctkd_study.errors import StudyError
from ctkd_study.plan.due import Plan
from trainables import teacher
from trainables.data import sizes_of, student_examples
from trainables.models.init import shapes_alone
from trainables.shared_keys import alike


def check_networks(plan: Plan, read: bool = False) -> None:
    """Build every network once, without numbers, for images of the data set's size, and load the teacher's file.

    Args:
        plan: the trials.
        read: whether the data set is read, and downloaded if need be; else it is only where it declares no sizes.

    Raises:
        StudyError: the data set cannot be read or has too few examples, a network cannot take its images, or the file
            is not the teacher's.
    """
    data, built = plan.spec.data, set[str]()
    with blaming("data"):
        sizes = data.load().sizes if read else sizes_of(data)
        student_examples(data, sizes.train)
    shape = (sizes.classes, sizes.channels, sizes.size)
    for setting in plan.spec.settings():
        options = setting.config.teacher
        for network in (setting.config.student, *([options.network()] if options is not None else [])):
            if (key := alike(setting.config, network=network)) not in built:
                built.add(key)
                with blaming(f"arm {setting.arm}"), shapes_alone():
                    network.build(*shape)
    used = (setting.config.teacher for setting in plan.spec.settings())
    options = next((options for options in used if options is not None), None)
    if options is not None and options.checkpoint is not None:
        with blaming("teacher"):
            teacher.load_weights(options.checkpoint, options.network().build(*shape))


@contextlib.contextmanager
def blaming(part: str) -> Iterator[None]:
    """Raise every error, a plug-in's too, as a ``StudyError`` that names this part of the study."""
    try:
        yield
    except StudyError:
        raise
    except Exception as error:
        says_enough = isinstance(error, OSError | ValueError | ArithmeticError)
        raise StudyError(f"{part}: {error if says_enough else f'{type(error).__name__}: {error}'}") from error
