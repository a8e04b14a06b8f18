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
from trainables.curriculum import CURRICULA, CurriculumOptions
from trainables.data.views import VIEWS
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
    (tmp_path / f"{module}.py").write_text(code)
    folder = tmp_path / "my_package-1.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1\n")
    (folder / "entry_points.txt").write_text(f"[{group}]\n{name} = {target}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    registry = Registry(CURRICULA.package, CurriculumOptions, CURRICULA.tag, CURRICULA.entry_points)
    assert set(registry) == {*CURRICULA, "root"}
    schedule = registry.parse({"kind": "root", "epochs": 16})
    assert [schedule.strength(epoch) for epoch in (1, 4, 16, 17)] == [0.25, 0.5, 1.0, 1.0]
    sys.modules.pop(module)


def test_an_entry_point_of_another_class_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "wrong-1.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: wrong\nVersion: 1\n")
    (folder / "entry_points.txt").write_text(f"[{VIEWS.entry_points}]\nroot = trainables.curriculum:Linear\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    registry = Registry(VIEWS.package, VIEWS.base, VIEWS.tag, VIEWS.entry_points)
    with pytest.raises(TypeError, match=r"entry point 'root' of ctkd_study\.views must be a ViewOptions"):
        _ = registry.classes


def test_an_unknown_name_lists_the_known() -> None:
    with pytest.raises(KeyError, match="kind must be one of crop, plain, but got 'mixup'"):
        VIEWS.parse({"kind": "mixup"})
