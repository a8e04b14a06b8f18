"""The structure of the code is the one that CONTRIBUTING.md describes and import-linter enforces."""

import ast
import re
import statistics
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLATFORM = ROOT / "ctkd_study"
ROOMS = sorted(path.parent.name for path in PLATFORM.glob("*/__init__.py"))
MODULES = sorted(
    path.relative_to(ROOT) for name in ("ctkd_study", "trainables") for path in (ROOT / name).rglob("*.py")
)
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()

#: Modules that draw with matplotlib, which takes most of a second to import: ``report`` does not export them, and the
#: modules outside the rooms import them where they are used.
DRAWING = {
    "ctkd_study.report.curricula",
    "ctkd_study.report.effects",
    "ctkd_study.report.html",
    "ctkd_study.report.illustrations",
}


def layers_of_import_linter() -> list[set[str]]:
    """The layers of the platform, top first."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    [layered] = [contract for contract in contracts if contract["type"] == "layers"]
    assert layered["containers"] == ["ctkd_study"]
    return [set(layer.split(" | ")) for layer in layered["layers"]]


def layers_of_diagram() -> list[set[str]]:
    """The same as CONTRIBUTING.md draws them: names, at least two spaces, what they do."""
    [diagram] = re.findall(r"```text\n(.*?)```", CONTRIBUTING, flags=re.DOTALL)
    lines = [re.fullmatch(r"(\S+(?: \| \S+)*)  +(\S.*)", line) for line in diagram.splitlines()]
    assert all(lines)
    return [set(line[1].split(" | ")) for line in lines if line is not None]


def test_the_diagram_is_what_import_linter_enforces() -> None:
    assert layers_of_diagram() == layers_of_import_linter()


def test_every_module_of_the_platform_has_a_layer() -> None:
    present = {path.stem for path in PLATFORM.glob("*.py") if path.stem != "__init__"} | set(ROOMS)
    assert set().union(*layers_of_import_linter()) == present


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_says_what_it_does_takes_and_gives(room: str) -> None:
    docstring = ast.get_docstring(ast.parse((PLATFORM / room / "__init__.py").read_text())) or ""
    summary, _, rest = docstring.partition("\n\n")
    assert re.fullmatch(r"[A-Z][^\n]*\.", summary)
    assert re.match(r"Takes .*\b[Gg]ives\b", rest, flags=re.DOTALL)


def exports(package: str) -> set[str]:
    """The names in ``__all__`` of a package; empty for anything else."""
    file = ROOT / package.replace(".", "/") / "__init__.py"
    body = ast.parse(file.read_text()).body if file.exists() else []
    lists = [node for node in body if isinstance(node, ast.Assign | ast.AugAssign)]
    named = [node for node in lists if ast.unparse(node).startswith("__all__ ")]
    return {name for node in named for name in ast.literal_eval(node.value)}


def imported_modules(path: Path) -> Iterator[str]:
    """Every module that a file imports, anywhere in it; ``from a import b`` imports a.b if that is a module."""
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                is_module = (ROOT / f"{whole.replace('.', '/')}.py").exists()
                # An exported function may have the name of its module.
                yield whole if is_module and alias.name not in exports(str(node.module)) else str(node.module)


def test_other_code_imports_from_a_room_never_from_a_module_inside_it() -> None:
    found = []
    for path in MODULES:
        home = path.parts[1] if path.parts[0] == "ctkd_study" and path.parts[1] in ROOMS else None
        for module in imported_modules(path):
            package, *inside = module.split(".")
            if package == "ctkd_study" and len(inside) > 1 and inside[0] != home:
                found.append((path.as_posix(), module))
    assert {module for _, module in found} <= DRAWING
    assert {path for path, _ in found} <= {"ctkd_study/ablation.py", "ctkd_study/cli.py"}


def test_files_are_short() -> None:
    lengths = {path.as_posix(): len((ROOT / path).read_text().splitlines()) for path in MODULES}
    assert [path for path, length in lengths.items() if length > 400] == []
    assert statistics.median(lengths.values()) <= 120


def test_every_path_that_the_page_names_exists() -> None:
    page = re.sub(r"```.*?```", "", CONTRIBUTING, flags=re.DOTALL)
    named = re.findall(r"`([a-z_/.-]+(?:\.py|\.toml|\.txt|/))`", page)
    assert len(named) > 40
    missing = [name for name in named if not any((folder / name).exists() for folder in (ROOT, PLATFORM))]
    assert missing == []


def test_every_room_is_named_by_the_table_of_changes() -> None:
    table = CONTRIBUTING.partition("## To change X, open Y")[2].partition("\n## ")[0]
    assert len(re.findall(r"^\| [^*|-][^|]*\| `", table, flags=re.MULTILINE)) >= 25
    opened = {name.partition("/")[0] for name in re.findall(r"`(\w+/[\w.]+)`", table)}
    assert opened >= set(ROOMS)
