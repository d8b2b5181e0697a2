"""`advss finetune`: from a folder of images to a checkpoint with a card, and every way to be refused."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from advss_zoo.data.subset import load_subset
from advss_zoo.models.architecture import Architecture
from advss_zoo.objectives.rotation import Rotation
from advss_zoo.training import finetune, trainer
from advss_zoo.zoo import checkpoint

Advss = Callable[..., Any]

QUICK = ["--epochs", "1", "--device", "cpu", "--image-size", "16", "validation.attack.steps=1"]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Real images: 12 cats and 12 ships of CIFAR-10's test split."""
    real = load_subset()
    for name in ("cat", "ship"):
        for number in np.flatnonzero(real.labels == real.classes.index(name))[:12]:
            path = tmp_path / "images" / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(real.images[number].transpose(1, 2, 0)).save(path)
    return tmp_path / "images"


@pytest.fixture
def trunk(tmp_path: Path) -> Path:
    return made_trunk(tmp_path / "trunk", "tiny-p3")


def made_trunk(folder: Path, name: str) -> Path:
    torch.manual_seed(0)
    architecture = Architecture(depth=18, width=2)
    config = checkpoint.Config(
        name=name, tag="test", kind="trunk", scenario="p3", architecture=architecture, objective=Rotation()
    )
    checkpoint.save(folder, Rotation().build(architecture).state_dict(), config)
    return folder


def test_from_a_folder_to_a_checkpoint_with_a_card(images: Path, trunk: Path, advss: Advss) -> None:
    outcome = advss("finetune", "--data", "images", "--from", "trunk", *QUICK, "--json")
    assert outcome.status == 0, outcome.stderr
    document = outcome.json
    assert document["name"] == "images-tiny-p3f4.test"
    (result,) = document["results"]
    assert result["n"] == 4
    assert 0 <= result["ra"] <= result["ta"] <= 1
    assert document["data"]["parts"] == {"train": 18, "val": 2, "test": 4}
    path = Path(document["path"])
    assert path == Path("runs/images-tiny-p3f4.test/best-ra")
    config = checkpoint.read_config(path)
    assert (config.classes, config.image_size, config.architecture.num_classes) == (("cat", "ship"), 16, 2)
    assert config.provenance is not None
    assert config.provenance.data == document["data"]["name"], "the content, not the place on this machine"
    assert {"README.md", "curves.png", "results"} <= {each.name for each in path.iterdir()}
    card = (path / "README.md").read_text()
    for part in ("| cat |", "Confusion", "16x16", "8/255", "18 images were trained on"):
        assert part in card
    # What it printed, `eval` prints again: the same images, the same verdicts.
    again = advss("eval", "--model", str(path), "--data", "images", "--json")
    assert again.status == 0, again.stderr
    assert again.json["data"]["content_sha256"] == result["data"]["content_sha256"]
    assert (again.json["results"][0]["ta"], again.json["results"][0]["ra"]) == (result["ta"], result["ra"])
    assert again.json["results"][0]["verdicts"] == result["verdicts"]
    whole = advss("eval", "--model", str(path), "--data", "images", "--whole", "--attack", "clean", "--json")
    assert whole.json["data"]["n"] == 24


def test_an_interrupted_run_ends_like_an_unbroken_one(
    images: Path, trunk: Path, advss: Advss, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["finetune", "--data", "images", "--from", "trunk", *QUICK]
    assert advss(*command, "--out", "runs/one").status == 0
    real = trainer.Trainer._train_step

    def stop(self: trainer.Trainer) -> torch.Tensor:
        if self.step == 3:
            raise KeyboardInterrupt
        return real(self)

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "SAVE_EVERY", -1.0)
        patch.setattr(trainer.Trainer, "_train_step", stop)
        broken = advss(*command, "--out", "runs/two")
    assert broken.status == 130
    assert "with --resume to go on" in broken.stderr
    refused = advss(*command, "--out", "runs/two")
    assert (refused.status, "Add --resume" in refused.stderr) == (2, True)
    other = advss(*command, "--out", "runs/two", "--resume", "--mode", "f2")
    assert (other.status, "mode was f4, now f2" in other.stderr) == (2, True)
    assert advss(*command, "--out", "runs/two", "--resume").status == 0
    one, two = (Path("runs", name, "best-ra") for name in ("one", "two"))
    assert (one / "model.safetensors").read_bytes() == (two / "model.safetensors").read_bytes()
    verdicts = [next(folder.glob("results/*/verdicts.npz")).read_bytes() for folder in (one, two)]
    assert verdicts[0] == verdicts[1]


def test_an_ensemble_stays_one(images: Path, trunk: Path, tmp_path: Path, advss: Advss) -> None:
    made_trunk(tmp_path / "other", "other-p3")
    for name in ("trunk", "other"):
        done = advss("finetune", "--data", "images", "--from", name, *QUICK, "--mode", "f3", "--out", f"runs/{name}")
        assert done.status == 0, done.stderr
    outcome = advss(
        *("finetune", "--data", "images", "--from", "runs/trunk/best-ta+runs/other/best-ta"), *QUICK, "--out", "both"
    )
    assert outcome.status == 0, outcome.stderr
    assert "images-ensemble-f4.test" in outcome.stdout
    again = advss("eval", "--model", "both/ensemble", "--data", "images", "--attack", "clean", "--json")
    assert again.status == 0
    card = Path("both/ensemble/README.md").read_text()
    assert "An ensemble of 2 classifiers" in card
    assert sorted(path.name for path in Path("both/ensemble/members").iterdir()) == [
        "images-images-other-p3f3-f4.test",
        "images-images-tiny-p3f3-f4.test",
    ]


def test_a_dry_run_looks_and_plans_and_trains_nothing(images: Path, trunk: Path, advss: Advss) -> None:
    outcome = advss("finetune", "--data", "images", "--from", "trunk", *QUICK, "--mode", "f3", "--dry-run")
    assert outcome.status == 0
    assert "24 images of 2 classes" in outcome.stderr
    assert "F3 from" in outcome.stderr
    assert "scenario: p3f3" in outcome.stdout
    assert not Path("runs").exists()
    outcome = advss("finetune", "--data", "images", "--from", "trunk", *QUICK, "--dry-run", "--json")
    assert outcome.json["recipes"][0]["scenario"] == "p3f4"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--data", "nowhere"], "There is no nowhere. Give a folder"),
        (["--data", "images/cat/empty.txt"], "is a file, not a folder of images"),
        (["--data", "images/cat"], "lie in no class folders"),
        (["--data", "images", "--budget", "soon"], "'soon' is not a time"),
        (["--data", "images", "--budget", "0m"], "'0m' is not a time"),
        (["--data", "images", "--budget", "10m", "--epochs", "3"], "both say how long"),
        (["--data", "images", "--eps", "9"], "more than all of a pixel's range"),
        (["--data", "images", "--objective", "trades", "--mode", "f3"], "needs an adversary"),
        (["--data", "images", "--from", "nothing-p3"], "neither a checkpoint of the zoo nor a run"),
        (["--data", "images", "--image-size", "4"], "--image-size"),
        (["--data", "images", "no.such=1"], "no: there is no such key"),
        ([], "--data"),
    ],
)
def test_what_is_wrong_is_a_sentence(arguments: list[str], says: str, images: Path, advss: Advss) -> None:
    (images / "cat" / "empty.txt").touch()
    status, stdout, stderr = advss("finetune", *arguments, "--device", "cpu")
    assert (status, stdout) in ((1, ""), (2, ""))
    assert says in " ".join(stderr.split())
    assert "Unexpected" not in stderr
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda folder: shutil.rmtree(folder / "ship"), "holds one class only, 'cat'"),
        (lambda folder: [shutil.rmtree(each) for each in folder.iterdir()], "There are no images"),
        (lambda folder: [path.write_bytes(b"") for path in folder.rglob("*.png")], "None of the 24 images"),
        (lambda folder: (folder.rename(folder.parent / "test") and (folder.parent / "images").mkdir())
            or (folder.parent / "test").rename(folder / "test"), "All images in images are test images"),
    ],
)  # fmt: skip
def test_images_that_will_not_do_are_a_sentence(
    spoil: Callable[[Path], Any], says: str, images: Path, trunk: Path, advss: Advss
) -> None:
    spoil(images)
    status, stdout, stderr = advss("finetune", "--data", "images", "--from", "trunk", *QUICK)
    assert (status, stdout) == (1, "")
    assert says in stderr
    assert not Path("runs").exists()


def test_broken_files_are_named_and_the_rest_is_trained_on(images: Path, trunk: Path, advss: Advss) -> None:
    (images / "cat" / "text.jpg").write_text("no image")
    (images / "ship" / "empty.png").touch()
    outcome = advss("finetune", "--data", "images", "--from", "trunk", *QUICK, "--json")
    assert outcome.status == 0
    assert "cat/text.jpg (not an image that can be read)" in outcome.stderr
    assert outcome.json["data"]["skipped"] == {
        "cat/text.jpg": "not an image that can be read",
        "ship/empty.png": "0 bytes",
    }
    assert "2 cannot be read" in Path(outcome.json["card"]).read_text()


def test_a_full_disk_is_a_sentence(images: Path, trunk: Path, advss: Advss, monkeypatch: pytest.MonkeyPatch) -> None:
    from advss_zoo import files

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "fsync", full)
        outcome = advss("finetune", "--data", "images", "--from", "trunk", *QUICK)
    assert (outcome.status, outcome.stdout) == (1, "")
    assert "No space left on device" in outcome.stderr
    assert "Free some space" in outcome.stderr
    assert advss("finetune", "--data", "images", "--from", "trunk", *QUICK, "--resume").status == 0


def test_a_table_of_images(images: Path, trunk: Path, tmp_path: Path, advss: Advss) -> None:
    with (tmp_path / "labels.csv").open("w", newline="") as file:
        rows = [(str(path.relative_to(tmp_path)), path.parent.name) for path in sorted(images.rglob("*.png"))]
        csv.writer(file).writerows([("path", "label"), *rows])
    outcome = advss("finetune", "--data", "labels.csv", "--from", "trunk", *QUICK, "--mode", "f1", "--json")
    assert outcome.status == 0, outcome.stderr
    assert outcome.json["name"] == "labels-tiny-p3f1.test"


class TestEval:
    """`advss eval --data DIR`, for models that were not made of it."""

    def test_classes_are_matched_by_name(self, images: Path, advss: Advss) -> None:
        outcome = advss("eval", "p1f4", "--data", "images", "--whole", "--attack", "clean", "--json")
        assert outcome.status == 0, outcome.stderr
        document = outcome.json
        assert document["data"]["n"] == 24
        real = load_subset()
        rows = [row for name in ("cat", "ship") for row in np.flatnonzero(real.labels == real.classes.index(name))[:12]]
        from advss_zoo import evaluate, load_model

        chosen = real.take(rows)
        expected = evaluate(load_model("p1f4"), (chosen.images, chosen.labels), "clean")
        assert document["results"][0]["ta"] == expected.ta

    def test_classes_that_the_model_does_not_know(self, images: Path, advss: Advss) -> None:
        (images / "ship").rename(images / "submarine")
        status, stdout, stderr = advss("eval", "p1f4", "--data", "images", "--attack", "clean")
        assert (status, stdout) == (2, "")
        assert "the model does not know submarine.\nIt knows: airplane, automobile" in stderr

    def test_a_limit_beyond_what_there_is(self, images: Path, advss: Advss) -> None:
        status, _, stderr = advss("eval", "p1f4", "--data", "images", "--limit", "100")
        assert (status, "has 4 test images" in stderr) == (2, True)

    def test_a_model_of_ones_own_needs_a_size(
        self, images: Path, tmp_path: Path, advss: Advss, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "my_two_classes.py").write_text(
            "import torch\ndef build():\n    torch.manual_seed(0)\n"
            "    pool = torch.nn.AdaptiveAvgPool2d(1)\n"
            "    return torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3), pool, torch.nn.Flatten())\n"
        )
        monkeypatch.syspath_prepend(tmp_path)
        command = ["eval", "--model", "my_two_classes:build", "--data", "images", "--attack", "clean"]
        status, _, stderr = advss(*command)
        assert (status, "Add --image-size N" in stderr) == (2, True)
        status, _, stderr = advss(*command, "--image-size", "24")
        assert status == 0
        assert "in this order: cat, ship" in stderr


def test_a_recipe_may_name_a_folder(images: Path, tmp_path: Path, advss: Advss) -> None:
    recipe = {
        "name": "own", "tag": "test", "scenario": "p1f3", "architecture": {"depth": 18, "width": 2, "num_classes": 2},
        "data": "images", "image_size": 16, "objective": {"name": "classification"}, "adversary": [{"name": "none"}],
        "epochs": 1, "batch_size": 8, "schedule": [{"peak": 0.1}],
        "validation": {"attack": {"name": "pgd", "steps": 1}},
    }  # fmt: skip
    (tmp_path / "own.yaml").write_text(json.dumps(recipe))
    outcome = advss("train", "own.yaml", "--device", "cpu")
    assert outcome.status == 0, outcome.stderr
    assert checkpoint.read_config(Path("runs/own.test/last")).classes == ("cat", "ship")
    planned = advss("train", "own.yaml", "--device", "cpu", "--dry-run", "--json").json
    assert planned["cost"]["steps"] == 3  # about 17 images
    wrong = advss("train", "own.yaml", "--device", "cpu", "architecture.num_classes=3", "--out", "elsewhere")
    assert (wrong.status, "has 2 classes, but the network has 3 outputs" in wrong.stderr) == (2, True)
    assert finetune.PLAN not in {path.name for path in Path("runs/own.test").iterdir()}
