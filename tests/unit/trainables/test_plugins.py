"""What stands for the code of plug-ins, and that it is part of the identity of trials and teachers."""

import importlib
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support import settings
from trainables import teacher
from trainables.config import code_of_parts
from trainables.curriculum import Linear
from trainables.data.digits import DigitsOptions
from trainables.data.views import Plain
from trainables.models import MODELS
from trainables.options import Options
from trainables.plugins import PluginError, code_of

PART = "from trainables.data.digits import DigitsOptions\n\nclass Part(DigitsOptions):\n    pass\n"
VERSIONED = (
    "from typing import ClassVar\n\nfrom trainables.data.digits import DigitsOptions\n\n"
    "class Base(DigitsOptions):\n    version: ClassVar[str] = '3'\n\nclass Part(Base):\n    pass\n"
)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A folder of ``sys.path`` whose modules are forgotten afterwards."""
    monkeypatch.syspath_prepend(str(tmp_path))
    known = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - known:
        sys.modules.pop(name)


def imported(site: Path, files: dict[str, str], module: str) -> Any:
    """The class ``Part`` of a module, as a process that starts now would import it."""
    for name in [name for name in sys.modules if name.partition(".")[0] == module.partition(".")[0]]:
        del sys.modules[name]
    for path, content in files.items():
        file = site / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
        for stale in file.parent.glob("__pycache__/*"):
            stale.unlink()
    importlib.invalidate_caches()
    return importlib.import_module(module).Part


def code(site: Path, files: dict[str, str], module: str) -> str:
    found = code_of(imported(site, files, module))
    assert found is not None
    return found


def test_this_projects_parts_have_no_code_of_their_own() -> None:
    for options in (DigitsOptions, Linear, Plain, Options, int, *MODELS.classes.values()):
        assert code_of(options) is None, options


def test_the_code_of_a_module_is_its_file(site: Path) -> None:
    first = code(site, {"single.py": PART}, "single")
    assert first.startswith("single ")
    assert len(first) == len("single ") + 16
    assert code(site, {"single.py": PART + "\n\nX = 1\n"}, "single") != first
    assert code(site, {"single.py": PART, "beside.py": "Y = 1\n"}, "single") == first


def test_the_code_of_a_package_is_all_its_source_files(site: Path) -> None:
    files = {"many/__init__.py": "", "many/deep/__init__.py": "", "many/deep/part.py": PART, "many/help.py": "X = 1\n"}
    first = code(site, files, "many.deep.part")
    assert code(site, files, "many.deep.part") == first, "unchanged"
    assert code(site, {**files, "many/notes.txt": "no source"}, "many.deep.part") == first
    assert code(site, {**files, "many/help.py": "X = 2\n"}, "many.deep.part") != first, "whatever file it is"
    assert code(site, {**files, "many/new.py": ""}, "many.deep.part") != first
    (site / "many" / "new.py").unlink()
    assert code(site, files, "many.deep.part") == first, "changed back"


def test_a_namespace_is_no_package(site: Path) -> None:
    files = {"lab/mine/__init__.py": "", "lab/mine/part.py": PART}
    first = code(site, files, "lab.mine.part")
    assert first.startswith("lab ")
    assert code(site, {**files, "lab/other/__init__.py": "", "lab/other/x.py": ""}, "lab.mine.part") == first


def test_a_declared_version_stands_for_the_code_and_is_inherited_within_its_package(site: Path) -> None:
    assert code(site, {"stable.py": VERSIONED}, "stable") == "stable version 3"
    assert code(site, {"stable.py": VERSIONED + "\nX = 1\n"}, "stable") == "stable version 3"
    assert code(site, {"stable.py": VERSIONED.replace("'3'", "'4'")}, "stable") == "stable version 4"


def test_what_a_plug_in_derives_from_is_its_code_too(site: Path) -> None:
    derived = "from stable import Base\n\nclass Part(Base):\n    pass\n"
    names = code(site, {"stable.py": VERSIONED, "derived.py": derived}, "derived").split(", ")
    assert names[0].startswith("derived ")
    assert "version" not in names[0], "another package's version says nothing of this one"
    assert names[1:] == ["stable version 3"]


def test_code_that_is_in_no_file_needs_a_version() -> None:
    made: Any = type("Made", (DigitsOptions,), {"__module__": "nowhere"})
    with pytest.raises(PluginError, match=r"nowhere\.Made is in no file: .* version: ClassVar\[str\]"):
        code_of(made)
    made.version = "1"
    code_of.cache_clear()
    assert code_of(made) == "nowhere version 1"


def test_code_is_read_once_for_a_class_and_files_once_while_they_are_unchanged(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = imported(site, {"single.py": PART}, "single")
    first = code_of(part)
    (site / "single.py").write_text("edited while this process runs the old code")
    assert code_of(part) == first
    again = imported(site, {"single.py": PART}, "single")
    os.utime(site / "single.py", ns=(1, 1))
    monkeypatch.setattr(Path, "open", lambda *args, **named: pytest.fail("a file is read again"))
    with pytest.raises(pytest.fail.Exception):
        code_of(again)  # its time of change is new


def test_trials_and_teachers_are_identified_by_the_code_of_the_plug_ins_they_name(site: Path, tmp_path: Path) -> None:
    config = settings.trial(tmp_path)
    assert "code" not in config.identity()

    def named(text: str) -> Any:
        options = imported(site, {"single.py": text}, "single")
        code_of(options)  # as a registry does
        return config.model_copy(update={"data": options.model_validate(config.data.plain())})

    before, after = named(PART), named(PART + "\n\nX = 1\n")
    assert code_of_parts(before) == before.identity()["code"] == {"data": code_of(before.data.__class__)}
    assert before.plain() == after.plain() == config.plain(), "the options are the same"
    assert len({each.fingerprint() for each in (config, before, after)}) == 3
    assert len({teacher.fingerprint(each) for each in (config, before, after)}) == 3


def test_a_plug_in_within_a_part_is_found_and_a_loaded_teacher_is_its_code_too(site: Path, tmp_path: Path) -> None:
    views = "from trainables.data.views import Crop\n\nclass Part(Crop):\n    pass\n"
    part = imported(site, {"single.py": views}, "single")
    config = settings.trial(tmp_path)
    data = config.data.model_copy(update={"views": part(padding=1)})
    found = config.model_copy(update={"data": data}).identity()["code"]
    assert found == {"data.views": code_of(part)}

    network = "from trainables.models.resnet import ResNetOptions\n\nclass Part(ResNetOptions):\n    pass\n"
    marks = set()
    for text in (network, network + "\nX = 1\n"):
        options = imported(site, {"single.py": text}, "single")
        (tmp_path / "weights.pth").write_bytes(b"x")
        loaded = settings.trial(tmp_path, teacher={**settings.STUDENT, "checkpoint": str(tmp_path / "weights.pth")})
        assert loaded.teacher is not None
        own = type("Teacher", (type(loaded.teacher),), {"network": lambda self, made=options: made(**settings.STUDENT)})
        marks.add(teacher.fingerprint(loaded.model_copy(update={"teacher": own(**loaded.teacher.plain())})))
    assert len(marks) == 2
