from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from advss_zoo.models.backbones.resnetv2 import ResNetV2Architecture
from advss_zoo.models.modes import frozen
from advss_zoo.objectives.base import Batch
from advss_zoo.objectives.selfie import Selfie


class Fixed(nn.Module):
    """A network whose logits are given."""

    def __init__(self, logits):
        super().__init__()
        self.logits = logits
        self.head = lambda features, order: logits

    def features(self, x):
        return torch.zeros(len(x), 1, 2, 2)


def batch_of(objective, count=3):
    return objective.transform(torch.rand(count, 3, 32, 32), torch.zeros(count), torch.arange(count), seed=0)


@pytest.mark.parametrize(("gap", "expected"), [(-1e4, 1.7437), (0, math.log(4)), (1e4, 0.7437)])
def test_the_double_softmax_confines_the_loss_of_a_position(gap, expected):
    objective = Selfie()
    batch = batch_of(objective)
    loss = objective.loss(Fixed(gap * torch.eye(4).expand(3, 4, 4)), batch.inputs, batch)
    if gap < 0:  # right is impossible, and one wrong answer is certain
        wrong = torch.roll(torch.eye(4), 1, dims=1) * 1e4
        loss = objective.loss(Fixed(wrong.expand(3, 4, 4)), batch.inputs, batch)
    assert loss.item() / 4 == pytest.approx(expected, abs=1e-4)


def test_without_it_logits_are_scaled_by_the_width():
    objective = Selfie(double_softmax=False)
    batch = batch_of(objective)

    class Wide(Fixed):
        def features(self, x):
            return torch.zeros(len(x), 64, 2, 2)

    loss = objective.loss(Wide(8 * torch.eye(4).expand(3, 4, 4)), batch.inputs, batch)
    assert loss.item() / 4 == pytest.approx(math.log(math.e + 3) - 1, rel=1e-5)


def test_masks_belong_to_the_batch_or_to_each_image():
    assert len(batch_of(Selfie(), 50).targets.unique(dim=0)) == 1
    orders = batch_of(Selfie(mask="image"), 50).targets
    assert len(orders.unique(dim=0)) > 45
    assert (orders.sort(dim=1).values == torch.arange(16)).all()


@pytest.mark.parametrize(("grid", "size", "hidden"), [(4, 32, 4), (2, 32, 1), (7, 56, 12)])
def test_any_grid(grid, size, hidden):
    objective = Selfie(grid=grid, transformer="mini", mask="image")
    model = objective.build(ResNetV2Architecture(depth=18, width=2)).eval()
    batch = objective.transform(torch.rand(2, 3, size, size), torch.zeros(2), torch.arange(2), seed=0)
    assert objective.logits(model, batch.inputs, batch).shape == (2, hidden, hidden)


def test_the_order_of_visible_patches_does_not_matter():
    objective = Selfie(transformer="mini", double_softmax=False)
    torch.manual_seed(0)
    model = objective.build(ResNetV2Architecture(depth=18, width=2)).eval()
    batch = batch_of(objective)
    reordered = torch.cat([batch.targets[:, :4], batch.targets[:, 4:].flip(1)], dim=1)
    with frozen(model):
        first = objective.logits(model, batch.inputs, batch)
        second = objective.logits(model, batch.inputs, Batch(batch.inputs, reordered, batch.index))
    assert torch.allclose(first, second, atol=1e-5)


def test_no_image_looks_at_another():
    objective = Selfie(transformer="mini", mask="image")
    model = objective.build(ResNetV2Architecture(depth=18, width=2)).eval()
    batch = batch_of(objective)
    with frozen(model):
        together = objective.logits(model, batch.inputs, batch)
        alone = objective.logits(
            model, batch.inputs[1:2], Batch(batch.inputs[1:2], batch.targets[1:2], batch.index[1:2])
        )
    assert torch.allclose(together[1:2], alone, atol=1e-5)
