"""Parameter counts of the paper's networks (counted from their description), on no memory at all."""

from __future__ import annotations

import pytest
import torch

from advss_zoo.models.attention import SHAPES, AttentionPooling
from advss_zoo.models.backbones.resnetv2 import ResNetV2Architecture
from advss_zoo.objectives.classification import Classification
from advss_zoo.objectives.jigsaw import Jigsaw
from advss_zoo.objectives.joint import Joint
from advss_zoo.objectives.rotation import Rotation
from advss_zoo.objectives.selfie import Selfie


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("objective", "parameters"),
    [
        (Classification(), 23_516_874),
        (Rotation(), 23_504_580),
        (Jigsaw(), 23_559_903),
        (Selfie(), 8_533_696 + 109_207_552),
        (Joint(), 147_738_339),  # the authors' own, without the stem's batch norm, has 128 fewer
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_parameters(objective, parameters):
    with torch.device("meta"):
        network = objective.build(ResNetV2Architecture())
    assert count(network) == parameters
    assert count(network.trunk) == 8_533_696


def test_shapes_of_the_selfie_network():
    with torch.device("meta"):
        network = Selfie().build(ResNetV2Architecture())
        assert network.trunk(torch.empty(1, 3, 32, 32)).shape == (1, 1024, 8, 8)
        assert network.trunk(torch.empty(16, 3, 8, 8)).shape == (16, 1024, 2, 2)
    seen = []
    pooling = AttentionPooling(8, 4, SHAPES["mini"])
    pooling.layers[0].register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].shape))
    pooling(torch.rand(1, 16, 8), torch.arange(16).expand(1, 16))
    assert seen == [(1, 13, 8)], "twelve visible patches and the token"
