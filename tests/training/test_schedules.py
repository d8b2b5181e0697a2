from __future__ import annotations

import pytest

from advss_zoo.training.schedules import OneCycle


def test_one_cycle_end_points_and_peak():
    schedule = OneCycle(peak=0.2, warmup=0.25)
    assert [schedule(p) for p in (0, 0.25, 1)] == [0, pytest.approx(0.2), pytest.approx(0)]
    assert schedule(0.125) == pytest.approx(0.1)
    assert schedule(0.625) == pytest.approx(0.1)
