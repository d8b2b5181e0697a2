"""BPDA: exact forward, another function's gradient backward."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import advss_zoo as az


def rounded(x):
    return (x * 7).round() / 7


def test_the_output_is_that_of_the_step_to_the_last_bit():
    x = torch.rand(4, 3, 8, 8)
    assert torch.equal(az.attacks.bpda(rounded)(x), rounded(x))


def test_the_gradient_is_that_of_the_identity_or_of_what_is_given():
    x = torch.rand(5, requires_grad=True)
    slope = torch.rand(5)
    az.attacks.bpda(rounded)(x).backward(slope)
    assert torch.equal(x.grad, slope)
    x.grad = None
    az.attacks.bpda(rounded, backward=lambda z: z**2)(x).backward(slope)
    torch.testing.assert_close(x.grad, 2 * x.detach() * slope)


def test_an_attack_that_stood_still_breaks_the_model():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 16, 8, 8), nn.ReLU(), nn.Flatten(), nn.Linear(256, 10)).eval()
    x = rounded(torch.rand(8, 3, 32, 32))
    y = network(x).argmax(dim=1)

    def right(step):
        model = nn.Sequential(step, network)
        made = az.attacks.pgd(model, x, y, eps=0.1, steps=5, step_size=0.05)
        return (model(made).argmax(dim=1) == y).sum().item()

    class Rounded(nn.Module):
        def forward(self, x):
            return rounded(x)

    assert right(az.attacks.bpda(rounded)) < right(Rounded())


def test_a_backward_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"step returns shape \(2, 3\), but backward \(3, 2\)"):
        az.attacks.bpda(rounded, backward=lambda x: x.T)(torch.rand(2, 3))
