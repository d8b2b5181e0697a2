"""Every objective, found in the package: its losses agree with its own idea of what is correct."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy

import advss_zoo.objectives
from advss_zoo.objectives.base import Objective
from advss_zoo.objectives.classification import Classification
from advss_zoo.registry import subclasses


@pytest.mark.parametrize("cls", subclasses(advss_zoo.objectives, Objective))
def test_transform_keeps_the_batch_and_losses_are_scalars(cls):
    objective, images, labels = cls(), torch.rand(6, 3, 32, 32), torch.arange(6)
    batch = objective.transform(images, labels, torch.arange(6), seed=1)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3072, 10))
    assert batch.inputs.shape == images.shape
    assert objective.loss(model, batch.inputs, batch).ndim == 0
    assert objective.attack_loss(model, batch.inputs, batch).ndim == 0
    assert objective.correct(model, batch.inputs, batch).shape == (6,)


def test_classification_smooths_the_training_loss_only():
    logits, labels = torch.randn(4, 10), torch.arange(4)
    objective = Classification(label_smoothing=0.1)
    batch = objective.transform(torch.rand(4, 3, 2, 2), labels, torch.arange(4), seed=0)
    smooth = objective.loss(lambda _: logits, batch.inputs, batch)
    hard = objective.attack_loss(lambda _: logits, batch.inputs, batch)
    assert smooth.item() == pytest.approx(cross_entropy(logits, labels, label_smoothing=0.1).item())
    assert hard.item() == pytest.approx(4 * cross_entropy(logits, labels).item(), rel=1e-5)
