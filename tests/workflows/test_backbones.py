"""Models of other libraries from their name to a robust classifier of a folder, and on to ONNX and labels.

At small sizes every day; the nets that people use, at 32 and 224 pixels, under the marker `nightly`.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import advss_zoo as az
from advss_zoo.models.network import LibraryTrunk
from advss_zoo.zoo import checkpoint

VIT = "timm:test_vit?pretrained=false&img_size=32"
NETS = {  # by name, pixels a side
    "timm:resnet18?pretrained=false": 32,
    "timm:convnext_atto?pretrained=false": 32,
    "timm:vit_tiny_patch16_224?pretrained=false&img_size=32": 32,
    "timm:vit_tiny_patch16_224?pretrained=false": 224,
    "timm:mobilenetv3_small_100?pretrained=false": 224,
    "timm:efficientnet_b0?pretrained=false": 32,
    "timm:resnet50_gn?pretrained=false": 32,
    "timm:resnet18?pretrained=false&drop_rate=0.5": 224,
    "torchvision:resnet18?pretrained=false": 224,
}


def finetuned(name: str, side: int, mode: Any = "f4", **options: Any) -> az.FinetunedRun:
    quick = ("validation.attack.steps=1", "precision=fp32")
    return az.finetune(
        "photos", start=name, mode=mode, epochs=1, image_size=side, device="cpu", overrides=quick, **options
    )


def check_use(run: az.FinetunedRun, onnx: Path) -> None:
    """A checkpoint needs nothing of where it came from: it predicts, is measured, and exported."""
    assert run.model.classes == ("cat", "ship")
    assert isinstance(run.model.network.trunk, LibraryTrunk)
    assert set(az.predict(run.model, "photos/cat")[0].labels) == {"cat", "ship"}
    result = az.evaluate(run.model, "photos", "corruptions", limit=1, image_size=run.plan.options.image_size)
    assert result.n == 1
    exported = az.export(run.model, onnx)
    assert exported.difference < 1e-4
    x = torch.rand(3, 3, run.model.image_size or 0, run.model.image_size or 0)
    torch.testing.assert_close(az.load_model(onnx)(x), run.model(x), rtol=1e-3, atol=1e-3)


def test_a_transformer_becomes_a_robust_classifier(photos: Path, tmp_path: Path) -> None:
    said: list[str] = []
    run = finetuned(VIT, 32, say=said.append)
    (recipe,) = run.plan.recipes
    assert (run.name, recipe.parent, recipe.task) == ("photos-test-vit-f4.timm", VIT, None)
    assert (recipe.optimizer.name, recipe.adversary[0].eps_start, recipe.adversary[0].until) == ("adamw", 0, 0.5)
    assert any("eps from 0 over the first 50%" in line for line in said)
    shutil.rmtree(tmp_path / "cache" / "libraries")
    check_use(run, tmp_path / "vit.onnx")
    start = checkpoint.read_config(run.checkpoint)
    assert (start.architecture.family, start.architecture.num_classes) == ("timm", 2)


def test_it_is_resumed_after_the_cache_is_gone(photos: Path, tmp_path: Path) -> None:
    first = finetuned(VIT, 32, mode="f3")
    assert first.plan.recipes[0].adversary[0].name == "none"
    shutil.rmtree(tmp_path / "cache" / "libraries")
    assert finetuned(VIT, 32, mode="f3", resume=True).result == first.result


@pytest.mark.nightly
@pytest.mark.parametrize("name", NETS)
def test_every_kind_of_net_at_its_size(photos: Path, tmp_path: Path, name: str) -> None:
    side = NETS[name]
    model = az.load_model(name)
    assert model.image_size == (side if "img_size" in name else 224)
    run = finetuned(name, side)
    check_use(run, tmp_path / "net.onnx")
    assert finetuned(name, side, "f3").result.n == 4
    for mode in ("f1", "f2"):  # not from random weights, whose features may be the same for all images
        assert finetuned(str(run.checkpoint), side, mode).result.n == 4
