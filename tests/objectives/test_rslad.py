"""A teacher's soft labels: in RSLAD everywhere, in the other objectives of classes where the true class would stand."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import cross_entropy, kl_div

from advss_zoo.objectives.classification import Classification
from advss_zoo.objectives.rslad import Rslad
from advss_zoo.objectives.trades import Trades


@pytest.fixture
def batch():
    torch.manual_seed(0)
    plain = Classification().transform(torch.rand(5, 3, 2, 2), torch.arange(5), torch.arange(5), seed=0)
    return replace(plain, soft=torch.randn(5, 10).softmax(dim=1))


@pytest.fixture
def model():
    torch.manual_seed(1)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 10))


def divergence(model, inputs, batch):
    """KL(teacher || student), the mean over the batch."""
    return kl_div(model(inputs).log_softmax(dim=1), batch.soft, reduction="batchmean")


def test_rslad_minimises_the_divergence_from_the_teacher_on_attacked_and_clean_images(model, batch):
    attacked = batch.inputs + 0.1
    expected = 5 / 6 * divergence(model, attacked, batch) + 1 / 6 * divergence(model, batch.inputs, batch)
    found = Rslad().training_loss(model, attacked, batch, clean_weight=0)
    weights = list(model.parameters())
    torch.testing.assert_close(torch.autograd.grad(found, weights), torch.autograd.grad(expected, weights))
    entropy = -(batch.soft * batch.soft.log()).sum(dim=1).mean()
    torch.testing.assert_close(found, expected + entropy)


def test_the_adversary_of_rslad_maximises_the_divergence_from_the_teacher(model, batch):
    inputs = (batch.inputs + 0.1).requires_grad_()
    found = Rslad().attack_loss(model, batch)(inputs)
    expected = len(inputs) * divergence(model, inputs, batch)
    torch.testing.assert_close(torch.autograd.grad(found, inputs), torch.autograd.grad(expected, inputs))


def test_with_soft_labels_classification_learns_them_and_its_attack_keeps_to_the_true_class(model, batch):
    objective = Classification(label_smoothing=0.1)
    logits = model(batch.inputs)
    smooth = 0.9 * batch.soft + 0.1 / 10
    expected = -(smooth * logits.log_softmax(dim=1)).sum(dim=1).mean()
    torch.testing.assert_close(objective.loss(model, batch.inputs, batch), expected)
    hard = cross_entropy(logits, batch.targets, reduction="sum")
    torch.testing.assert_close(objective.attack_loss(model, batch)(batch.inputs), hard)


def test_images_of_rare_classes_count_more_with_soft_labels_too(model, batch):
    weights = (2.0, *[1.0] * 9)
    losses = cross_entropy(model(batch.inputs), batch.soft, reduction="none")
    expected = (losses * torch.tensor([2.0, 1, 1, 1, 1])).mean()
    torch.testing.assert_close(Classification(class_weights=weights).loss(model, batch.inputs, batch), expected)


def test_with_soft_labels_the_clean_part_of_trades_learns_them(model, batch):
    clean, without = (Trades(beta=0).loss(model, batch.inputs, each) for each in (batch, replace(batch, soft=None)))
    torch.testing.assert_close(clean, cross_entropy(model(batch.inputs), batch.soft))
    torch.testing.assert_close(without, cross_entropy(model(batch.inputs), batch.targets))


def test_validation_of_rslad_attacks_the_true_class():
    assert Rslad().validation_objective == Rslad().deployed == Classification()
