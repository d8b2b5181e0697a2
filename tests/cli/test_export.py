"""`advss export`, and what its file is good for afterwards."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from deploy import onnx_files
from deploy.no_torch import without_torch
from PIL import Image

from advss_zoo.evaluation.verdicts import Verdicts
from advss_zoo.training import recipe

Advss = Callable[..., Any]


def test_a_checkpoint_is_exported_and_used_without_torch(advss: Advss) -> None:
    outcome = advss("export", "p1f4", "--to", "my models/p1f4.onnx", "--json")
    assert outcome.status == 0
    document = outcome.json
    assert document["path"] == "my models/p1f4.onnx"
    assert "advss predict 'my models/p1f4.onnx' IMAGE" in outcome.stderr
    assert document["metadata"]["name"] == "p1f4.mini"
    assert document["difference"] <= 1e-4
    assert "p1f4.mini: 10 classes, images of 32x32 pixels, trained against linf 8/255" in outcome.stderr
    assert [path.name for path in Path("my models").iterdir()] == ["p1f4.onnx"]
    Image.new("RGB", (50, 40), "blue").save("sky.jpg")
    by_onnx = without_torch("predict", "my models/p1f4.onnx", "sky.jpg", "--json", "--top", "10")
    assert by_onnx.returncode == 0, by_onnx.stderr
    by_torch = advss("predict", "p1f4", "sky.jpg", "--json", "--top", "10")
    (found,), (wanted,) = json.loads(by_onnx.stdout)["images"], by_torch.json["images"]
    assert [each["label"] for each in found["predictions"]] == [each["label"] for each in wanted["predictions"]]
    for one, other in zip(found["predictions"], wanted["predictions"], strict=True):
        assert one["probability"] == pytest.approx(other["probability"], abs=1e-5)


@pytest.mark.parametrize(
    ("asked", "threat"),
    [
        (["--norm", "l2"], ("l2", 0.5)),
        (["--norm", "l2", "--eps", "0.25"], ("l2", 0.25)),
        (["--norm", "l2", "--objective", "trades"], ("l2", 0.5)),
        ([], ("linf", 8 / 255)),
        (["--mode", "f3", "--norm", "l2"], (None, None)),
    ],
)
def test_what_fine_tuning_is_against_is_what_was_asked_for(
    asked: list[str], threat: tuple[str, float] | tuple[None, None], tmp_path: Path, advss: Advss
) -> None:
    for label in ("cat", "ship"):
        for shade in range(6):
            Path("images", label).mkdir(parents=True, exist_ok=True)
            Image.new("L", (32, 32), 10 * shade + len(label)).save(Path("images", label, f"{shade}.png"))
    planned = advss("finetune", "--data", "images", "--device", "cpu", "--dry-run", *asked)
    assert planned.status == 0, planned.stderr
    (tmp_path / "recipe.yaml").write_text(planned.stdout)
    expected = recipe.load(tmp_path / "recipe.yaml").threat
    assert ((expected.norm, expected.eps) if expected else (None, None)) == threat


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["p1f5", "--to", "model.onnx"], 2, "p1f5"),
        (["nowhere/at/all", "--to", "model.onnx"], 1, "nowhere/at/all does not exist"),
        (["hf://nobody", "--to", "model.onnx"], 2, "hf://nobody"),
        (["selfie-p3", "--to", "model.onnx"], 2, "is a pretrained trunk"),
        (["p1f4", "--to", "model.pt"], 2, "must end in .onnx"),
        (["p1f4", "--to", "."], 2, "is a folder"),
        (["p1f4", "--to", "notes.onnx"], 2, "Choose another path"),
        (["p1f4"], 2, "--to"),
    ],
)
def test_what_cannot_be_exported_is_a_sentence(arguments: list[str], status: int, says: str, advss: Advss) -> None:
    Path("notes.onnx").write_text("my notes")
    found = advss("export", *arguments)
    assert (found.status, found.stdout) == (status, "")
    assert says in found.stderr
    assert "Unexpected" not in found.stderr
    assert Path("notes.onnx").read_text() == "my notes"
    assert not Path("model.onnx").exists()


def test_black_boxes_measure_an_onnx_file(tmp_path: Path, advss: Advss) -> None:
    for number in range(12):
        for label, colour in (("red", (255, 0, 0)), ("green", (0, 255, 0)), ("blue", (0, 0, 255))):
            Path("colours", label).mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8 + number, 20), colour).save(Path("colours", label, f"{number}.png"))
    onnx_files.write(tmp_path / "model.onnx")
    outcome = advss("eval", "model.onnx", "--attack", "clean", "--data", "./colours", "--whole", "--json")
    assert outcome.status == 0
    assert "onnxruntime computes on the CPU." in outcome.stderr
    document = outcome.json
    assert document["model"]["name"] == "colours.tiny.onnx"
    assert (document["results"][0]["ta"], document["data"]["n"]) == (1.0, 36)


def test_verdicts_on_kept_adversarial_images_are_pytorchs(advss: Advss) -> None:
    """What broke the checkpoint breaks its ONNX file, image by image."""
    kept = advss("eval", "p1f4.mini", "--attack", "pgd3", "--limit", "32", "--save-adv", "--json").json["results"][0]
    file = Path(kept["out"]) / "adversarial.safetensors"
    advss("export", "p1f4.mini", "--to", "model.onnx")
    outcome = advss("eval", "model.onnx", "--adversarial", str(file), "--limit", "32", "--json")
    assert outcome.status == 0, outcome.stderr
    (result,) = outcome.json["results"]
    assert result["constants"]["label"] == "saved pgd3 on p1f4.mini"
    then, now = (Verdicts.read(Path(each["out"]) / "verdicts.npz") for each in (kept, result))
    assert then.attacked_prediction is not None
    assert now.attacked_prediction is not None
    np.testing.assert_array_equal(now.clean_prediction, then.clean_prediction)
    np.testing.assert_array_equal(now.attacked_prediction, then.attacked_prediction)
    assert 0 < then.ra_hits < then.ta_hits  # type: ignore[operator]
    too_many = advss("eval", "model.onnx", "--adversarial", str(file), "--limit", "40")
    assert (too_many.status, "but not image 32" in too_many.stderr) == (2, True)
    refused = advss("eval", "model.onnx", "--adversarial", "model.onnx")
    assert (refused.status, "does not hold adversarial images" in refused.stderr) == (2, True)


def test_a_file_of_others_is_held_to_the_classes_of_the_data(tmp_path: Path, advss: Advss) -> None:
    onnx_files.write(tmp_path / "others.onnx", {}, shape=("n", 3, 32, 32), classes="k")
    outcome = advss("eval", "others.onnx", "--attack", "clean", "--limit", "8")
    assert outcome.status == 2
    assert "has 3 classes, but cifar10-1k has 10" in outcome.stderr


@pytest.mark.parametrize("attack", [[], ["--attack", "clean,pgd20"], ["--attack", "autoattack"], ["--attack", "fab-t"]])
def test_attacks_by_gradient_are_refused_before_any_work(attack: list[str], tmp_path: Path, advss: Advss) -> None:
    onnx_files.write(tmp_path / "model.onnx")
    status, stdout, stderr = advss("eval", "model.onnx", *attack)
    assert (status, stdout) == (2, "")
    error, hint = stderr.splitlines()[-2:]
    assert error.endswith("needs gradients, which colours.tiny.onnx does not have.")
    assert "--attack clean, square or corruptions" in hint
    assert not Path("runs").exists()


@pytest.mark.parametrize("content", [None, b"", b"text"])
def test_a_file_that_is_no_model_is_a_sentence(content: bytes | None, advss: Advss) -> None:
    if content is not None:
        Path("model.onnx").write_bytes(content)
    for arguments in (["eval", "model.onnx", "--attack", "clean"], ["predict", "model.onnx", "x.png"]):
        Image.new("RGB", (8, 8)).save("x.png")
        status, stdout, stderr = advss(*arguments)
        assert (status, stdout) == (1, "")
        assert "model.onnx" in stderr
        assert "Unexpected" not in stderr
