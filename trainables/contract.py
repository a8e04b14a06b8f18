"""Checks a subclass of a part's base class when it is defined, not when it first runs."""

from typing import Any


class Contract:
    """A base class whose subclasses must define its abstract methods and leave its ``@final`` ones alone.

    ``nn.Module`` checks neither. A subclass that adds abstract methods of its own is a base class in turn: what it
    leaves open is asked of its subclasses.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Check the new class.

        Raises:
            TypeError: it lacks an abstract method, or overrides a final one.
        """
        super().__init_subclass__(**kwargs)
        for name in vars(cls):
            if any(getattr(vars(base).get(name), "__final__", False) for base in cls.__mro__[1:]):
                raise TypeError(f"{cls.__name__} must not override {name}; it must define {_abstract(cls.__mro__[1])}")
        if (missing := _abstract(cls)) and not any(map(_is_abstract, vars(cls).values())):
            raise TypeError(f"{cls.__name__} must define {missing}")


def _abstract(cls: type) -> str:
    """Return the names of a class's abstract methods."""
    return ", ".join(name for name in dir(cls) if _is_abstract(getattr(cls, name, None)))


def _is_abstract(member: object) -> bool:
    return getattr(member, "__isabstractmethod__", False) is True
