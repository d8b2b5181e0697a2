"""What work really took on this machine: kept in one small file of the cache, for the next estimate."""

from __future__ import annotations

import os
import platform
import statistics
import time
from contextlib import suppress
from types import TracebackType
from typing import Self

import torch

from advss_zoo.errors import AdvssError
from advss_zoo.evaluation.effort import describe_device
from advss_zoo.files import cache_folder, read_json, write_json
from advss_zoo.models.architecture import Architecture
from advss_zoo.training.timing import Work, runs_alone

FILE = "speeds.json"
MOST = 200  # kinds of work that are kept, those measured last
LAST = 5  # measurements of each; their median counts


class Stopwatch:
    """Measure a stretch of work, and what it would have taken had no other program run.

    With one thread on a CPU that is its CPU seconds; elsewhere nobody knows, and all seconds count.
    """

    def __init__(self, device: str | torch.device) -> None:
        self.device = torch.device(device)
        self.wall = self.cpu = 0.0

    def __enter__(self) -> Self:
        self._began = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.wall, self.cpu = time.perf_counter() - self._began[0], time.process_time() - self._began[1]

    @property
    def share(self) -> float:
        """The part of the seconds in which this process computed."""
        return min(1.0, self.cpu / self.wall) if self.wall and runs_alone(self.device) else 1.0


def training(work: Work, attack_passes: int) -> str:
    """Name a training step with so many attack passes."""
    return f"training {work}, {attack_passes} attack passes"


def evaluation(architecture: Architecture, side: int, label: str) -> str:
    """Name an evaluation by the protocol with this label."""
    return f"evaluation {architecture!r}, {side} pixels, {label}"


def remember(work: str, device: str | torch.device, seconds: float) -> None:
    """Keep the seconds an image of the named work; where that cannot be written, nothing happens."""
    key, kept = _key(work, device), _read()
    measured = [*kept.pop(key, []), seconds][-LAST:]
    with suppress(AdvssError):  # an estimate is not worth a failure
        write_json(cache_folder() / FILE, dict([*kept.items(), (key, measured)][-MOST:]))


def recall(work: str, device: str | torch.device) -> float | None:
    """Return the seconds per image of the named work on this machine; None if it was never measured."""
    measured = _read().get(_key(work, device))
    return statistics.median(measured) if measured else None


def _read() -> dict[str, list[float]]:
    """What is kept; a file that is missing or damaged holds nothing."""
    with suppress(AdvssError):
        return dict(read_json(cache_folder() / FILE))
    return {}


def _key(work: str, device: str | torch.device) -> str:
    machine = f"{platform.node()}, {os.cpu_count()} CPUs, {describe_device(torch.device(device))}"
    return f"{work} on {machine}, torch {torch.__version__}"
