"""Targets are wrong classes, uniform, and belong to the image."""

from __future__ import annotations

import torch
from scipy import stats
from torch import nn
from torch.nn.functional import cross_entropy

from advss_zoo.attacks.kang2019.targets import targeted_loss, wrong_class

INDEX = torch.arange(9000)


def test_wrong_classes_are_uniform():
    target = wrong_class(torch.full((9000,), 3), 10, INDEX, 0)
    counts = torch.bincount(target, minlength=10)
    assert counts[3] == 0
    assert counts.sum() == 9000
    assert stats.chisquare(counts[counts > 0]).pvalue > 1e-3
    assert torch.equal(wrong_class(INDEX % 2, 2, INDEX, 0), 1 - INDEX % 2)


def test_a_target_belongs_to_seed_and_image():
    y = INDEX % 10
    target = wrong_class(y, 10, INDEX, 2**61 - 1)
    assert torch.equal(wrong_class(y[100:200], 10, INDEX[100:200], 2**61 - 1), target[100:200])
    assert (wrong_class(y, 10, INDEX, 0) != target).float().mean() > 0.8


def test_the_loss_is_highest_at_the_target():
    y, index = torch.arange(5), torch.arange(5)
    target = wrong_class(y, 5, index, 7)
    loss = targeted_loss(nn.Identity(), y, index=index, seed=7)
    logits = torch.randn(5, 5)
    expected = -sum(cross_entropy(logits[i], target[i]) for i in range(5))
    assert torch.allclose(loss(logits), expected)
