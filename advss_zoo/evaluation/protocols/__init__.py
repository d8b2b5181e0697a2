"""Protocols by name. A new family is one new file here with a subclass of `Protocol`."""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import fields
from functools import cache
from typing import Any, get_args

from advss_zoo.attacks.checks import check_counts, check_seed
from advss_zoo.attacks.eps import parse_eps
from advss_zoo.attacks.search import Precision
from advss_zoo.errors import UsageError, nearest
from advss_zoo.evaluation.ball import Norm
from advss_zoo.evaluation.protocols.base import Protocol, Settings
from advss_zoo.evaluation.schema import Constants
from advss_zoo.registry import subclasses

__all__ = ["Protocol", "Settings", "expand", "parse", "parse_all", "recorded"]


def expand(name: str) -> tuple[str, ...]:
    """Return the protocols that a name stands for: those of a suite (such as "unforeseen-fog"), or itself."""
    return _suites().get(name, (name,))


def parse(name: str, **settings: Any) -> Protocol:
    """Return the protocol called `name`, for example "clean", "pgd20" or "autoattack".

    Args:
        settings: norm, eps, step_size, restarts, seed and search, see `Settings`; sizes may be texts such as "8/255".

    Raises:
        UsageError: there is no such protocol or setting, it does not take one, or a constant makes no sense.
    """
    if name in _suites():
        raise UsageError(
            f"{name} is a suite of several protocols.", f"Choose one of them, such as {_suites()[name][0]}."
        )
    (found,) = parse_all([name], **settings)
    return found


def recorded(constants: Constants) -> Protocol:
    """Return the protocol of a result with these constants.

    Raises:
        UsageError: this version does not have it.
    """
    settings = {"name", *(field.name for field in fields(Settings))}
    return parse(**{key: value for key, value in constants.to_dict().items() if key in settings})


def parse_all(names: Sequence[str], **settings: Any) -> list[Protocol]:
    """Return the protocols that names stand for, each once; a setting is for those of them that take it.

    Raises:
        UsageError: as `parse`; but that a setting is not taken is wrong only where no protocol takes it.
    """
    checked = _checked(settings)
    families = {member: _family(member) for name in names for member in expand(name)}
    _check_taken(checked, families.values(), names)
    return [family.create(name, checked.only(family.takes)) for name, family in families.items()]


def _family(name: str) -> type[Protocol]:
    for family in _families():
        if re.fullmatch(family.pattern, name):
            return family
    examples = [example for family in _families() for example in family.examples]
    near = difflib.get_close_matches(name.lower(), [*examples, *_suites()], n=1)
    hint = f"Did you mean {near[0]}?" if near else f"Choose for example from {', '.join(examples)}."
    raise UsageError(f"Unknown protocol {name!r}.", f"{hint} See `advss eval --help`.")


def _check_taken(settings: Settings, families: Iterable[type[Protocol]], names: Sequence[str]) -> None:
    taken = frozenset().union(*(family.takes for family in families))
    refused = " and ".join(f"--{name.replace('_', '-')}" for name in settings.given() if name not in taken)
    if refused:
        # Without a name there are only images that --adversarial judges.
        raise UsageError(
            f"{refused} cannot be used with {' or '.join(names) or 'saved images'}.", f"Leave out {refused}."
        )


@cache
def _families() -> list[type[Protocol]]:
    return subclasses(sys.modules[__name__], Protocol)  # type: ignore[type-abstract]


def _suites() -> dict[str, tuple[str, ...]]:
    return {name: members for family in _families() for name, members in family.suites().items()}


def _checked(given: dict[str, Any]) -> Settings:
    known = [field.name for field in fields(Settings)]
    for name in given:
        if name not in known:
            raise UsageError(f"Unknown setting {name!r}{nearest(name, known)}.", f"Choose from {', '.join(known)}.")
    norm = given.get("norm", Settings.norm)
    if norm not in get_args(Norm):
        raise UsageError(f"Unknown norm {norm!r}.", f"Choose from {', '.join(get_args(Norm))}.")
    sizes = {key: parse_eps(given[key], norm, key) for key in ("eps", "step_size") if given.get(key) is not None}
    settings = Settings(**given | sizes)
    check_counts(restarts=settings.restarts)
    check_seed(settings.seed)
    if settings.search not in get_args(Precision):
        raise UsageError(f"Unknown precision {settings.search!r}.", f"Choose {' or '.join(get_args(Precision))}.")
    return settings
