"""Protocols by name. A new family is one new file here with a subclass of `Protocol`."""

from __future__ import annotations

import difflib
import re
import sys
from typing import Any, get_args

from advss_zoo.attacks.search import Precision
from advss_zoo.errors import UsageError
from advss_zoo.evaluation.ball import Norm
from advss_zoo.evaluation.eps import check_eps
from advss_zoo.evaluation.protocols.base import Protocol, Settings
from advss_zoo.registry import subclasses

__all__ = ["Protocol", "Settings", "expand", "parse"]


def expand(name: str) -> tuple[str, ...]:
    """The protocols that a name stands for: those of a suite ("unforeseen", "unforeseen-fog"), or itself."""
    return _suites().get(name, (name,))


def parse(name: str, **settings: Any) -> Protocol:
    """The protocol called `name`, for example "clean", "pgd20" or "autoattack".

    Args:
        settings: norm, eps, step_size, restarts, seed and search, see `Settings`.

    Raises:
        UsageError: there is no such protocol, or a constant makes no sense.
    """
    checked = _checked(Settings(**settings))
    for family in _families():
        if re.fullmatch(family.pattern, name):
            return family.create(name, checked)
    if name in _suites():
        raise UsageError(f"{name} stands for several protocols.", f"One of them is {_suites()[name][0]}.")
    examples = [example for family in _families() for example in family.examples]
    near = difflib.get_close_matches(name.lower(), [*examples, *_suites()], n=1)
    hint = f"Did you mean {near[0]}?" if near else f"There are, for example: {', '.join(examples)}."
    raise UsageError(f"There is no protocol {name!r}; known are {', '.join(examples)}.", hint)


def _families() -> list[type[Protocol]]:
    return subclasses(sys.modules[__name__], Protocol)  # type: ignore[type-abstract]


def _suites() -> dict[str, tuple[str, ...]]:
    return {name: members for family in _families() for name, members in family.suites().items()}


def _checked(settings: Settings) -> Settings:
    if settings.norm not in get_args(Norm):
        raise UsageError(f"There is no norm {settings.norm!r}.", f"Choose {', '.join(get_args(Norm))}.")
    for size in (settings.eps, settings.step_size):
        if size is not None:
            check_eps(size, settings.norm)
    if settings.restarts < 1:
        raise UsageError(f"{settings.restarts} restarts are no attack.", "At least 1 is needed.")
    if not 0 <= settings.seed < 2**61:
        raise UsageError(f"The seed {settings.seed} cannot be used.", "Choose one from 0 to 2**61 - 1.")
    if settings.search not in get_args(Precision):
        raise UsageError(f"There is no search in {settings.search!r}.", f"Choose {' or '.join(get_args(Precision))}.")
    return settings
