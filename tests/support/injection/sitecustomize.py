"""Loaded by Python at its start where this folder is in PYTHONPATH: installs faults in Ray's workers."""

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from types import ModuleType

_MODULE = "trainables.trainable"


class _Finder(importlib.abc.MetaPathFinder):
    """Installs the faults once a process has imported the module that workers run."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != _MODULE:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def load_and_install(module: ModuleType) -> None:
                load(module)
                sys.modules[_MODULE] = module
                from tests.support import injected

                for fault in injected.from_environment():
                    injected.install(fault)

            spec.loader.exec_module = load_and_install  # type: ignore[method-assign]
        return spec


sys.meta_path.insert(0, _Finder())
