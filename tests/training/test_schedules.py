from __future__ import annotations

import pytest

from advss_zoo.training.schedules import OneCycle, learning_rate


def test_one_cycle_end_points_and_peak():
    schedule = OneCycle(peak=0.2, warmup=0.25)
    assert [schedule(p) for p in (0, 0.25, 1)] == [0, pytest.approx(0.2), pytest.approx(0)]
    assert schedule(0.125) == pytest.approx(0.1)
    assert schedule(0.625) == pytest.approx(0.1)


def test_a_second_cycle_leaves_the_first_as_it_was():
    first = OneCycle(peak=0.2, warmup=0.15)
    alone = [learning_rate([first], step, 84) for step in range(84)]
    cycles = [first.model_copy(update={"until": 0.75}), OneCycle(peak=0.1, warmup=0.2)]
    both = [learning_rate(cycles, step, 112) for step in range(112)]
    assert both[:84] == alone
    assert max(both[84:]) <= 0.1
    assert both[84] < 0.02
    assert both[111] < both[110] < 0.01
    assert all(rate > 0 for rate in both)
