"""Linf and L2 are PGD; L1 is Frank-Wolfe inside the box."""

from __future__ import annotations

import pytest
import torch

from advss_zoo.attacks.ascent import ascend
from advss_zoo.attacks.kang2019 import find
from advss_zoo.attacks.kang2019.calibration import CIFAR10
from advss_zoo.threat import ThreatModel

INDEX = torch.arange(3)


@pytest.fixture
def x():
    return (torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 3 - 1).clamp(0, 1)


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("eps", [4.0, 300.0])
def test_equals_pgd(norm, eps, x):
    weights = torch.randn(x.shape, generator=torch.Generator().manual_seed(2))

    def loss(images):
        return (weights * images + 0.1 * weights.roll(1, 0) * images**2).sum()

    found = find(norm).perturb(loss, x, eps=eps, index=INDEX, seed=5, steps=4)
    threat = ThreatModel(norm, eps / 255)
    start = threat.random_start(x, INDEX, 5)
    expected = ascend(loss, x, start, threat=threat, steps=4, step_size=eps / 255 / 2)
    assert torch.allclose(found, expected, atol=2e-6)


@pytest.mark.parametrize(("name", "order"), [("linf", float("inf")), ("l2", 2), ("l1", 1)])
def test_the_radius_is_in_pixel_values(name, order, x):
    weights = torch.randn(x.shape, generator=torch.Generator().manual_seed(2))
    for eps in CIFAR10[name].eps:
        found = find(name).perturb(lambda z: (weights * z).sum(), x, eps=eps, index=INDEX, seed=0, steps=50)
        length = torch.linalg.vector_norm((255 * (found - x)).double().flatten(1), ord=order, dim=1)
        assert (length <= eps * (1 + 1e-5)).all()
        assert (length >= 0.75 * eps).all()  # the box takes some of it


def test_a_radius_beyond_the_box_ends_at_its_corner():
    x, weights = torch.rand(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    found = find("l1").perturb(lambda z: (weights * z).sum(), x, eps=1e6, index=INDEX[:2], seed=0, steps=1)
    assert torch.allclose(found, (weights > 0).float(), atol=1e-6)
