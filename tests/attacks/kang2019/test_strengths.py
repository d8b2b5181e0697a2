"""The calibrated strengths do what they are for, on a real network and real images."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy

from advss_zoo import load_model
from advss_zoo.attacks.kang2019 import attacks, find
from advss_zoo.attacks.kang2019.calibration import CIFAR10
from advss_zoo.data.subset import load_subset


@pytest.mark.nightly
@pytest.mark.parametrize("name", sorted(attacks()))
def test_accuracy_falls_with_eps(name):
    model, data = load_model("p1f4").requires_grad_(False), load_subset()
    x, y = torch.from_numpy(data.images[:32]).float() / 255, torch.from_numpy(data.labels[:32])
    right = []
    for eps in CIFAR10[name].eps[::2]:
        found = find(name).perturb(
            lambda images: cross_entropy(model(images), y, reduction="sum"),
            x,
            eps=eps,
            index=torch.arange(32),
            seed=0,
            steps=10,
        )
        right.append(int((model(found).argmax(dim=1) == y).sum()))
    assert right[0] > right[1] > right[2]
