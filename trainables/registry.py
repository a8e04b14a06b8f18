"""Registries of the parts that a study file can name.

A registry finds the options classes in the modules of a package of this project, and those that installed packages add
through an entry point group. There is no list to edit: a new file is found because it exists. The tag of a class is the
``Literal`` of its tag field, or its ``prefix``.
"""

import contextlib
import functools
import importlib
import importlib.metadata
import inspect
import pkgutil
from collections.abc import Iterator
from typing import Any, Generic, Literal, TypeVar, get_args, get_origin

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from trainables import faults
from trainables.options import Options
from trainables.plugins import PluginError, code_of

OptionsT = TypeVar("OptionsT", bound=Options)


class Registry(Generic[OptionsT]):
    """The options classes of one kind of part, by tag.

    Args:
        package: dotted name of the package or module that holds the project's own options classes.
        base: the abstract options class; every concrete subclass found is an entry.
        tag: the field that names the entry (``name``, ``kind`` or ``model``); its annotation is a ``Literal``
            with one or more values. A class with a class variable ``prefix``, which ends in ``:``, accepts every value
            that starts with it, and validates the rest itself: ``torchvision:`` accepts ``torchvision:resnet18``.
        entry_points: the entry point group through which installed packages add theirs.
    """

    def __init__(self, package: str, base: type[OptionsT], tag: str, entry_points: str) -> None:
        self.package, self.base, self.tag, self.entry_points = package, base, tag, entry_points

    @functools.cached_property
    def classes(self) -> dict[str, type[OptionsT]]:
        """Options classes by tag, sorted by tag.

        Raises:
            PluginError: an entry point of an installed package is broken; the text names it.
        """
        found: dict[str, type[OptionsT]] = {}
        for candidate in self._candidates():
            for tag in self._tags(candidate):
                if found.setdefault(tag, candidate) is not candidate:
                    both = " and ".join(f"{each.__module__}.{each.__qualname__}" for each in (found[tag], candidate))
                    raise PluginError(f"two parts of {self.entry_points} are called {tag!r}: {both}. Uninstall one")
        return dict(sorted(found.items()))

    def _candidates(self) -> Iterator[type[OptionsT]]:
        root = importlib.import_module(self.package)
        names = [self.package]
        if hasattr(root, "__path__"):
            names += [f"{self.package}.{module.name}" for module in pkgutil.iter_modules(root.__path__)]
        for name in names:
            for _, member in inspect.getmembers(importlib.import_module(name), inspect.isclass):
                if issubclass(member, self.base) and member.__module__ == name:
                    yield member
        for entry_point in importlib.metadata.entry_points(group=self.entry_points):
            yield self._loaded(entry_point)

    def _loaded(self, entry_point: importlib.metadata.EntryPoint) -> type[OptionsT]:
        """Return the class that an entry point names.

        Raises:
            PluginError: it names none that can be used.
        """
        package = f"{entry_point.dist.name} {entry_point.dist.version}" if entry_point.dist else "an unknown package"
        named = f"the entry point {entry_point.name!r} of {self.entry_points}, from {package},"
        advice = "Mend that package, or uninstall it"
        try:
            loaded = entry_point.load()
        except Exception as error:  # importing a module runs its code, which can raise anything
            raise PluginError(f"{named} cannot be loaded: {faults.described(error)}. {advice}") from error
        if not (inspect.isclass(loaded) and issubclass(loaded, self.base)):
            raise PluginError(f"{named} must be a {self.base.__name__}, but {entry_point.value} is not. {advice}")
        if not self._tags(loaded):
            rule = f"must have a field {self.tag!r} whose type is a Literal"
            raise PluginError(f"{named} {rule}, but {entry_point.value} has none. {advice}")
        with contextlib.suppress(PluginError, OSError):  # whoever asks for it is told
            code_of(loaded)  # now, so that it is that of the code that was loaded, should somebody edit the files
        return loaded

    def _tags(self, candidate: type[OptionsT]) -> tuple[str, ...]:
        prefix: str | None = getattr(candidate, "prefix", None)
        if prefix is not None:
            return (prefix,)
        field = candidate.model_fields.get(self.tag)
        if field is None or get_origin(field.annotation) is not Literal:
            return ()  # an abstract base
        return tuple(str(value) for value in get_args(field.annotation))

    def __contains__(self, tag: object) -> bool:
        return isinstance(tag, str) and self.entry_of(tag) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(self.classes)

    def entry_of(self, value: str) -> str | None:
        """Return the tag of the entry that accepts this value of the tag field, or None."""
        if value in self.classes:
            return value
        prefix = value.partition(":")[0] + ":"
        return prefix if prefix in self.classes and value != prefix else None

    def __getitem__(self, value: str) -> type[OptionsT]:
        entry = self.entry_of(value)
        if entry is None:
            raise KeyError(f"{self.tag} must be one of {', '.join(self.classes)}, but got {value!r}")
        return self.classes[entry]

    def parse(self, data: dict[str, Any]) -> OptionsT:
        """Validate options given as a mapping.

        Raises:
            KeyError: no entry has this tag.
            pydantic.ValidationError: an option is invalid.
        """
        return self[str(data.get(self.tag))].model_validate(data)


class OneOf:
    """Annotation of a field that holds the options of one entry of a registry: ``Annotated[KdOptions, OneOf(...)]``."""

    def __init__(self, registry: Registry[Any]) -> None:
        self.registry = registry

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        registry = self.registry

        def tag_of(value: Any) -> str | None:
            tag = value.get(registry.tag) if isinstance(value, dict) else getattr(value, registry.tag, None)
            # An unknown tag is returned as it is, so that the error can quote it.
            return (registry.entry_of(tag) or tag) if isinstance(tag, str) else None

        return core_schema.tagged_union_schema(
            {tag: handler.generate_schema(options) for tag, options in registry.classes.items()}, discriminator=tag_of
        )
