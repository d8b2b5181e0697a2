"""The ensemble predicts by averaged probabilities, and its gradient survives saturation."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from advss_zoo.models.backbones.resnetv2 import ResNetV2, ResNetV2Architecture
from advss_zoo.models.ensemble import Ensemble, log_mean_probability


@pytest.fixture(scope="module")
def members():
    torch.manual_seed(0)
    return [ResNetV2(ResNetV2Architecture(depth=18, width=4)).eval() for _ in range(3)]


def test_softmax_of_the_output_is_the_mean_probability(members):
    x = torch.rand(5, 3, 32, 32)
    mean = torch.stack([member(x).softmax(1) for member in members]).mean(0)
    output = Ensemble(members)(x)
    assert torch.allclose(output.exp(), mean, atol=1e-6)
    assert torch.allclose(output.exp().sum(1), torch.ones(5), atol=1e-6)
    assert torch.allclose(output.softmax(1), mean, atol=1e-6)


def test_three_copies_predict_as_one(members):
    x = torch.rand(5, 3, 32, 32)
    copies = Ensemble([members[0]] * 3)
    assert torch.allclose(copies(x), members[0](x).log_softmax(1), atol=1e-5)


def test_gradients_survive_where_probabilities_underflow():
    class Confident(nn.Module):
        def forward(self, x):
            return torch.stack([x.sum((1, 2, 3)) * 200, -x.sum((1, 2, 3)) * 200], dim=1)

    x = torch.ones(1, 3, 2, 2, requires_grad=True)
    loss = nn.functional.cross_entropy(Ensemble([Confident(), Confident()])(x), torch.tensor([1]))
    assert torch.isfinite(loss)
    assert (torch.autograd.grad(loss, x)[0] != 0).all()


def test_an_ensemble_needs_a_member():
    with pytest.raises(ValueError, match="member"):
        Ensemble([])


def test_members_side_by_side(members):
    x = torch.rand(5, 3, 32, 32)
    logits = Ensemble(members)(x), Ensemble(members).logits(x)
    assert torch.equal(logits[1], torch.stack([member(x) for member in members], dim=1))
    assert torch.equal(logits[0], log_mean_probability(logits[1]))


def test_members_have_names(members):
    assert Ensemble(members).names == ("member 1", "member 2", "member 3")
    assert Ensemble(members, ["a", "b", "c"]).names == ("a", "b", "c")
    with pytest.raises(ValueError, match="names must be 3, one for each member, got 2"):
        Ensemble(members, ["a", "b"])
