"""What is looked for before anything runs: data sets, networks that take their images, a teacher's file."""

from ctkd_study.errors import StudyError
from ctkd_study.plan.plan import Plan
from trainables import teacher
from trainables.alike import alike
from trainables.data import split
from trainables.models.init import shapes_alone


def check_networks(plan: Plan) -> None:
    """Builds every network of the plan once, without numbers, for the images of its data set; loads a teacher's file.

    Raises:
        StudyError: a network cannot take the images, or the data set, its split or the teacher's weights cannot be had.
    """
    seen: set[str] = set()
    for setting in plan.spec.settings():
        config = setting.config
        networks = [config.student, *([config.teacher.network()] if config.teacher is not None else [])]
        for network in networks:
            key = alike(config, "data", network=network, is_student=network is networks[0])
            if key in seen:
                continue
            seen.add(key)
            try:
                arrays = config.data.load()
                split(arrays.train_labels, config.data)
                with shapes_alone():
                    network.build(arrays.classes, arrays.channels, arrays.size)
                if config.teacher is not None and config.teacher.checkpoint and network is networks[-1]:
                    real = network.build(arrays.classes, arrays.channels, arrays.size)
                    teacher.load_weights(config.teacher.checkpoint, real)
            except (OSError, ValueError) as fault:
                raise StudyError(f"arm {setting.arm}: {fault}") from fault
