"""Timed passes tell how fast a free machine would be, however busy this one is."""

from __future__ import annotations

import random
import time

import pytest
import torch

from advss_zoo.objectives import joint
from advss_zoo.training import recipe, timing
from advss_zoo.training.timing import Seconds, Work

CPU = torch.device("cpu")


class Machine:
    """Clocks of a machine on which a pass takes `each` seconds an image, and others run `waits()` times as long."""

    def __init__(self, each, waits=lambda: 0.0, warm_up=0.0):
        self.each, self.waits, self.warm_up = each, waits, warm_up
        self.computed = self.passed = 0.0
        self.sizes = []

    def prepare(self, count):
        def run():
            took = self.each * count + (0 if self.sizes else self.warm_up)
            self.sizes.append(count)
            self.computed += took
            self.passed += took + self.waits() * took

        return run

    def timed(self, most, one_thread=True):
        cpu = (lambda: self.computed) if one_thread else None
        return timing.time_passes(self.prepare, most, wall=lambda: self.passed, cpu=cpu)


def busy(seed=0):
    """Up to eleven seconds of waiting for each of computing; a third of all passes is left alone."""
    generator = random.Random(seed)
    return lambda: max(0.0, generator.uniform(-6, 11))


@pytest.mark.parametrize("each", [1e-5, 1e-3, 0.05])
@pytest.mark.parametrize("waits", [lambda: 0.0, lambda: 10.0, busy()])
def test_with_one_thread_the_load_makes_no_difference(each, waits):
    found = Machine(each, waits, warm_up=1.0).timed(128)
    assert found.free == pytest.approx(each, rel=0.01)
    assert found.now >= found.free


@pytest.mark.parametrize("seed", range(5))
def test_with_several_threads_the_fastest_pass_counts(seed):
    """Which is within three times what a free machine takes here, where a pass takes seven times on average."""
    found = Machine(1e-3, busy(seed)).timed(128, one_thread=False)
    assert 1e-3 <= found.free <= 3e-3
    assert found.now > found.free


def test_with_several_threads_the_load_is_taken_off_where_no_pass_was_left_alone(monkeypatch):
    """CPU seconds of a single thread need no such correction, and passes may have been luckier than the last minute."""
    monkeypatch.setattr(timing, "time_passes", lambda prepare, most, cpu: Seconds(9.0, 12.0))
    monkeypatch.setattr(timing, "present_slowdown", lambda device: 4.0)
    for threads, seconds in ((2, 3.0), (1, 9.0)):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        made = recipe.load("p1f4.mini", [f"architecture.width={threads + 1}"])
        work = Work(made.objective, made.architecture, made.precision, made.side, 2)
        assert timing.seconds_per_image(work, "attack", CPU) == Seconds(seconds, 12.0)


@pytest.mark.parametrize(
    ("load", "computed", "factor"), [(0.0, 0.0, 1.0), (7.0, 0.0, 2.0), (8.0, 60.0, 2.0), (4.0, 60.0, 1.0)]
)
def test_the_load_average_without_ones_own_work_is_the_slowdown(monkeypatch, load, computed, factor):
    """On four cores, with one thread."""
    monkeypatch.setattr(timing.os, "getloadavg", lambda: (load, 0.0, 0.0))
    monkeypatch.setattr(timing.os, "times", lambda: (computed, 0.0, 0.0, 0.0, 0.0))
    monkeypatch.setattr(timing.os, "cpu_count", lambda: 4)
    monkeypatch.setattr(timing, "STARTED", time.monotonic())
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    timing.present_slowdown.cache_clear()
    try:
        assert timing.present_slowdown(CPU) == pytest.approx(factor)
        assert timing.present_slowdown(torch.device("cuda")) == 1
    finally:
        timing.present_slowdown.cache_clear()


def test_a_load_is_seen_in_what_passes_take_now():
    assert Machine(1e-3, lambda: 2.0).timed(128).now == pytest.approx(3e-3)
    assert Machine(1e-3).timed(128).now == pytest.approx(1e-3)


def test_small_networks_are_timed_at_the_recipes_own_batch():
    machine = Machine(1e-3, warm_up=1.0)
    machine.timed(128)
    assert machine.sizes[-5:] == [128] * 5
    assert Machine(1e-3).timed(1).free == pytest.approx(1e-3)


@pytest.mark.parametrize(("each", "waits", "most"), [(10.0, 0.0, 20.0), (0.02, 10.0, 8.0), (1e-3, 10.0, 8.0)])
def test_timing_ends_soon(each, waits, most):
    """However busy the machine; of a network that takes seconds an image a single pass of two images is timed."""
    machine = Machine(each, lambda: waits)
    machine.timed(256)
    assert machine.passed <= most + 2 * machine.sizes[-1] * each * (1 + waits)
    assert each < 1 or machine.sizes == [2]


def test_seconds_add_up():
    assert Seconds(1, 2) + Seconds(3, 4) * 2 == Seconds(7, 10)


@pytest.mark.parametrize(("name", "taken"), [("apse-p3.mini", False), ("apdpe-p3.mini", True)])
@pytest.mark.parametrize("part", ["attack", "update"])
def test_second_order_gradients_are_in_the_time_of_a_pass(monkeypatch, name, taken, part):
    seen, diversity = [], joint.diversity
    monkeypatch.setattr(joint, "diversity", lambda gradients: seen.append(gradients) or diversity(gradients))
    monkeypatch.setattr(timing, "LIMIT", 0.0)
    made = recipe.load(name, ["architecture.width=2", "precision=fp32"])
    work = Work(made.objective, made.architecture, made.precision, made.side, 2)
    assert timing.seconds_per_image(work, part, CPU).free > 0
    assert bool(seen) == taken
    assert all(gradient.requires_grad for gradients in seen for gradient in gradients)


def test_a_frozen_trunk_gets_no_gradients(monkeypatch):
    monkeypatch.setattr(timing, "LIMIT", 0.0)
    made, trained = recipe.load("p1f4.mini", ["architecture.width=2"]), []
    sgd = torch.optim.SGD

    def counting(parameters, **options):
        trained.append(len(kept := list(parameters)))
        return sgd(kept, **options)

    monkeypatch.setattr(torch.optim, "SGD", counting)
    for head_alone in (True, False):
        work = Work(made.objective, made.architecture, "fp32", 32, 4, head_alone)
        assert timing.seconds_per_image(work, "update", CPU).free > 0
    assert trained[0] < trained[1]
