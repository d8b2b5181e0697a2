"""What tests of evaluations share: quick protocols, and interruptions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from advss_zoo.evaluation.protocols import Protocol, parse
from advss_zoo.evaluation.protocols.autoattack import AutoAttack


def quick(name: str, **settings: Any) -> Protocol:
    """A protocol by name; AutoAttack and its attacks with so few iterations that they take no second."""
    protocol = parse(name, **settings)
    return replace(protocol, iterations=2, queries=6) if isinstance(protocol, AutoAttack) else protocol


def stop_at(limit: int) -> Callable[[int, int, str], None]:
    """A progress that interrupts once so many images are done."""

    def stop(done: int, total: int, part: str) -> None:
        if done >= limit:
            raise KeyboardInterrupt

    return stop
