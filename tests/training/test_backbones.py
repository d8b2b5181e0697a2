"""Backbones of every family are trained, resumed, inherited and frozen as the zoo's own are."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from advss_zoo.errors import CheckpointError, UsageError
from advss_zoo.models.backbones.resnetv2 import ResNetV2Architecture
from advss_zoo.models.backbones.timm import TimmArchitecture
from advss_zoo.models.backbones.torchvision import TorchvisionArchitecture
from advss_zoo.training import recipe, trainer
from advss_zoo.training.optimization import layers, make_optimizer
from advss_zoo.zoo import checkpoint, sources

NETS = {
    "resnet": "{family: timm, model: test_resnet, img_size: 32, num_classes: 100}",
    "convnext": "{family: timm, model: test_convnext, img_size: 32, num_classes: 100, drop_path_rate: 0.2}",
    "vit": "{family: timm, model: test_vit, img_size: 32, num_classes: 100, drop_rate: 0.5}",
    "group-norm": "{family: timm, model: test_efficientnet_gn, img_size: 32, num_classes: 100}",
    "torchvision": "{family: torchvision, model: mobilenet_v3_small, img_size: 32, num_classes: 100}",
}
ADAMW = "optimizer={name: adamw, layer_decay: 0.75}"
QUICK = ["epochs=1", "validation.images=4", "validation.every=1", "schedule.0.peak=0.001", "averaging.decay=0.5"]
FROM_TIMM = "parent=timm:test_vit?pretrained=false&img_size=32"
# The constants of test_vit, which its record holds.
HALVES = ["architecture.mean=[0.5, 0.5, 0.5]", "architecture.std=[0.5, 0.5, 0.5]"]


def a_recipe(file, net, *overrides):
    return recipe.load(file, [f"architecture={NETS[net]}", *QUICK, *overrides])


def weights(folder):
    return {place: (folder / place / "model.safetensors").read_bytes() for place in ("average", "last")}


@pytest.mark.parametrize("net", ["resnet", "convnext", "group-norm", "torchvision"])
def test_a_net_of_each_family_is_trained_and_read_back(cache, recipe_file, tmp_path, net):
    optimizer = [] if net == "resnet" else [ADAMW]
    folder = trainer.train(a_recipe(recipe_file, net, *optimizer), tmp_path / "run")
    network, config = checkpoint.load(folder)
    assert config.architecture == a_recipe(recipe_file, net).architecture
    assert network(torch.rand(2, 3, 32, 32)).shape == (2, 100)


def test_adamw_with_dropout_resumes_bit_by_bit(cache, recipe_file, tmp_path, monkeypatch):
    made = a_recipe(recipe_file, "vit", ADAMW, FROM_TIMM, *HALVES)
    trainer.train(made, tmp_path / "unbroken")

    def interrupt(done, total, note):
        if done == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(trainer, "SAVE_EVERY", -1.0)
    with pytest.raises(KeyboardInterrupt):
        trainer.train(made, tmp_path / "run", progress=interrupt)
    trainer.train(made, tmp_path / "run", resume=True)
    assert weights(tmp_path / "run") == weights(tmp_path / "unbroken")


def test_the_trunk_of_another_library_is_inherited_and_frozen(cache, recipe_file, tmp_path):
    made = a_recipe(recipe_file, "vit", FROM_TIMM, "trains=head", *HALVES)
    network, config = checkpoint.load(trainer.train(made, tmp_path / "run"))
    theirs, _ = checkpoint.load(sources.fetch(FROM_TIMM.removeprefix("parent=")).path)
    for name, tensor in theirs.trunk.state_dict().items():
        torch.testing.assert_close(network.trunk.state_dict()[name], tensor, rtol=1e-3, atol=1e-4)  # halves on disk
    assert config.provenance.parent == "test-vit.timm"


def test_a_parent_of_another_build_is_refused_by_the_key_that_differs(cache, recipe_file, tmp_path):
    with pytest.raises(CheckpointError, match=r"trained with mean \(0.5,.*architecture.mean=\[0.5,0.5,0.5\]"):
        trainer.train(a_recipe(recipe_file, "vit", FROM_TIMM), tmp_path / "run")
    with pytest.raises(CheckpointError, match="family timm, but the recipe has resnetv2"):
        trainer.train(recipe.load(recipe_file, [*QUICK, FROM_TIMM, *HALVES]), tmp_path / "run")


def test_a_pretext_task_runs_on_vectors(cache, recipe_file, tmp_path):
    selfie = ["objective={name: selfie, transformer: mini}", "task=selfie", "scenario=p3", "batch_size=20"]
    net = "architecture={family: timm, model: test_resnet, img_size: 32, num_classes: 100}"
    folder = trainer.train(recipe.load(recipe_file, [*QUICK, *selfie, net]), tmp_path / "run")
    assert checkpoint.read_config(folder).kind == "trunk"
    with pytest.raises(UsageError, match="selfie: test_vit is built for images of 32 pixels, got 8"):
        a_recipe(recipe_file, "vit", *selfie)


def test_images_of_another_size_are_refused_before_anything_starts(recipe_file):
    with pytest.raises(UsageError, match=r"test_vit is built for images of 32 pixels, got 48; timm:NAME\?img_size=48"):
        a_recipe(recipe_file, "vit", "image_size=48")
    assert a_recipe(recipe_file, "resnet", "image_size=48").side == 48


@pytest.mark.parametrize(
    ("architecture", "depths"),
    [
        (ResNetV2Architecture(depth=18, width=2), {"trunk.conv1.weight": 9, "head.layer4.1.bn1.bias": 1}),
        (TimmArchitecture(model="test_vit", img_size=32), {"trunk.model.cls_token": 7, "trunk.model.blocks.5.ls1": 1}),
        (
            TorchvisionArchitecture(model="resnet18"),
            {"trunk.model.bn1.bias": 9, "trunk.model.layer4.0.conv1.weight": 2},
        ),
    ],
)
def test_layers_are_counted_from_the_end(architecture, depths):
    found = layers(architecture.classifier())
    assert found["head.linear.weight"] == 0
    for name, depth in depths.items():
        assert {layer for key, layer in found.items() if key.startswith(name)} <= {depth}


def test_layer_decay_lowers_rates_towards_the_image_and_spares_vectors(recipe_file):
    made = a_recipe(recipe_file, "vit", ADAMW)
    network = made.objective.build(made.architecture)
    groups = make_optimizer(made, network).param_groups
    of = {id(each): group for group in groups for each in group["params"]}
    head, token = of[id(network.head.linear.weight)], of[id(network.trunk.model.cls_token)]
    assert (head["scale"], token["scale"]) == (1.0, 0.75**7)
    assert (head["weight_decay"], of[id(network.head.linear.bias)]["weight_decay"]) == (0.05, 0.0)
    assert len(of) == len(list(network.parameters()))


TOY = """
from typing import Literal
from torch import nn
from advss_zoo.models.architecture import Architecture
from advss_zoo.models.network import Trunk


class ToyTrunk(Trunk):
    def __init__(self, channels):
        super().__init__()
        self.conv, self.out_channels = nn.Conv2d(3, channels, 8, 8), channels

    def forward(self, x):
        return self.conv(x)


class ToyArchitecture(Architecture):
    family: Literal["toy"] = "toy"
    channels: int = 4

    def __str__(self):
        return "toy"

    @property
    def image_size(self):
        return 32

    def trunk(self):
        return ToyTrunk(self.channels)
"""
RUN = """
import sys
from pathlib import Path
import advss_zoo.models.backbones
advss_zoo.models.backbones.__path__.append(sys.argv[3])  # where a contributor's file would lie
from advss_zoo.training import recipe, trainer
from advss_zoo.zoo.open import open_model
made = recipe.load(sys.argv[1], sys.argv[4:])
model = open_model(trainer.train(made, Path(sys.argv[2])))
print(type(model.network.architecture).__name__, model.image_size, sum(each.numel() for each in model.parameters()))
"""


def test_a_backbone_is_one_file(cache, recipe_file, tmp_path):
    (tmp_path / "families").mkdir()
    (tmp_path / "families" / "toy.py").write_text(TOY)
    overrides = ["architecture={family: toy, channels: 5, num_classes: 100}", *QUICK]
    command = [sys.executable, "-c", RUN, str(recipe_file), str(tmp_path / "run"), str(tmp_path / "families")]
    found = subprocess.run([*command, *overrides], capture_output=True, text=True, check=False)
    assert found.stdout.split() == ["ToyArchitecture", "32", str(5 * 3 * 64 + 5 + 5 * 100 + 100)], found.stderr
