"""A study as a whole: the quickstart, what a study shares with a trial, and what a copy keeps."""

from pathlib import Path

import pytest

from ctkd_study.errors import SpecError
from ctkd_study.spec import StudySpec, Vary, from_mapping, grid, load, warnings
from tests.support.studies import only, plain
from trainables.config import TrialConfig, TrialParts
from trainables.models.resnet import ResNetOptions

QUICKSTART = Path(__file__).parents[3] / "studies" / "digits" / "quickstart.yaml"

# -- the quickstart --------------------------------------------------------------------------------------------------


def test_quickstart_settings_and_their_keys_stay_as_they_are() -> None:
    settings = load(QUICKSTART).settings()
    # The keys are part of the ids under which people's records lie: a change here loses them.
    assert [(setting.arm, setting.label, setting.key) for setting in settings] == [
        ("grid", "T=1", "88db7b9c"),
        ("grid", "T=2", "e999e8fd"),
        ("grid", "T=4", "ef9668bb"),
        ("grid", "T=8", "3565315a"),
        ("grid", "T=16", "86a50aa9"),
        ("global", "global", "09f68887"),
        ("instance", "instance", "b1200d77"),
        ("student_alone", "student_alone", "b7893e84"),
    ]


def test_quickstart_is_what_it_says() -> None:
    spec = load(QUICKSTART)
    assert spec.seeds == tuple(range(10))
    assert spec.vary == Vary(teacher=10, split=10)
    assert spec.teacher is not None
    assert spec.teacher.recipe is not None
    assert (spec.teacher.recipe.epochs, spec.teacher.recipe.batch_size) == (25, 32)
    alone = only(spec, "student_alone").config
    assert (alone.teacher, alone.teacher_source, alone.temperature, alone.curriculum) == (None, None, None, None)
    taught = only(spec, "global").config
    assert (taught.teacher, taught.teacher_source) == (spec.teacher, None)
    assert warnings(spec) == []


def test_the_same_study_in_python() -> None:
    curriculum = {"kind": "cosine", "start": 0.0, "end": 1.0, "epochs": 10}
    spec = from_mapping(
        {
            "name": "quickstart",
            "question": "Does a learned temperature save the grid search on digits?",
            "data": {"name": "digits", "validation": 250, "train_examples": 300},
            "teacher": {"model": "resnet20", "recipe": {"epochs": 25}},
            "student": ResNetOptions(model="resnet8", widths=(4, 4, 8, 16)),
            "recipe": {"epochs": 30, "batch_size": 32},
            "distiller": {"name": "kd"},
            "seeds": range(10).stop,
            "vary": {"teacher": 10, "split": 10},
            "margin": 1.5,
            "confirm": ["global"],
            "arms": {
                "grid": {"temperature": {"kind": "fixed", "value": grid(1, 2, 4, 8, 16)}},
                "global": {"temperature": {"kind": "global"}, "curriculum": curriculum},
                "instance": {"temperature": {"kind": "instance"}, "curriculum": curriculum},
                "student_alone": {"distiller": {"name": "none"}},
            },
        }
    )
    assert spec == load(QUICKSTART)
    assert spec.settings() == load(QUICKSTART).settings()


def test_a_study_survives_its_plain_form() -> None:
    spec = load(QUICKSTART)
    again = from_mapping(spec.plain())
    assert again == spec
    assert again.settings() == spec.settings()
    assert again.plain() == spec.plain()


# -- keys and copies -------------------------------------------------------------------------------------------------


def test_a_study_states_every_part_of_a_trial() -> None:
    for key, part in TrialParts.model_fields.items():
        assert StudySpec.model_fields[key].description == TrialConfig.model_fields[key].description == part.description
        assert part.description
    assert set(TrialConfig.model_fields) - set(TrialParts.model_fields) == {"seed", "run"}


def test_a_study_begins_with_its_name() -> None:
    assert list(from_mapping(plain()).plain())[:3] == ["name", "question", "protocol"]


def test_a_copy_resolves_its_settings_anew() -> None:
    spec = from_mapping(plain())
    changed = spec.model_copy(update={"recipe": spec.recipe.model_copy(update={"lr": 0.5})})
    assert only(changed, "four").config.recipe.lr == 0.5
    assert only(spec, "four").config.recipe.lr == 0.05


def test_a_copy_whose_arms_are_wrong_is_refused() -> None:
    arms = {"a": {"temperature": {"kind": "fixed", "value": -1}}}
    with pytest.raises(SpecError, match=r"arms\.a\.temperature\.value: must be at least 0\.01, but got -1"):
        from_mapping(plain()).model_copy(update={"arms": arms})


def test_a_study_validated_as_a_model_has_its_arms() -> None:
    spec = from_mapping(plain())
    assert StudySpec.model_validate(spec.plain()) == spec
    assert StudySpec.model_validate(spec.plain()).resolved_arms == spec.resolved_arms
