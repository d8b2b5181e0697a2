"""The network is the paper's: counted parameters, shapes, and what its blocks compute."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from torch.nn.functional import conv2d, pad, unfold

from advss_zoo.models.backbones.resnetv2 import BasicBlock, Bottleneck, ResNetV2, ResNetV2Architecture, ResNetV2Trunk
from advss_zoo.models.identity import weights_sha256
from advss_zoo.models.network import Normalize


def parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def meta(**options: object) -> ResNetV2:
    with torch.device("meta"):
        return ResNetV2(ResNetV2Architecture.model_validate(options))


@pytest.mark.parametrize(("classes", "total"), [(4, 23_504_580), (10, 23_516_874), (31, 23_559_903), (100, 23_701_284)])
def test_resnet50v2_has_the_papers_parameters(classes, total):
    model = meta(num_classes=classes)
    assert parameters(model) == total
    assert parameters(model.trunk) == 8_533_696
    assert parameters(model.head.layer4) == 14_962_688


def test_state_entries_match_the_authors_files():
    model = meta()
    assert len(model.state_dict()) == 320
    assert len(model.trunk.state_dict()) == 258
    statistics = [t for name, t in model.state_dict().items() if name.endswith(("running_mean", "running_var"))]
    assert sum(map(torch.Tensor.numel, statistics)) == 49_152


def test_the_first_version_without_stem_and_shortcut_norm():
    model = meta(stem_bn=False, shortcut_bn=False)
    assert parameters(model) == 23_509_066
    assert parameters(model.trunk) == 8_529_984


@pytest.mark.parametrize(
    ("layer", "sizes"), [("layer1", [74_624, 70_400, 70_400]), ("layer3", [1_511_424] + 5 * [1_117_184])]
)
def test_parameters_of_each_block(layer, sizes):
    assert [parameters(block) for block in getattr(meta().trunk, layer)] == sizes


@pytest.mark.parametrize("depth", [18, 50])
@pytest.mark.parametrize(("side", "features"), [(32, 8), (8, 2), (224, 56), (33, 9)])
def test_any_input_size(depth, side, features):
    model = ResNetV2(ResNetV2Architecture(depth=depth, width=4, num_classes=7)).eval()
    images = torch.rand(2, 3, side, side)
    assert model.trunk(images).shape == (2, model.trunk.out_channels, features, features)
    if side > 8:
        assert model(images).shape == (2, 7)


def test_full_size_trunk_gives_1024_channels():
    with torch.device("meta"):
        trunk = ResNetV2Trunk(ResNetV2Architecture())
        assert trunk(torch.empty(2, 3, 32, 32)).shape == (2, 1024, 8, 8)
        assert trunk(torch.empty(2, 3, 8, 8)).shape == (2, 1024, 2, 2)


def test_full_size_trunk_for_224_pixels_gives_the_same_14x14_grid_of_channels():
    with torch.device("meta"):
        model = ResNetV2(ResNetV2Architecture(stem="imagenet", num_classes=9))
        assert model.trunk(torch.empty(2, 3, 224, 224)).shape == (2, 1024, 14, 14)
        assert model.trunk(torch.empty(2, 3, 32, 32)).shape == (2, 1024, 2, 2)  # a patch of Selfie's
        assert model(torch.empty(2, 3, 224, 224)).shape == (2, 9)
    assert parameters(model.trunk) == 8_533_696 - 64 * 3 * 3 * 3 + 64 * 3 * 7 * 7
    assert model.state_dict().keys() == meta().state_dict().keys()


@pytest.mark.parametrize("stem_bn", [False, True])
def test_stem_for_imagenet(stem_bn):
    trunk = ResNetV2Trunk(ResNetV2Architecture(depth=18, width=4, stem="imagenet", stem_bn=stem_bn)).eval()
    images = torch.randn(2, 3, 64, 64)
    stem = conv2d(images, trunk.conv1.weight, stride=2, padding=3)
    stem = torch.relu(trunk.bn1(stem)) if stem_bn else stem
    windows = unfold(pad(stem, [1] * 4, value=-torch.inf), 3, stride=2).view(2, 4, 9, 16, 16)
    assert torch.allclose(trunk(images), trunk.layer3(trunk.layer2(trunk.layer1(windows.amax(2)))), atol=1e-5)


@pytest.mark.parametrize(
    ("options", "sha256"),
    [
        ({"depth": 18}, "d4fa8aa5387139ac1361588d9884b37060d142bfaca9cedf73009c52b2687946"),
        ({"depth": 50}, "c06334f6c322a5f01e727862b8a91e1a0349d6e0ac46f01b32ddf6a592e94c00"),
        (
            {"depth": 18, "stem_bn": False, "shortcut_bn": False},
            "a0ae87bc54ec7cc00b9ea79960fc9aed489012b6dc03b943761cfd598f6cbc54",
        ),
    ],
)
def test_a_seed_gives_the_initial_weights_it_always_gave(options, sha256):
    """The sums were taken before there was a stem for ImageNet: names, order and values of all weights."""
    torch.manual_seed(20)
    assert weights_sha256(ResNetV2(ResNetV2Architecture(width=4, **options))) == sha256


def test_normalisation_is_inside_and_holds_no_weights():
    normalize = Normalize((0.5, 0.5, 0.5), (0.25, 0.5, 1.0))
    assert normalize(torch.ones(1, 3, 1, 1)).flatten().tolist() == [2.0, 1.0, 0.5]
    assert not normalize.state_dict()


def test_image_gradients_are_contiguous_even_of_channels_last_weights():
    model = ResNetV2(ResNetV2Architecture(depth=18, width=8)).eval().to(memory_format=torch.channels_last)
    images = torch.rand(4, 3, 32, 32, requires_grad=True)
    assert torch.autograd.grad(model(images).sum(), images)[0].is_contiguous()


@pytest.mark.parametrize("block", [BasicBlock, Bottleneck])
def test_identity_shortcut_is_raw_and_projection_reads_the_activated_input(block):
    x = torch.randn(2, 8 * block.expansion, 4, 4)
    same = block(8 * block.expansion, 8, 1, shortcut_bn=True).eval()
    last = same.conv2 if block is BasicBlock else same.conv3
    torch.nn.init.zeros_(last.weight)
    assert torch.equal(same(x), x)
    halved = block(8 * block.expansion, 8, 2, shortcut_bn=False).eval()
    torch.nn.init.zeros_((halved.conv2 if block is BasicBlock else halved.conv3).weight)
    assert torch.equal(halved(x), halved.shortcut(torch.relu(halved.bn1(x))))


def test_no_norm_between_the_last_stage_and_the_pooling():
    model = ResNetV2(ResNetV2Architecture(depth=18, width=4)).eval()
    images = torch.rand(2, 3, 32, 32)
    features = model.head.layer4(model.trunk(model.normalize(images)))
    assert torch.allclose(model(images), model.head.linear(features.mean(dim=(2, 3))))


@pytest.mark.parametrize("wrong", [{"depth": 34}, {"width": 0}, {"num_classes": 1}, {"wdith": 16}, {"stem": "tiny"}])
def test_impossible_architectures_are_refused(wrong):
    with pytest.raises(ValidationError):
        ResNetV2Architecture.model_validate(wrong)
