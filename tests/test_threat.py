"""Projections and starts: what must hold for every image, size and norm."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from advss_zoo.threat import ThreatModel

TOLERANCE = 1e-6  # what an evaluation allows: float32 x + eps exceeds 8/255 by up to 2.6e-8 at some of the 256 levels


def size(delta, norm):
    flat = delta.double().flatten(1)
    return flat.abs().amax(dim=1) if norm == "linf" else flat.norm(dim=1)


def draw(seed, spread):
    """Eight images, a third of their values at the ends of the box, and perturbed ones up to `spread` away."""
    generator = torch.Generator().manual_seed(seed)
    x = (torch.rand(8, 3, 6, 6, generator=generator) * 3 - 1).clamp(0, 1)
    return x, x + spread * (2 * torch.rand(x.shape, generator=generator) - 1)


threats = st.one_of(
    st.builds(ThreatModel, st.just("linf"), st.floats(1e-3, 1)),
    st.builds(ThreatModel, st.just("l2"), st.floats(1e-3, 8)),
)
cases = given(threats, st.integers(0, 2**32), st.sampled_from([1e-4, 0.03, 0.5, 4.0]))


@cases
@settings(max_examples=60, deadline=None)
def test_a_projection_is_inside_ball_and_box_and_stays_there(threat, seed, spread):
    x, perturbed = draw(seed, spread)
    projected = threat.projection(x)(perturbed.clone())
    assert (size(projected - x, threat.norm) <= threat.eps + TOLERANCE).all()
    assert projected.min() >= 0
    assert projected.max() <= 1
    again = threat.projection(x)(projected.clone())
    assert torch.equal(again, projected) if threat.norm == "linf" else torch.allclose(again, projected, atol=TOLERANCE)


@cases
@settings(max_examples=60, deadline=None)
def test_members_are_left_where_they_are(threat, seed, spread):
    x, perturbed = draw(seed, spread)
    inside = torch.lerp(x, perturbed.clamp(0, 1), 0.5)
    members = size(inside - x, threat.norm) <= threat.eps * 0.999
    assert torch.allclose(threat.projection(x)(inside.clone())[members], inside[members], rtol=0, atol=1e-7)


@given(st.integers(1, 255), st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_in_linf_no_member_is_nearer_to_the_perturbed_image(level, seed):
    threat = ThreatModel("linf", level / 255)
    x, perturbed = draw(seed, 2.0)
    projected = threat.projection(x)(perturbed.clone())
    others = threat.projection(x)(draw(seed + 1, 2.0)[1])
    assert ((projected - perturbed).abs() <= (others - perturbed).abs() + TOLERANCE).all()


def test_a_perturbation_that_is_too_long_keeps_its_direction_in_l2():
    x = torch.full((2, 3, 4, 4), 0.5)
    delta = torch.randn(x.shape, generator=torch.Generator().manual_seed(0)) * 0.1
    found = ThreatModel("l2", 0.2).projection(x)(x + delta) - x
    assert torch.allclose(found, 0.2 * delta / delta.flatten(1).norm(dim=1).view(-1, 1, 1, 1), atol=1e-6)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_starts_fill_the_ball_and_are_not_clipped_to_the_box(norm):
    threat = ThreatModel(norm, 0.1)
    x = torch.zeros(200, 3, 8, 8)
    delta = threat.random_start(x, torch.arange(200), seed=3) - x
    assert (size(delta, norm) <= 0.1 + TOLERANCE).all()
    assert size(delta, norm).max() > 0.0995
    assert delta.min() < 0
    assert abs(delta.mean()) < 0.1 * delta.abs().mean()


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_start_belongs_to_seed_and_index(norm):
    threat, x = ThreatModel(norm, 0.1), torch.rand(6, 3, 8, 8)
    index = torch.tensor([5, 0, 9, 700, 3, 2**40])
    start = threat.random_start(x, index, seed=1)
    order = torch.tensor([3, 1, 4, 0])
    assert torch.equal(threat.random_start(x[order], index[order], seed=1), start[order])
    for other in (threat.random_start(x, index, seed=2), threat.random_start(x, index + 1, seed=1)):
        assert not torch.isclose(other - x, start - x).flatten(1).all(dim=1).any()


def test_a_zero_gradient_has_no_direction():
    zero = torch.zeros(2, 3, 4, 4)
    for norm in ("linf", "l2"):
        assert torch.equal(ThreatModel(norm).direction(zero), zero)
