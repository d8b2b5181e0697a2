"""Weights of classes: in what training minimises, nowhere else."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy, kl_div

from advss_zoo.errors import UsageError
from advss_zoo.objectives.classification import Classification
from advss_zoo.objectives.trades import Trades
from advss_zoo.training import recipe

WEIGHTS = (0.5, 1.0, 4.0)
LABELS = torch.tensor([0, 1, 1, 2, 0])


@pytest.fixture
def logits():
    return torch.randn(5, 3, generator=torch.Generator().manual_seed(0))


def batch_of(objective):
    return objective.transform(torch.zeros(5, 3, 2, 2), LABELS, torch.arange(5), seed=0)


def expected(logits):
    """One image after the other."""
    each = [
        cross_entropy(row[None], label[None], label_smoothing=0.1) for row, label in zip(logits, LABELS, strict=True)
    ]
    return sum(WEIGHTS[label] * loss for label, loss in zip(LABELS.tolist(), each, strict=True)) / 5


def test_each_image_counts_as_its_class_does(logits):
    objective = Classification(label_smoothing=0.1, class_weights=WEIGHTS)
    loss = objective.loss(lambda _: logits, torch.zeros(5, 3, 2, 2), batch_of(objective))
    assert loss.item() == pytest.approx(expected(logits).item(), rel=1e-5)


def test_in_trades_the_clean_loss_is_weighted(logits):
    objective = Trades(beta=2, label_smoothing=0.1, class_weights=WEIGHTS)
    batch = batch_of(objective)
    clean, attacked = logits, logits.flip(0)
    loss = objective.loss(lambda x: clean if x is batch.inputs else attacked, batch.inputs + 1, batch)
    divergence = kl_div(attacked.log_softmax(1), clean.softmax(1), reduction="batchmean")
    assert loss.item() == pytest.approx((expected(clean) + 2 * divergence).item(), rel=1e-5)


def test_equal_weights_change_nothing(logits):
    plain, weighted = (Classification(label_smoothing=0.1, class_weights=weights) for weights in ((), (1, 1, 1)))
    one, other = (each.loss(lambda _: logits, torch.zeros(5, 3, 2, 2), batch_of(each)) for each in (plain, weighted))
    assert one.item() == pytest.approx(other.item(), rel=1e-6)


def test_the_adversary_does_not_see_them(logits):
    losses = {
        weights: Classification(class_weights=weights)
        .attack_loss(lambda _: logits, batch_of(Classification()))(torch.zeros(5, 3, 2, 2))
        .item()
        for weights in ((), WEIGHTS)
    }
    assert len(set(losses.values())) == 1


def test_there_are_as_many_as_classes():
    with pytest.raises(UsageError, match="has 2 class_weights, the network 10 outputs"):
        recipe.load("p1f4.mini", ["objective.class_weights=[1, 2]"])
    with pytest.raises(UsageError, match="greater than 0"):
        recipe.load("p1f4.mini", ["objective.class_weights=[0, 1]"])
