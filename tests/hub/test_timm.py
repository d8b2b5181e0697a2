"""Models in timm's own layout on the Hub, fetched by timm with the real client."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from hub.server import Hub, Repository
from safetensors.torch import save

import advss_zoo as az
from advss_zoo.errors import CheckpointError, UsageError
from advss_zoo.models.architecture import Architecture
from advss_zoo.models.backbones.timm import TimmArchitecture
from advss_zoo.models.backbones.torchvision import TorchvisionArchitecture
from advss_zoo.zoo import checkpoint

NAME = "timm:hf-hub:acme/pets"


def put(hub: Hub, **changes: Any) -> torch.nn.Module:
    """Publish a net for three classes as `timm.models.push_to_hf_hub` lays it out; returns it."""
    torch.manual_seed(7)
    model = timm.create_model("test_vit", num_classes=3, img_size=32).eval()
    facts = {"input_size": [3, 32, 32], "fixed_input_size": True, "mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]}
    facts |= {"num_classes": 3, "classifier": "head", "first_conv": "patch_embed.proj", "label_names": ["a", "b", "c"]}
    config = {"architecture": "test_vit", "num_classes": 3, "model_args": {"img_size": 32}, "pretrained_cfg": facts}
    weights = save({name: tensor.contiguous() for name, tensor in model.state_dict().items()})
    repository = hub.repositories["acme/pets"] = Repository()
    repository.commit({"config.json": json.dumps(config | changes).encode(), "model.safetensors": weights})
    return model


def test_a_model_comes_with_its_classes_and_constants(hub: Hub) -> None:
    theirs = put(hub)
    model = az.load_model(NAME)
    assert (model.name, model.classes, model.image_size) == (NAME, ("a", "b", "c"), 32)
    assert (model.mean, model.std) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    x = torch.rand(2, 3, 32, 32)
    mean, std = (torch.tensor(each).view(1, 3, 1, 1) for each in (model.mean, model.std))
    torch.testing.assert_close(model(x), theirs((x - mean) / std))
    asked = len(hub.asked(".*"))
    assert az.load_model(NAME).sha256 == model.sha256
    assert len(hub.asked(".*")) == asked, "it is converted once"


def test_a_model_that_its_record_does_not_rebuild_is_refused(hub: Hub) -> None:
    put(hub, model_args={"img_size": 32, "act_layer": "relu"})
    with pytest.raises(UsageError, match="cannot be rebuilt from its name"):
        az.load_model(NAME)


def test_what_is_not_there_is_said(hub: Hub) -> None:
    with pytest.raises(CheckpointError, match=r"acme/none on .* does not exist or is private"):
        az.load_model("timm:hf-hub:acme/none")


@pytest.mark.parametrize(
    "architecture",
    [
        TimmArchitecture(model="test_resnet"),
        TorchvisionArchitecture(model="shufflenet_v2_x0_5"),
    ],
)
def test_a_checkpoint_of_another_family_is_published_and_pulled(
    hub: Hub, tmp_path: Path, architecture: Architecture
) -> None:
    config = checkpoint.Config(
        name="net", tag="test", scenario="p1f4", architecture=architecture, classes=tuple("abcdefghij")
    )
    network = architecture.classifier().eval()
    checkpoint.save(tmp_path / "net", network.state_dict(), config, precision="full")
    (tmp_path / "net" / "README.md").write_text("---\nlicense: mit\n---\n# net.test\n")
    az.publish(tmp_path / "net", "hf://acme/net")
    shutil.rmtree(tmp_path / "net")
    model, x = az.load_model("hf://acme/net"), torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(model(x), network(x), rtol=1e-4, atol=1e-5)
