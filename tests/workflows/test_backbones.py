"""Models of other libraries from their name to a robust classifier of a folder, and on to ONNX and labels.

At small sizes every day; the nets that people use, at 32 and 224 pixels, under the marker `nightly`.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from nets import NETS
from torch import Tensor
from torch.nn.functional import interpolate
from torch.optim.swa_utils import update_bn

import advss_zoo as az
from advss_zoo.data.subset import load_subset
from advss_zoo.errors import UsageError
from advss_zoo.models.network import LibraryTrunk
from advss_zoo.training import trainer
from advss_zoo.zoo import checkpoint

VIT = "timm:test_vit?pretrained=false&img_size=32"
SHUFFLENET = "torchvision:shufflenet_v2_x0_5?pretrained=false&img_size=32"


def finetuned(name: str, side: int, mode: Any = "f4", **options: Any) -> az.FinetunedRun:
    """In five slow steps: after fast ones from untrained weights, running statistics are not yet those of features."""
    quick = ("validation.attack.steps=1", "precision=fp32", "schedule.0.peak=0.001")
    return az.finetune(
        "photos", start=name, mode=mode, epochs=1, image_size=side, device="cpu", overrides=quick, **options
    )


def real(count: int, side: int) -> Tensor:
    """Photographs (count,3,side,side) in [0,1]."""
    return interpolate(torch.from_numpy(load_subset().images[:count]).float() / 255, side, mode="bilinear")


def check_use(run: az.FinetunedRun, onnx: Path) -> None:
    """A checkpoint needs nothing of where it came from: it predicts, is measured, and exported."""
    assert run.model.classes == ("cat", "ship")
    assert isinstance(run.model.network.trunk, LibraryTrunk)
    assert set(az.predict(run.model, "photos/cat")[0].labels) == {"cat", "ship"}
    side = run.plan.options.image_size
    apgd, corrupted = az.evaluate(run.model, "photos", ["apgd-ce", "corruptions"], limit=1, image_size=side)
    assert apgd.ra is not None
    assert corrupted.details.corruption_accuracy is not None
    assert corrupted.protocol.to_dict().get("constants") == ("ImageNet-C" if side == 224 else None)
    exported = az.export(run.model, onnx)
    assert exported.difference < 1e-4
    x = real(3, side)
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


def check_resumed(name: str, side: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped after two steps, and resumed, it comes to the same weights and verdicts."""
    whole = finetuned(name, side, "f3", out="whole")
    assert whole.plan.recipes[0].adversary[0].name == "none"

    def interrupt(what: str, unit: str, done: int, total: int, note: str) -> None:
        if unit == "steps" and done == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(trainer, "SAVE_EVERY", -1.0)
    with pytest.raises(KeyboardInterrupt):
        finetuned(name, side, "f3", out="stopped", progress=interrupt)
    resumed = finetuned(name, side, "f3", out="stopped", resume=True)
    assert resumed.model.sha256 == whole.model.sha256
    assert resumed.result.verdicts == whole.result.verdicts


@pytest.mark.parametrize("name", [VIT, SHUFFLENET])
def test_a_stopped_run_is_resumed_to_the_same_weights(photos: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    check_resumed(name, 32, monkeypatch)


def test_a_finished_run_is_resumed_after_the_cache_is_gone(photos: Path, tmp_path: Path) -> None:
    first = finetuned(SHUFFLENET, 32)
    shutil.rmtree(tmp_path / "cache" / "libraries")
    assert finetuned(SHUFFLENET, 32, resume=True).result == first.result
    check_use(first, tmp_path / "net.onnx")
    for mode in ("f1", "f2"):
        head = finetuned(str(first.checkpoint), 32, mode)
        before, after = (run.model.network.trunk.state_dict() for run in (first, head))
        for key, tensor in before.items():
            torch.testing.assert_close(after[key], tensor, rtol=1e-3, atol=1e-4)  # halves on disk


def test_the_head_alone_of_random_weights_is_refused(photos: Path) -> None:
    with pytest.raises(
        UsageError, match=f"--mode f1 trains the head only, but the trunk of {VIT[:9]}.* random weights"
    ):
        az.plan_finetuning("photos", start=VIT, mode="f1")


def test_the_folder_that_pull_names_can_be_taken_elsewhere(photos: Path) -> None:
    shutil.copytree(az.pull(VIT).path, "copied")
    (recipe,) = az.plan_finetuning("photos", start="copied").plan.recipes
    assert (recipe.parent, recipe.adversary[0].eps_start) == ("copied", 0)


def settled(name: str, side: int) -> str:
    """A checkpoint of a net with random weights whose running statistics are those of photographs and noise.

    Without statistics of images, batch norms that do not normalise leave a net as deep as EfficientNet without a
    gradient. With those of photographs alone, two steps of PGD make its features many times larger, and a head on
    them (F2) diverges; those of the zoo's trained nets do not grow.
    """
    folder = shutil.copytree(az.pull(name).path, Path("settled"))
    network = az.load_model("settled").network
    update_bn([torch.cat([real(24, side), torch.rand(8, 3, side, side)])], network)
    checkpoint.save(folder, network.state_dict(), checkpoint.read_config(folder), precision="full")
    return str(folder)


@pytest.mark.nightly
@pytest.mark.parametrize("name", NETS)
def test_every_kind_of_net_at_its_size(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    side = NETS[name][1]
    model = az.load_model(name)
    assert model.image_size == (side if "img_size" in name else 224)
    start = settled(name, side)
    run = finetuned(start, side)
    check_use(run, tmp_path / "net.onnx")
    check_resumed(start, side, monkeypatch)
    for mode in ("f1", "f2"):
        assert finetuned(str(run.checkpoint), side, mode).result.n == 4


@pytest.mark.nightly
def test_a_budget_holds_at_224_pixels(photos: Path) -> None:
    run = az.finetune(
        "photos",
        start="torchvision:resnet18?pretrained=false",
        budget="2m",
        device="cpu",
        overrides=("schedule.0.peak=0.001",),  # slow steps, as above: on a busy machine there is time for few of them
    )
    assert run.plan.options.image_size == 224
    assert run.seconds < 120
