from __future__ import annotations

import pytest

from advss_zoo.training.schedules import Cosine, Milestones, OneCycle, Shortened, Timeline, learning_rate


def test_one_cycle_end_points_and_peak():
    rates = [learning_rate([OneCycle(peak=0.2, warmup=0.25)], step, 79, 10) for step in range(79)]
    assert rates[19] == max(rates) == pytest.approx(0.2)
    assert (rates[9], rates[49]) == pytest.approx((0.1, 0.1))
    assert rates[0] == pytest.approx(0.01)
    assert rates[-1] == pytest.approx(0.2 / 60)


def test_a_second_cycle_leaves_the_first_as_it_was():
    first = OneCycle(peak=0.2, warmup=0.15)
    alone = [learning_rate([first], step, 84, 4) for step in range(84)]
    cycles = [first.model_copy(update={"until": 0.75}), OneCycle(peak=0.1, warmup=0.2)]
    both = [learning_rate(cycles, step, 112, 4) for step in range(112)]
    assert both[:84] == alone
    assert max(both[84:]) <= 0.1
    assert both[84] < 0.02
    assert both[111] < both[110] < 0.01
    assert all(rate > 0 for rate in both)


def test_cosine_runs_step_by_step_from_peak_to_floor():
    schedule = Cosine(name="cosine", peak=0.1, floor=1e-6, warmup_steps=0)
    rates = [learning_rate([schedule], step, 1000, 10) for step in range(1000)]
    assert rates[0] == 0.1
    assert rates[500] == pytest.approx((0.1 + 1e-6) / 2)
    assert rates[-1] == pytest.approx(1e-6, abs=1e-6)
    assert rates == sorted(rates, reverse=True)


@pytest.mark.parametrize("steps_per_epoch", [352, 176])
def test_milestones_have_their_peak_back_after_the_first_epoch(steps_per_epoch):
    """With 176 steps an epoch the authors' warm-up ends at 0.08875 and stays there; here it does not."""
    schedule = Milestones(name="milestones", peak=0.1, epochs=(30, 50))
    total = 100 * steps_per_epoch

    def rate(epoch):
        return learning_rate([schedule], epoch * steps_per_epoch, total, steps_per_epoch)

    assert [rate(epoch) for epoch in (0, 1, 29)] == [pytest.approx(0.01), 0.1, 0.1]
    assert [rate(epoch) for epoch in (30, 49, 50, 99)] == pytest.approx([0.01, 0.01, 0.001, 0.001])
    last_of_warmup = learning_rate([schedule], min(200, steps_per_epoch) - 1, total, steps_per_epoch)
    assert last_of_warmup == pytest.approx(0.01 + (min(200, steps_per_epoch) - 1) * 0.09 / 200)


def test_a_shortened_run_goes_through_the_rest_of_its_schedule_evenly():
    """Of 10 epochs of 4 steps the last 8 are done in 4, of which 2 are left when they become 1."""
    whole = Timeline(10, 4)
    assert [whole.scheduled(step) for step in range(41)] == list(range(41))
    once = Timeline(10, 4, [Shortened(at=2, epochs=6)])
    assert (once.steps, once.planned) == (24, 40)
    assert [once.scheduled(step) for step in (0, 8, 9, 16, 24)] == [0, 8, 10, 24, 40]
    assert [once.speed(step) for step in (0, 8, 9, 23)] == [1, 1, 2, 2]
    twice = Timeline(10, 4, [*once.shortened, Shortened(at=4, epochs=5)])
    assert twice.steps == 20
    assert [twice.scheduled(step) for step in (8, 16, 17, 20)] == [8, 24, 28, 40]
    assert twice.progress(20) == 1


def test_a_run_may_end_where_it_was_shortened():
    ended = Timeline(10, 4, [Shortened(at=2.25, epochs=2.25)])
    assert (ended.steps, ended.scheduled(9)) == (9, 9)
