"""How long the parts of a training step take on this machine, from a few timed passes over random images.

Other programs slow a pass down, by ten times and more. So the time on a free machine is the least that a pass took: in
CPU seconds where one thread computes, for those do not run while others do. With several threads CPU seconds count
waiting as work; there it is the least wall time, or the mean one without the machine's load if that is less.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Literal, TypeAlias

import torch

from advss_zoo.attacks.ascent import input_gradient
from advss_zoo.models.architecture import Architecture
from advss_zoo.models.modes import frozen
from advss_zoo.objectives.base import Objective
from advss_zoo.training.precision import Precision

Part: TypeAlias = Literal["attack", "update"]
Clock: TypeAlias = Callable[[], float]

FEWEST = 2  # images in a timed pass; batch norm needs two
GROWTH = 4  # of a batch from one try to the next, while there is time for passes of that size
ENOUGH = 5  # timed passes
LIMIT = 2.0  # seconds of computing after which no further pass is begun
PATIENCE = 3  # times LIMIT in wall seconds, after which none is, either
AVERAGED = 60.0  # seconds over which the load average is one
STARTED = time.monotonic()


@dataclass(frozen=True)
class Seconds:
    """A duration on a machine that does nothing else, and at its present load."""

    free: float = 0.0
    now: float = 0.0

    def __add__(self, more: Seconds) -> Seconds:
        return Seconds(self.free + more.free, self.now + more.now)

    def __mul__(self, times: float) -> Seconds:
        return Seconds(self.free * times, self.now * times)


@dataclass(frozen=True)
class Work:
    """What the time of a step depends on, but for the number of attack passes. `batch_size`: at once in the network."""

    objective: Objective
    architecture: Architecture
    precision: Literal["fp32", "bf16"]
    side: int
    batch_size: int
    head_alone: bool = False
    clean_weight: float = 0.0
    teacher: str | None = None


def runs_alone(device: torch.device) -> bool:
    """Tell whether a single thread on a CPU does the work, whose CPU seconds are those of a free machine."""
    return device.type == "cpu" and torch.get_num_threads() == 1


@cache
def seconds_per_image(work: Work, part: Part, device: torch.device) -> Seconds:
    """Time one attack pass (forward, gradient of the inputs), or one update of the weights (forward, backward, step).

    Batches grow to the recipe's own as far as LIMIT allows; of a large network on a CPU a few passes of two images are
    timed.
    """
    cpu = time.process_time if runs_alone(device) else None
    found = time_passes(_passes(work, part, device), work.batch_size, cpu=cpu)
    return found if cpu else Seconds(min(found.free, found.now / present_slowdown(device)), found.now)


def time_passes(
    prepare: Callable[[int], Callable[[], None]],
    most: int,
    *,
    wall: Clock = time.perf_counter,
    cpu: Clock | None = time.process_time,
) -> Seconds:
    """Time passes of at most `most` images; returns seconds an image.

    Args:
        prepare: makes a pass over the given number of images.
        wall: seconds that have passed.
        cpu: seconds that this process has computed, if a single thread of it does the work.
    """

    def once() -> tuple[float, float]:
        began = wall(), cpu() if cpu else 0.0
        run()
        took = wall() - began[0]
        return took, cpu() - began[1] if cpu else took

    count = min(FEWEST, most)
    run = prepare(count)
    passes = [once()]  # which also chooses kernels and asks for memory
    spent, deadline = passes[0][1], wall() + PATIENCE * LIMIT
    least = passes[0][1]
    while spent < LIMIT and wall() < deadline:
        larger = min(most, GROWTH * count)
        if larger > count and spent + ENOUGH * least * larger / count < 2 * LIMIT:
            count, passes, run = larger, [], prepare(larger)
        elif len(passes) > ENOUGH:
            break
        passes.append(once())
        spent, least = spent + passes[-1][1], min(computed for _, computed in passes)
    later = passes[1:] or passes
    return Seconds(least, max(least, sum(took for took, _ in later) / len(later))) * (1 / count)


@cache
def present_slowdown(device: torch.device) -> float:
    """Return how many times longer work on a CPU takes than on a free machine, by the load average; 1 where there is
    none.

    Asked once a process, so that all its estimates agree. What this process has computed itself is no load of others.
    """
    if device.type != "cpu" or not hasattr(os, "getloadavg"):
        return 1.0
    own = sum(os.times()[:4]) / max(AVERAGED, time.monotonic() - STARTED)
    return max(1.0, (max(0.0, os.getloadavg()[0] - own) + torch.get_num_threads()) / (os.cpu_count() or 1))


def _passes(work: Work, part: Part, device: torch.device) -> Callable[[int], Callable[[], None]]:
    objective, precision = work.objective, Precision(work.precision, device)
    model = objective.build(work.architecture).to(device).to(memory_format=torch.channels_last).train()
    if work.head_alone:
        model.trunk.requires_grad_(False).eval()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=0.0, momentum=0.9)
    optimizer.step()  # imports what it needs, which takes longer than a step

    def prepare(count: int) -> Callable[[], None]:
        index = torch.arange(count, device=device)
        images = torch.rand(count, 3, work.side, work.side, device=device).contiguous(memory_format=torch.channels_last)
        batch = objective.transform(images, index % work.architecture.num_classes, index, seed=0)

        def update() -> None:
            optimizer.zero_grad()
            with precision():
                loss = objective.training_loss(model, batch.inputs, batch, work.clean_weight)
            loss.backward()
            optimizer.step()
            loss.item()

        if part == "update":
            return update
        with frozen(model):
            maximised = precision.attack_loss(objective, model, batch)

        def attack() -> None:
            with frozen(model):
                input_gradient(maximised, batch.inputs).sum().item()  # which waits for a GPU

        return attack

    return prepare
