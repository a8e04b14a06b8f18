"""Registries: what an installed package can add, and that README and pyproject.toml name every way to do so."""

import importlib
import pkgutil
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

import trainables
from tests.support.plugins import install
from trainables.curriculum import CURRICULA, CurriculumOptions
from trainables.data.views import VIEWS
from trainables.plugins import PluginError
from trainables.registry import Registry

ROOT = Path(__file__).parents[3]


def every_registry() -> list[Registry[Any]]:
    """Every ``Registry`` that a module of ``trainables`` holds."""
    found: dict[int, Registry[Any]] = {}
    for module in pkgutil.walk_packages(trainables.__path__, "trainables."):
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, Registry):
                found[id(value)] = value
    return list(found.values())


def groups() -> set[str]:
    return {registry.entry_points for registry in every_registry()}


def readme_rows() -> dict[str, str]:
    """Options class by entry point group, from README's table."""
    section = (ROOT / "README.md").read_text().partition("### What an installed package can add\n")[2]
    table = section.partition("\n## ")[0]
    return dict(re.findall(r"^\| `(ctkd_study\.\w+)` \|[^|]+\| `([\w.]+)` \|$", table, flags=re.MULTILINE))


def load_class(dotted: str) -> Any:
    module, _, name = dotted.rpartition(".")
    return getattr(importlib.import_module(module), name)


def test_the_registries_are_these() -> None:
    names = ("curricula", "datasets", "distillers", "models", "schedules", "temperatures", "views")
    assert groups() == {f"ctkd_study.{name}" for name in names}


def test_readme_names_every_entry_point_group_and_its_options_class() -> None:
    rows = readme_rows()
    assert rows.keys() == groups()
    for registry in every_registry():
        # A teacher is a network with keys of its own: packages add the network.
        expected = load_class(rows[registry.entry_points])
        entries = {entry for entry in registry.classes.values() if issubclass(entry, expected)}
        assert entries == set(registry.classes.values()), registry.entry_points
    assert {load_class(dotted) for dotted in rows.values()} <= {registry.base for registry in every_registry()}


def test_pyproject_names_every_entry_point_group() -> None:
    comments = re.findall(r"^#(.*)", (ROOT / "pyproject.toml").read_text(), flags=re.MULTILINE)
    assert set(re.findall(r"ctkd_study\.\w+", " ".join(comments))) == groups()


def test_an_installed_package_adds_an_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The schedule of CONTRIBUTING.md, in a package with the entry point that the page shows."""
    page = (ROOT / "CONTRIBUTING.md").read_text()
    code = next(block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "class Root" in block)
    entry_points = next(block for block in re.findall(r"```toml\n(.*?)```", page, re.DOTALL))
    [(group, entries)] = tomllib.loads(entry_points)["project"]["entry-points"].items()
    [(name, target)] = entries.items()
    module = target.partition(":")[0]
    install(tmp_path, "my_package", {group: {name: target}}, {f"{module}.py": code})
    monkeypatch.syspath_prepend(str(tmp_path))
    registry = Registry(CURRICULA.package, CurriculumOptions, CURRICULA.tag, CURRICULA.entry_points)
    assert set(registry) == {*CURRICULA, "root"}
    schedule = registry.parse({"kind": "root", "epochs": 16})
    assert [schedule.strength(epoch) for epoch in (1, 4, 16, 17)] == [0.25, 0.5, 1.0, 1.0]
    sys.modules.pop(module)


def test_an_entry_point_of_another_class_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "wrong", {VIEWS.entry_points: {"root": "trainables.curriculum:Linear"}}, {})
    monkeypatch.syspath_prepend(str(tmp_path))
    registry = Registry(VIEWS.package, VIEWS.base, VIEWS.tag, VIEWS.entry_points)
    with pytest.raises(PluginError) as refused:
        _ = registry.classes
    assert str(refused.value) == (
        "the entry point 'root' of ctkd_study.views, from wrong 1, must be a ViewOptions, but "
        "trainables.curriculum:Linear is not. Mend that package, or uninstall it"
    )


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("import a_package_that_is_not_there", "cannot be loaded: ModuleNotFoundError: No module named 'a_package_"),
        ("x = 1\n\nx.y", "cannot be loaded: AttributeError: 'int' object has no attribute 'y' ("),
        ("def f(:", "cannot be loaded: SyntaxError: invalid syntax"),
        ("", "cannot be loaded: AttributeError: module 'broken_part' has no attribute 'Root'"),
        ("def Root(): pass", "must be a CurriculumOptions, but broken_part:Root is not"),
        (
            "from trainables.curriculum import CurriculumOptions\nclass Root(CurriculumOptions): pass",
            "must have a field 'kind' whose type is a Literal, but broken_part:Root has none",
        ),
    ],
    ids=["import", "exception", "syntax", "no class", "no options", "no tag"],
)
def test_a_broken_entry_point_is_named_with_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, expected: str
) -> None:
    entries = {CURRICULA.entry_points: {"root": "broken_part:Root"}}
    install(tmp_path, "broken", entries, {"broken_part.py": code}, version="2.5")
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop("broken_part", None)
    with pytest.raises(PluginError) as refused:
        _ = Registry(CURRICULA.package, CurriculumOptions, CURRICULA.tag, CURRICULA.entry_points).classes
    said = str(refused.value)
    assert said.startswith(f"the entry point 'root' of ctkd_study.curricula, from broken 2.5, {expected}")
    assert said.endswith("Mend that package, or uninstall it")
    assert ("broken_part.py:3 in <module>)" in said) == ("x.y" in code), "file and line, where its code ran"
    sys.modules.pop("broken_part", None)


def test_two_parts_of_one_name_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = (
        "from typing import Literal\nfrom trainables.curriculum import CurriculumOptions\n"
        "class Mine(CurriculumOptions):\n    kind: Literal['linear'] = 'linear'\n"
    )
    install(tmp_path, "twin", {CURRICULA.entry_points: {"x": "twin_part:Mine"}}, {"twin_part.py": code})
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(PluginError) as refused:
        _ = Registry(CURRICULA.package, CurriculumOptions, CURRICULA.tag, CURRICULA.entry_points).classes
    both = "trainables.curriculum.Linear and twin_part.Mine"
    assert str(refused.value) == f"two parts of ctkd_study.curricula are called 'linear': {both}. Uninstall one"
    sys.modules.pop("twin_part")


def test_an_unknown_name_lists_the_known() -> None:
    with pytest.raises(KeyError, match="kind must be one of crop, plain, but got 'mixup'"):
        VIEWS.parse({"kind": "mixup"})
