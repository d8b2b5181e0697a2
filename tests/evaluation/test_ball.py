"""What adversarial images are held to: distances by definition, and the room that rounding is given."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from advss_zoo.evaluation.ball import DEFAULT_EPS, Ball

NORMS = {"linf": lambda d: d.abs().max(), "l2": lambda d: d.square().sum().sqrt(), "l1": lambda d: d.abs().sum()}


@given(st.sampled_from(sorted(NORMS)), st.integers(0, 2**32))
def test_distances_are_norms_over_each_image(norm, seed):
    x, z = torch.rand(2, 5, 3, 4, 4, generator=torch.Generator().manual_seed(seed))
    expected = torch.stack([NORMS[norm]((b - a).double()) for a, b in zip(x, z, strict=True)])
    assert torch.allclose(Ball(norm, 1.0).distances(z, x), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("norm", sorted(NORMS))
def test_a_ball_holds_what_is_rounded_and_no_more(norm):
    ball, x = Ball(norm, DEFAULT_EPS[norm]), torch.full((1, 3, 32, 32), 0.5)
    delta = torch.rand(x.shape, generator=torch.Generator().manual_seed(0)).double() - 0.5
    delta *= ball.eps / NORMS[norm](delta)
    room = 1e-6 * max(1.0, ball.eps) / ball.eps
    assert ball.contains(x.double() + delta * (1 + 0.9 * room), x).all()
    assert not ball.contains(x.double() + delta * (1 + 1.1 * room), x).any()
    assert not ball.contains(torch.full_like(x, float("nan")), x).any()


def test_eight_levels_added_in_single_precision_are_inside():
    x = (torch.arange(248) / 255).view(-1, 1, 1, 1)
    assert Ball("linf", 8 / 255).contains(x + 8 / 255, x).all()


@pytest.mark.parametrize(("value", "inside"), [(1.0, True), (1.0000001, False), (-1e-9, False)])
def test_the_box_has_no_such_room(value, inside):
    x = torch.full((1, 1, 1, 1), 0.5)
    assert Ball("l2", 9.0).contains(torch.full_like(x, value), x).item() is inside
