"""Finding what a package offers: a new objective, adversary, protocol or backbone is one file, listed nowhere else."""

from __future__ import annotations

import functools
import importlib
import inspect
import operator
import pkgutil
from abc import ABC
from types import ModuleType
from typing import Annotated, Any, TypeVar

from pydantic import Field

Base = TypeVar("Base")


def subclasses(package: ModuleType, base: type[Base]) -> list[type[Base]]:
    """Return the concrete subclasses of `base` that the modules of `package` define, in alphabetical order of
    modules.
    """
    modules = [
        importlib.import_module(f"{package.__name__}.{found.name}") for found in pkgutil.iter_modules(package.__path__)
    ]
    return [
        value
        for module in modules
        for value in vars(module).values()
        if inspect.isclass(value)
        and issubclass(value, base)
        and value.__module__ == module.__name__
        and not (inspect.isabstract(value) or ABC in value.__bases__)
    ]


def any_of(package: ModuleType, base: type[Any], key: str = "name") -> Any:
    """Make a pydantic field that takes any of the classes that `package` defines, told apart by their field `key`."""
    union: Any = functools.reduce(operator.or_, subclasses(package, base))
    return Annotated[union, Field(discriminator=key)]
