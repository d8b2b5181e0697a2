"""What work really took on this machine: kept in one small file of the cache, for the next estimate."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from contextlib import suppress
from dataclasses import asdict
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch

from advss_zoo.errors import AdvssError
from advss_zoo.evaluation.effort import describe_device
from advss_zoo.files import cache_folder, read_json, write_json
from advss_zoo.models.architecture import Architecture
from advss_zoo.training.timing import Work

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
        alone = self.device.type == "cpu" and torch.get_num_threads() == 1
        return min(1.0, self.cpu / self.wall) if alone and self.wall else 1.0


def training(work: Work, attack_passes: int) -> str:
    """Name a training step with so many attack passes."""
    facts = {"objective": work.objective.model_dump(), "architecture": work.architecture.model_dump()}
    return _name("training", asdict(work) | facts | {"attack_passes": attack_passes})


def evaluation(architecture: Architecture, side: int, label: str) -> str:
    """Name an evaluation by the protocol with this label."""
    return _name("evaluation", {"architecture": architecture.model_dump(), "side": side, "protocol": label})


def remember(work: str, device: str | torch.device, seconds: float) -> None:
    """Keep the seconds an image of the named work; where that cannot be written, nothing happens."""
    key, kept = f"{work} on {_machine(torch.device(device))}", _read()
    measured = [*kept.pop(key, []), seconds][-LAST:]
    with suppress(AdvssError):  # an estimate is not worth a failure
        write_json(_file(), dict([*kept.items(), (key, measured)][-MOST:]))


def recall(work: str, device: str | torch.device) -> float | None:
    """Seconds an image that the named work took on this machine; None if it was never measured."""
    measured = _read().get(f"{work} on {_machine(torch.device(device))}")
    return statistics.median(measured) if measured else None


def _name(kind: str, facts: dict[str, Any]) -> str:
    return f"{kind} {json.dumps(facts, sort_keys=True)}"


def _file() -> Path:
    return cache_folder() / FILE


def _read() -> dict[str, list[float]]:
    """What is kept; a file that is missing or damaged holds nothing."""
    try:
        kept = read_json(_file())
    except AdvssError:
        return {}
    if not isinstance(kept, dict):
        return {}
    return {key: seconds for key, seconds in kept.items() if _is_measured(seconds)}


def _is_measured(seconds: object) -> bool:
    return (
        isinstance(seconds, list)
        and len(seconds) > 0
        and all(isinstance(each, (int, float)) and 0 < each < float("inf") for each in seconds)
    )


def _machine(device: torch.device) -> str:
    return f"{_processor()}, {os.cpu_count()} CPUs, {describe_device(device)}, torch {torch.__version__}"


@cache
def _processor() -> str:
    """The model of the CPU, which Linux alone tells in a file."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
