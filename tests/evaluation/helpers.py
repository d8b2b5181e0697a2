"""What tests of evaluations share: quick protocols, and interruptions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from advss_zoo.evaluation.protocols import Protocol, parse
from advss_zoo.evaluation.protocols.autoattack import AutoAttack
from advss_zoo.evaluation.protocols.unforeseen import UnforeseenAttack


def quick(name: str, **settings: Any) -> Protocol:
    """A protocol by name, with so few iterations that it takes no second."""
    protocol = parse(name, **settings)
    if isinstance(protocol, UnforeseenAttack):
        return replace(protocol, steps=2)
    return replace(protocol, iterations=2, queries=6) if isinstance(protocol, AutoAttack) else protocol


def stop_at(limit: int) -> Callable[[int, int, str], None]:
    """A progress that interrupts once so many images are done."""

    def stop(done: int, total: int, part: str) -> None:
        if done >= limit:
            raise KeyboardInterrupt

    return stop
