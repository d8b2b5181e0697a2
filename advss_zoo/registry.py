"""Finding what a package offers: a new objective, adversary or protocol is one new file, listed nowhere else."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from types import ModuleType
from typing import TypeVar

Base = TypeVar("Base")


def subclasses(package: ModuleType, base: type[Base]) -> list[type[Base]]:
    """The concrete subclasses of `base` that the modules of `package` define, in alphabetical order of modules."""
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
        and not inspect.isabstract(value)
    ]
