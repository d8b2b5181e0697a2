"""Balls with bounds: projections, starts, and the vertices of Frank-Wolfe against a linear programme."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.optimize import linprog

from advss_zoo.attacks.kang2019.regions import TOLERANCE, L1Ball, L2Ball, LinfBall

SHAPE = (3, 3, 2, 2)
BALLS = (LinfBall, L2Ball, L1Ball)


def draw(seed):
    """Bounds around 0, some of them 0, and a gradient with zeros and ties."""
    generator = torch.Generator().manual_seed(seed)
    low, high = (torch.rand(2, *SHAPE, generator=generator) * 1.5 - 0.5).clamp_min(0)
    gradient = (torch.randn(SHAPE, generator=generator) * 2).round() / 2
    return -low, high, gradient


@given(st.integers(0, 2**32), st.sampled_from([0.01, 0.3, 2.0, 100.0]))
@settings(max_examples=25, deadline=None)
def test_a_vertex_is_the_best_of_the_region(seed, eps):
    low, high, gradient = draw(seed)
    ball = L1Ball(eps, low, high)
    vertex = ball.vertex(gradient)
    assert (ball.size(vertex) <= 1 + TOLERANCE).all()
    for image in range(SHAPE[0]):
        g = gradient[image].numpy().ravel()
        # v = up - down, both not negative: the L1 norm is the sum of all.
        bounds = [(0, float(h)) for h in high[image].ravel()] + [(0, -float(b)) for b in low[image].ravel()]
        best = linprog(np.r_[-g, g], A_ub=np.ones((1, 2 * g.size)), b_ub=[eps], bounds=bounds)
        assert (vertex[image] * gradient[image]).sum() == pytest.approx(-best.fun, abs=1e-5)


@given(st.integers(0, 2**32), st.sampled_from(BALLS), st.sampled_from([0.01, 0.3, 2.0]))
@settings(max_examples=40, deadline=None)
def test_every_step_ends_in_the_region(seed, kind, eps):
    low, high, gradient = draw(seed)
    ball = kind(eps, low, high)
    v = ball.random_start(torch.zeros(SHAPE), torch.arange(3), seed)
    for t in range(3):
        v = ball.advance(v, gradient + t, t, eps / 2)
        assert (ball.size(v) <= 1 + TOLERANCE).all()


def test_frank_wolfe_is_the_mean_of_its_vertices():
    gradients = torch.randn(5, *SHAPE)
    v = torch.full(SHAPE, 7.0)
    low, high = -torch.ones(()), torch.ones(())
    ball = L1Ball(2.0, low, high)
    for t, gradient in enumerate(gradients):
        v = ball.advance(v, gradient, t, 0)
    assert torch.allclose(v, torch.stack([ball.vertex(gradient) for gradient in gradients]).mean(dim=0), atol=1e-6)


def test_steps_of_projected_balls():
    gradient = torch.tensor([3.0, -4.0, 0.0]).view(1, 3, 1, 1)
    zero = torch.zeros(1, 3, 1, 1)
    assert LinfBall(2.0).advance(zero, gradient, 0, 0.5).flatten().tolist() == [0.5, -0.5, 0]
    assert LinfBall(0.2).advance(zero, gradient, 0, 0.5).flatten().tolist() == pytest.approx([0.2, -0.2, 0])
    assert L2Ball(2.0).advance(zero, gradient, 0, 0.5).flatten().tolist() == pytest.approx([0.3, -0.4, 0])
    assert L2Ball(0.1).advance(zero, gradient, 0, 0.5).flatten().tolist() == pytest.approx([0.06, -0.08, 0])
    bounded = L2Ball(0.1, torch.tensor(-0.05), torch.tensor(0.05))
    assert bounded.advance(zero, gradient, 0, 0.5).flatten().tolist() == pytest.approx([0.05, -0.05, 0])


def test_l1_starts_are_uniform_in_the_ball():
    n = 12
    v = L1Ball(5.0).random_start(torch.zeros(2000, 3, 2, 2), torch.arange(2000), 0).flatten(1).numpy()
    # The norm of a uniform point to the power n is uniform; the first coordinate's law follows from it.
    assert stats.kstest((np.abs(v).sum(axis=1) / 5) ** n, "uniform").pvalue > 1e-3
    assert stats.kstest(1 - (1 - np.abs(v[:, 3]) / 5) ** n, "uniform").pvalue > 1e-3
    assert abs((v > 0).mean() - 0.5) < 0.02


def test_size_is_one_at_the_border():
    v = torch.zeros(2, 3, 1, 1)
    v[0, 0], v[0, 1] = 3, -4
    for kind, norm in zip(BALLS, (4, 5, 7), strict=True):
        assert kind(norm).size(v).tolist() == [1, 0]
        assert kind(2 * norm).size(v).tolist() == [0.5, 0]
        assert kind(norm, high=torch.tensor(2.9)).size(v).tolist() == [torch.inf, 0]
