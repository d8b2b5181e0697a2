"""`frozen` leaves a model exactly as it found it."""

from __future__ import annotations

import pytest
import torch

from advss_zoo.models.backbones.resnetv2 import ResNetV2, ResNetV2Architecture
from advss_zoo.models.modes import frozen


def test_mode_and_gradients_come_back_part_by_part():
    model = ResNetV2(ResNetV2Architecture(depth=18, width=4)).train()
    model.trunk.eval()
    for parameter in model.trunk.parameters():
        parameter.requires_grad_(False)
    with frozen(model):
        assert not any(module.training for module in model.modules())
        assert not any(parameter.requires_grad for parameter in model.parameters())
    assert model.head.layer4.training
    assert not any(module.training for module in model.trunk.modules())
    assert all(parameter.requires_grad for parameter in model.head.parameters())
    assert not any(parameter.requires_grad for parameter in model.trunk.parameters())


def test_statistics_stay_and_an_exception_undoes_it_too():
    model = ResNetV2(ResNetV2Architecture(depth=18, width=4)).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with frozen(model):
        model(torch.rand(4, 3, 32, 32))
    with pytest.raises(KeyError), frozen(model):
        raise KeyError
    assert model.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
