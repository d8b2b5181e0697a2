"""The fused networks give the gradients of float64, wherever they are offered."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn

from advss_zoo import load_model
from advss_zoo.data.load import load_data
from advss_zoo.models import fused
from advss_zoo.models.backbones.resnetv2 import ResNetV2, ResNetV2Architecture
from advss_zoo.models.ensemble import Ensemble
from advss_zoo.models.model import unwrapped
from advss_zoo.objectives.rotation import Rotation
from advss_zoo.objectives.selfie import Selfie

ARCHITECTURES = [
    ResNetV2Architecture(depth=depth, width=4, stem_bn=stem_bn, shortcut_bn=shortcut_bn)
    for depth in (18, 50)
    for stem_bn in (True, False)
    for shortcut_bn in (True, False)
]


def settled(network: nn.Module, least: float = 0.5) -> nn.Module:
    """Give batch norms statistics and weights as after training."""
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.3, 0.3)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
            nn.init.uniform_(module.weight, least, 1.5)
            nn.init.uniform_(module.bias, -0.3, 0.3)
    return network.eval()


def images(count: int = 8, side: int = 32) -> Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(1))


def gradient(outputs: Tensor, x: Tensor) -> Tensor:
    weights = torch.linspace(-1, 1, outputs[0].numel(), dtype=outputs.dtype).view(outputs[0].shape)
    return torch.autograd.grad((outputs * weights).sum(), x)[0]


def off(found: Tensor, expected: Tensor) -> float:
    return float((found.double() - expected).norm() / expected.norm())


def assert_like_float64(fast: nn.Module, network: nn.Module, x: Tensor) -> None:
    wide = x.double().requires_grad_()
    expected = deepcopy(network).double()(wide)
    x = x.requires_grad_()
    outputs = fast(x)
    assert outputs.dtype == torch.float32
    assert off(outputs, expected) < 1e-5
    assert off(gradient(outputs, x), gradient(expected, wide)) < 1e-4  # where a ReLU reads 0, both are right


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=lambda a: f"{a.depth}, {a.stem_bn}, {a.shortcut_bn}")
@pytest.mark.parametrize("least", [0.5, -0.5], ids=["folded", "as they are"])
def test_logits_and_gradients_are_those_of_the_network(architecture, least):
    network = settled(ResNetV2(architecture), least)
    fast = fused.find(network, images(), torch.float32)
    assert fast is not None
    assert_like_float64(fast, network, images(5, 24))


def test_a_shift_that_is_too_large_to_be_carried_is_not():
    network = settled(ResNetV2(ARCHITECTURES[0]))
    with torch.no_grad():
        network.trunk.layer1[1].bn1.weight.fill_(1e-6)
    fast = fused.FusedNetwork(network, torch.float32)
    fast(images())
    assert_like_float64(fast, network, images())


def test_an_ensemble_has_the_gradient_of_its_members():
    ensemble = Ensemble([settled(ResNetV2(architecture)) for architecture in ARCHITECTURES[:2]])
    fast = fused.find(ensemble, images(), torch.float32)
    assert fast is not None
    assert_like_float64(fast, ensemble, images())


@pytest.mark.parametrize("task", [Selfie(), Rotation()], ids=lambda task: task.name)
def test_features_are_those_of_the_trunk_of_any_task(task):
    network = settled(task.build(ARCHITECTURES[0]))
    assert fused.suits(network, torch.float32)
    fast = fused.FusedNetwork(network, torch.float32)
    wide, x = images().double().requires_grad_(), images().requires_grad_()
    found = gradient(fast.features(x), x)
    assert off(found, gradient(deepcopy(network).double().features(wide), wide)) < 1e-4


def test_in_bfloat16_a_checkpoint_has_nearly_its_gradient():
    network = unwrapped(load_model("p1f4.mini")).eval()
    x = torch.from_numpy(load_data("cifar10-1k", "test").first(16).images).float() / 255
    fast = fused.find(network, x, torch.bfloat16)
    assert fast is not None
    x.requires_grad_()
    found, expected = gradient(fast(x), x), gradient(network(x), x)
    assert torch.cosine_similarity(found.flatten(1), expected.flatten(1)).mean() > 0.99


def hooked(network: nn.Module) -> nn.Module:
    network.trunk.layer1.register_forward_hook(lambda *_: None)
    return network


def replaced(network: nn.Module) -> nn.Module:
    network.trunk.layer2[0].conv1 = nn.Conv2d(4, 8, 3, stride=2, padding=1)
    return network


class Own(ResNetV2):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.round())


@pytest.mark.parametrize(
    "network",
    [
        nn.Sequential(nn.Flatten(), nn.Linear(3072, 10)),
        hooked(ResNetV2(ARCHITECTURES[0])),
        replaced(ResNetV2(ARCHITECTURES[0])),
        Own(ARCHITECTURES[0]),
        ResNetV2(ARCHITECTURES[0]).double(),
        ResNetV2(ResNetV2Architecture(depth=18, width=4, stem="imagenet")),
    ],
    ids=["another", "a hook", "another layer", "a forward of its own", "float64", "large images"],
)
def test_what_is_not_ours_in_every_part_has_none(network):
    assert fused.find(network.eval(), images(), torch.float32) is None
