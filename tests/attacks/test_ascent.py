"""PGD is the paper's section 3: compared with a version written out from the text, and with what must hold."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy

from advss_zoo.attacks.ascent import ascend, input_gradient
from advss_zoo.errors import AdvssError
from advss_zoo.models.backbones.resnetv2 import ResNetV2, ResNetV2Architecture
from advss_zoo.threat import ThreatModel

EPS, STEP = 8 / 255, 2 / 255


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return ResNetV2(ResNetV2Architecture(depth=18, width=4)).eval().requires_grad_(False)


def test_equals_the_algorithm_as_the_paper_writes_it(model):
    x, y = torch.rand(6, 3, 32, 32), torch.arange(6)
    start = x + torch.empty_like(x).uniform_(-EPS, EPS)
    z = start
    for _ in range(5):
        z = z.detach().requires_grad_()
        cross_entropy(model(z), y).backward()
        z = z.detach() + STEP * z.grad.sign()
        z = torch.min(torch.max(z, x - EPS), x + EPS).clamp(0, 1)
    ours = ascend(
        lambda inputs: cross_entropy(model(inputs), y, reduction="sum"),
        x,
        start,
        threat=ThreatModel("linf", EPS),
        steps=5,
        step_size=STEP,
    )
    assert torch.equal(ours, z)
    assert not ours.requires_grad


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_linear_loss_is_driven_to_the_border(norm):
    x, weights = torch.full((3, 3, 8, 8), 0.5), torch.randn(3, 3, 8, 8)
    threat = ThreatModel(norm, 0.1 if norm == "linf" else 0.5)
    found = ascend(lambda z: (z * weights).sum(), x, x, threat=threat, steps=60, step_size=threat.eps / 5)
    assert torch.allclose(found, x + threat.eps * threat.direction(weights), atol=1e-5)


def test_a_zero_gradient_leaves_the_pixel():
    x = torch.full((1, 3, 2, 2), 0.5)
    for norm in ("linf", "l2"):
        threat = ThreatModel(norm, 0.1)
        assert torch.equal(ascend(lambda z: (z * 0).sum(), x, x, threat=threat, steps=3, step_size=0.01), x)


def test_weights_get_no_gradient():
    model = ResNetV2(ResNetV2Architecture(depth=18, width=4)).eval()
    input_gradient(lambda z: model(z).sum(), torch.rand(2, 3, 32, 32))
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_gradient_that_is_not_finite_is_a_sentence(value):
    x = torch.full((3, 3, 2, 2), 0.5)
    spoilt = torch.ones_like(x)
    spoilt[1, 0, 0, 0] = value
    for norm in ("linf", "l2"):
        with pytest.raises(AdvssError, match="NaN or infinite for 1 of 3 images"):
            ascend(lambda z: (z * spoilt).sum(), x, x, threat=ThreatModel(norm, 0.1), steps=2, step_size=0.01)
