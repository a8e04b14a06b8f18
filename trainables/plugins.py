"""Plug-ins: parts that other packages add. What stands for their code, and the error of one that is broken.

The code of a plug-in decides a trial's numbers as much as its options do. So a digest of it is part of the fingerprint
of every trial that names the plug-in. The parts of this project have the version of the project.
"""

import functools
import importlib.machinery
import sys
from pathlib import Path

from trainables.hashing import digest, file_sha256

#: Packages whose classes are no plug-ins, besides those of the standard library.
_KNOWN = frozenset({"ctkd_study", "pydantic", "trainables"})
_SUFFIXES = (*importlib.machinery.SOURCE_SUFFIXES, *importlib.machinery.EXTENSION_SUFFIXES)


class PluginError(Exception):
    """A plug-in that cannot be used. The text names it, and is meant for its user."""


@functools.lru_cache(maxsize=1024)
def code_of(options: type) -> str | None:
    """Return what stands for the code behind an options class; None if all of it belongs to this project.

    For each package that the class or one of its bases comes from, that is the name and a digest of the package's
    source files: all of them, as any may take part; or of its one module. If the class declares
    ``version: ClassVar[str]``, the version stands for the code of its package, and files are not read. A class is
    looked at once per process, when a registry finds it: later edits concern the processes that import them.

    Raises:
        PluginError: the code is not in files, and there is no version.
    """
    found: dict[str, str] = {}
    for base in options.__mro__:
        package = base.__module__.partition(".")[0]
        if package in found or package in _KNOWN or package in sys.stdlib_module_names:
            continue
        same = (vars(each).get("version") for each in options.__mro__ if each.__module__.partition(".")[0] == package)
        version = next((each for each in same if isinstance(each, str)), None)
        found[package] = f"{package} version {version}" if version is not None else f"{package} {_digest_of(base)}"
    return ", ".join(found.values()) or None


def _digest_of(options: type) -> str:
    place, is_package = _place_of(options)
    files = [file for file in place.rglob("*") if file.name.endswith(_SUFFIXES)] if is_package else [place]
    return digest({str(file.relative_to(place.parent)): file_sha256(str(file)) for file in files})


def _place_of(options: type) -> tuple[Path, bool]:
    """Return the folder of the outermost package that is not a mere namespace, or the file of a module outside one."""
    names = options.__module__.split(".")
    for count in range(1, len(names) + 1):
        module = sys.modules.get(".".join(names[:count]))
        file = getattr(module, "__file__", None)
        if file is not None and Path(file).is_file():
            return (Path(file).parent, True) if hasattr(module, "__path__") else (Path(file), False)
    raise PluginError(
        f"the code of {options.__module__}.{options.__qualname__} is in no file: the class must declare what stands "
        "for it, as version: ClassVar[str]"
    )
