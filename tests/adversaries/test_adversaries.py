"""Every training adversary, found in the package: what it returns is an image near the image it was given."""

from __future__ import annotations

import pytest
import torch

import advss_zoo.adversaries
from advss_zoo.adversaries.base import Adversary, BallAdversary
from advss_zoo.adversaries.nfgsm import NoiseFgsm
from advss_zoo.adversaries.noise import GaussianNoise
from advss_zoo.adversaries.pgd import Pgd
from advss_zoo.registry import subclasses

ADVERSARIES = subclasses(advss_zoo.adversaries, Adversary)
INDEX = torch.arange(4)


def loss(z):
    return (z * torch.linspace(-1, 1, z[0].numel()).view(z.shape[1:])).sum()


def perturb(adversary, x, seed=1, progress=1.0, index=INDEX):
    return adversary.perturb(loss, x, index=index, seed=seed, progress=progress)


def test_the_ones_of_the_recipes_are_found():
    assert {cls.model_fields["name"].default for cls in ADVERSARIES} >= {"none", "pgd", "n-fgsm"}


@pytest.mark.parametrize("cls", ADVERSARIES)
def test_the_result_is_a_detached_image_determined_by_seed_and_index(cls):
    x = torch.rand(4, 3, 8, 8)
    found = perturb(cls(), x)
    assert found.shape == x.shape
    assert not found.requires_grad
    if cls is not GaussianNoise:  # which leaves the box, as in randomised smoothing
        assert found.min() >= 0
        assert found.max() <= 1
    assert torch.equal(found, perturb(cls(), x))
    assert torch.equal(found[2:], perturb(cls(), x[2:], index=INDEX[2:]))


@pytest.mark.parametrize("cls", [cls for cls in ADVERSARIES if issubclass(cls, BallAdversary)])
def test_the_radius_grows_and_the_loss_rises(cls):
    x = torch.full((4, 3, 8, 8), 0.5)
    adversary = cls(eps="8/255", eps_start="2/255")
    assert adversary.eps_at(0) == pytest.approx(2 / 255)
    assert adversary.eps_at(0.5) == pytest.approx(5 / 255)
    assert adversary.eps_at(1) == pytest.approx(8 / 255)
    early, late = (perturb(adversary, x, progress=progress) for progress in (0.0, 1.0))
    assert (early - x).abs().max() < (late - x).abs().max()
    assert loss(x) < loss(early) < loss(late)


def test_pgd_stays_in_the_ball_and_n_fgsm_may_leave_it_by_its_noise():
    x = torch.full((4, 3, 8, 8), 0.5)
    assert (perturb(Pgd(eps=0.1, steps=3, step_size=0.05), x) - x).abs().max() <= 0.1 + 1e-6
    reach = (perturb(NoiseFgsm(eps=0.1), x) - x).abs().max()
    assert 0.1 < reach <= 0.3 + 1e-6


def test_noise_has_the_asked_for_strength_and_is_fresh_for_every_image_and_epoch():
    x = torch.zeros(8, 3, 32, 32)
    index = torch.arange(8)
    loss = torch.sum
    first, other_epoch = (GaussianNoise(sigma=0.5).perturb(loss, x, index=index, seed=s, progress=0) for s in (1, 2))
    assert first.std().item() == pytest.approx(0.5, rel=0.02)
    assert abs(first.mean().item()) < 0.01
    assert not torch.equal(first, other_epoch)
    assert not torch.equal(first[0], first[1])
