"""PGD in the L2 ball."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from advss_zoo.adversaries.pgd import Pgd


def loss(z):
    return (z * torch.linspace(-1, 1, z[0].numel()).view(z.shape[1:])).sum()


def test_goes_as_far_as_eps_along_the_gradient():
    x = torch.full((4, 3, 8, 8), 0.5)
    adversary = Pgd(norm="l2", eps=1.5, steps=8, step_size=0.5)
    delta = adversary.perturb(loss, x, index=torch.arange(4), seed=1, progress=1.0) - x
    lengths = torch.linalg.vector_norm(delta.flatten(1), dim=1)
    assert lengths.tolist() == pytest.approx([1.5] * 4, rel=1e-4)
    gradient = torch.linspace(-1, 1, 192)
    cosine = torch.nn.functional.cosine_similarity(delta.flatten(1), gradient[None])
    assert (cosine > 0.95).all()


def test_a_length_may_exceed_a_pixels_range_and_a_linf_eps_may_not():
    assert Pgd(norm="l2", eps=3).eps == 3
    with pytest.raises(ValidationError, match="with norm: l2 it may be"):
        Pgd(eps=3)
