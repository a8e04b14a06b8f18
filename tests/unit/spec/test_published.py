"""Published numbers: in a study file, and beside a study's own."""

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from ctkd_study import SpecError, Study
from ctkd_study.launch.inline import InlineRunner, tabulated
from ctkd_study.report import terminal
from ctkd_study.report.html import page
from ctkd_study.spec import Published, from_mapping
from tests.support.studies import plain
from trainables.config import TrialConfig
from trainables.record import Row

# -- in a study file -------------------------------------------------------------------------------------------------

PAPER: dict[str, Any] = {"protocol": "paper", "data": {"name": "digits", "validation": 0}}
RECIPE: dict[str, Any] = {"recipe": {"preset": "cifar100"}}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({**PAPER, **RECIPE}, []),
        (RECIPE, ["100 training examples are held out and select epochs and settings, not the test set"]),
        (
            {**PAPER, **RECIPE, "data": {"name": "digits", "validation": 0, "train_examples": 300}},
            ["the student sees 300 training examples, not all"],
        ),
        (
            {**PAPER, "recipe": {"preset": "cifar100", "epochs": 3, "schedule": {"kind": "cosine"}, "lr": 1}},
            [
                "recipe.epochs is 3, not 240",
                "recipe.lr is 1, not 0.05",
                "recipe.schedule is {kind: cosine}, not {kind: step, milestones: [150, 180, 210], gamma: 0.1}",
            ],
        ),
    ],
)
def test_what_differs_from_the_literature(changes: dict[str, Any], expected: list[str]) -> None:
    published = {"source": "s", "arms": {"four": 70}, "recipe": "cifar100"}
    spec = from_mapping(plain(published=published, **changes))
    assert spec.published is not None
    assert list(spec.published.differences(spec.protocol, spec.data, spec.recipe)) == expected
    silent = spec.published.model_copy(update={"recipe": None})
    known = [text for text in expected if not text.startswith("recipe")]
    assert list(silent.differences(spec.protocol, spec.data, spec.recipe)) == known


def test_it_changes_no_trial() -> None:
    bare, noted = from_mapping(plain()), from_mapping(plain(published={"source": "s", "arms": {"four": 70}}))
    assert bare.settings() == noted.settings()
    assert from_mapping(noted.plain()) == noted


@pytest.mark.parametrize(
    ("published", "key", "message"),
    [
        ({"source": "s", "arms": {"five": 70}}, "published", "must be of the arms four, but name five"),
        ({"source": "s", "arms": {"four": 0}}, "published.arms", "above 0 and at most 100"),
        ({"source": "s", "arms": {"four": 100.5}}, "published.arms", "but gives 100.5 for four"),
        ({"source": "s", "arms": {"four": True}}, "published.arms", "but gives True for four"),
        ({"source": "s", "arms": {"four": "70"}}, "published.arms", "but gives '70' for four"),
        ({"source": "s", "arms": [70]}, "published.arms", "an accuracy above 0"),
        ({"arms": {"four": 70}}, "published.source", "is required"),
        ({"source": "s", "teacher": 101}, "published.teacher", "at most 100"),
        ({"source": "s", "recipe": "cifar"}, "published.recipe", "must be one of cifar100"),
        ({"source": "s", "sources": {"four": "t"}}, "published", "sources must name arms that have a number"),
    ],
)
def test_faults(published: dict[str, Any], key: str, message: str) -> None:
    with pytest.raises(SpecError) as refused:
        from_mapping(plain(published=published))
    (fault,) = refused.value.faults
    assert fault.key == key
    assert message in fault.message


def test_accuracies_are_above_0_and_at_most_100() -> None:
    arms = {"low": 0.5, "high": 100}
    settings = {arm: {"temperature": {"kind": "fixed", "value": 4}} for arm in arms}
    spec = from_mapping(plain(published={"source": "s", "arms": arms}, arms=settings))
    assert spec.published is not None
    assert spec.published.arms == arms


def test_a_number_has_its_own_source_or_that_of_all() -> None:
    published = Published(source="Somebody, 2023", arms={"a": 70, "b": 71}, sources={"b": "Nobody, 2024"})
    assert published.source_of("a") == "Somebody, 2023"
    assert published.source_of("b") == "Nobody, 2024"


@pytest.mark.slow
def test_compare_shows_them(tmp_path: Path) -> None:
    def rows(config: TrialConfig) -> list[Row]:
        row: Row = {"epoch": 1, "time_ms": 1, "val_loss": 0.1, "val_top1": 70.0, "test_loss": 0.1}
        row["test_top1"] = 70.5 + config.seed / 10
        return [{**row, "epoch_seconds": 1.0, "device_seconds": 1.0, "eval_seconds": 0.0, "tflop": 1.0}]

    arms = {"alone": {"distiller": {"name": "none"}}}
    published = {"source": "Somebody, 2023", "student": 70.1}
    study = Study(**{**plain(published=published, arms=arms, **PAPER), "teacher": None})
    storage = str(tmp_path / "results")
    study.run(storage, runner=InlineRunner(tabulated(rows)))
    console = Console(file=io.StringIO(), width=120)
    terminal.show(study.compare(storage), console)
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    assert "- alone: published 70.10 / here 70.60 ± 0.25 (Somebody, 2023)." in printed
    assert "published 70.10 / here 70.60" in page(study.compare(storage))
