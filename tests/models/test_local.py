"""What is computed in part is what the whole network computes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from advss_zoo.models.backbones.resnetv2 import ResNetV2, ResNetV2Architecture
from advss_zoo.models.ensemble import Ensemble
from advss_zoo.models.local import Window, remember, suits

SIDE = 32


def network(depth: int = 18, seed: int = 0, **options: object) -> ResNetV2:
    """With statistics of batch norm as training leaves them."""
    torch.manual_seed(seed)
    model = ResNetV2(ResNetV2Architecture(depth=depth, width=4, **options)).eval().requires_grad_(False)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 2)
            module.weight.uniform_(0.5, 2)
            module.bias.normal_(std=0.1)
    return model


NETWORKS = {
    "18": network(),
    "50": network(50),
    "18 plain": network(stem_bn=False, shortcut_bn=False),
    "ensemble": Ensemble([network(), network(seed=1)]).eval(),
}


@st.composite
def windows(draw: st.DrawFn, size: int) -> Window:
    spans = []
    for _ in range(2):
        length = draw(st.integers(1, size))
        begin = draw(st.integers(0, SIDE - length))
        spans.append((begin, begin + length))
    return Window(*spans)


@pytest.mark.parametrize("name", NETWORKS)
@settings(max_examples=8, deadline=None)
@given(data=st.data(), size=st.sampled_from([1, 2, 4, 7, 20, SIDE]))
def test_a_walk_in_small_windows_gives_the_logits_of_the_whole_network(
    name: str, data: st.DataObject, size: int
) -> None:
    model, chance = NETWORKS[name], torch.Generator().manual_seed(1)
    x = torch.rand(3, 3, SIDE, SIDE, generator=chance)
    local = remember(model, x, size)
    for _ in range(3):
        window, z = data.draw(windows(size)), x.clone()
        window.of(z).copy_(torch.rand(window.of(z).shape, generator=chance))
        expected = model(z)
        assert not torch.allclose(model(x), expected, atol=1e-5), "a change should be seen"
        assert torch.allclose(local(window.of(z), window), expected, rtol=1e-4, atol=1e-5)
        rows = torch.tensor([0, 2])
        local.keep(rows)
        x[rows] = z[rows]


def test_little_is_computed_for_a_small_window() -> None:
    model, x = NETWORKS["18"], torch.rand(2, 3, SIDE, SIDE)
    positions = []
    for module in model.trunk.layer1.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.register_forward_hook(lambda _, inputs, output: positions.append(output[0, 0].numel()))
    local = remember(model, x, 3)
    assert sum(positions) == 4 * SIDE**2
    positions.clear()
    window = Window((14, 17), (14, 17))
    local(window.of(x), window)
    assert 0 < sum(positions) < 0.2 * 4 * SIDE**2


def test_which_networks_suit() -> None:
    assert suits(NETWORKS["50"])
    assert suits(NETWORKS["ensemble"])
    assert not suits(Ensemble([NETWORKS["50"], nn.Flatten()]))
    assert not suits(ResNetV2(ResNetV2Architecture(depth=18, width=4, stem="imagenet")))
    assert not suits(nn.Sequential(nn.Flatten(), nn.Linear(3, 2)))


class Defence(ResNetV2):
    def forward(self, x):
        return super().forward((x * 15).round() / 15)


class MeanLogits(Ensemble):
    def forward(self, x):
        return self.logits(x).mean(dim=1)


def replaced(path: str, by: nn.Module) -> ResNetV2:
    model = network()
    model.set_submodule(path, by)
    return model


def hooked(path: str) -> ResNetV2:
    model = network()
    model.get_submodule(path).register_forward_hook(lambda _, __, output: 2 * output)
    return model


def with_own_forward() -> ResNetV2:
    model = network()
    model.forward = lambda x: -ResNetV2.forward(model, x)
    return model


@pytest.mark.parametrize(
    "changed",
    [
        Defence(ResNetV2Architecture(depth=18, width=4)),
        with_own_forward(),
        *(hooked(path) for path in ("", "normalize", "trunk.layer2.0", "trunk.conv1", "head.layer4.1.conv2")),
        replaced("head", nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10))),
        replaced("normalize", nn.Identity()),
        replaced("trunk.conv1", nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect", bias=False)),
        replaced("trunk.bn1", nn.GroupNorm(2, 4)),
        replaced("trunk.layer3", nn.Sequential(*network().trunk.layer3, nn.ReLU())),
    ],
)
def test_a_network_that_computes_something_else_is_computed_as_a_whole(changed: ResNetV2) -> None:
    assert not suits(changed)
    assert not suits(Ensemble([network(), changed]))


def test_so_is_an_ensemble_that_does() -> None:
    assert not suits(MeanLogits([network(), network(seed=1)]))
    ensemble = Ensemble([network(), network(seed=1)])
    ensemble.register_forward_pre_hook(lambda _, inputs: (inputs[0].round(),))
    assert not suits(ensemble)
