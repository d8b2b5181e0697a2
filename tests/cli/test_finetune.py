"""`advss finetune`: from a folder of images to a checkpoint with a card, and every way to be refused."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from data.folder.pictures import png_header
from PIL import Image

from advss_zoo.data.subset import load_subset
from advss_zoo.models.backbones.resnetv2 import ResNetV2, ResNetV2Architecture
from advss_zoo.objectives.rotation import Rotation
from advss_zoo.training import trainer
from advss_zoo.training.assembly import assemble
from advss_zoo.training.recipe import EnsembleRecipe, Recipe
from advss_zoo.zoo import checkpoint, ensembles

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
    architecture = ResNetV2Architecture(depth=18, width=2)
    config = checkpoint.Config(
        name=name, tag="test", kind="trunk", scenario="p3", architecture=architecture, objective=Rotation()
    )
    checkpoint.save(folder, Rotation().build(architecture).state_dict(), config)
    return folder


def made_classifier(folder: Path, name: str, seed: int) -> Path:
    torch.manual_seed(seed)
    architecture = ResNetV2Architecture(depth=18, width=2)
    config = checkpoint.Config(
        name=name, tag="test", scenario="p3f4", architecture=architecture, classes=tuple("abcdefghij")
    )
    checkpoint.save(folder, ResNetV2(architecture).state_dict(), config)
    return folder


def test_from_a_folder_to_a_checkpoint_with_a_card_and_a_page(images: Path, trunk: Path, advss: Advss) -> None:
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
    page = Path(document["report"])
    assert f"Report: {page}  Card: " in outcome.stderr
    assert page == Path("runs/images-tiny-p3f4.test/report.html")
    text, accuracy = page.read_text(), f"{100 * result['ta']:.2f}"
    named = f"{document['name']}: clean images"
    for part in ("Leaderboard", "Confusions", "Training", named, 'alt="clean image', accuracy):
        assert part in text, part
    # What it printed, `eval` prints again: the same images, the same verdicts.
    again = advss("eval", str(path), "--data", "images", "--json")
    assert again.status == 0, again.stderr
    assert again.json["data"]["content_sha256"] == result["data"]["content_sha256"]
    assert (again.json["results"][0]["ta"], again.json["results"][0]["ra"]) == (result["ta"], result["ra"])
    assert again.json["results"][0]["verdicts"] == result["verdicts"]
    whole = advss("eval", str(path), "--data", "images", "--whole", "--attack", "clean", "--json")
    assert whole.json["data"]["n"] == 4
    assert "20 of 24 images were left out: 18 trained this model, 2 chose its epoch." in whole.stderr


def test_what_came_out_goes_by_its_name(images: Path, trunk: Path, advss: Advss) -> None:
    """The run, its folder and its checkpoint are one model to every command."""
    done = advss("finetune", "--data", "images", "--from", "trunk", *QUICK, "--json").json
    name, run = "images-tiny-p3f4", Path("runs/images-tiny-p3f4.test")
    sha256 = checkpoint.read_config(run / "best-ra").sha256
    for said in ([name], [f"{name}.test"], [str(run)]):
        again = advss("eval", *said, "--data", "images", "--attack", "clean", "--json")
        assert again.status == 0, again.stderr
        assert again.json["model"] | {"name": ""} == done["results"][0]["model"] | {"name": ""}
        assert again.json["model"]["sha256"] == sha256
    assert again.json["model"]["name"] == f"{name}.test"
    picture = next(str(path) for path in images.rglob("*.png"))
    found = [advss("predict", said, picture, "--json").json for said in (name, str(run), str(run / "best-ra"))]
    assert [each["images"] for each in found] == [found[0]["images"]] * 3
    assert found[0]["model"]["temperature"] == checkpoint.read_config(run / "best-ra").temperature != 1
    exported = advss("export", name, "--to", "mine.onnx", "--json")
    assert exported.json["metadata"]["sha256"] == sha256
    assert exported.json["metadata"]["temperature"] == found[0]["model"]["temperature"]
    by_onnx = advss("predict", "mine.onnx", picture, "--json").json
    for one, other in zip(by_onnx["images"][0]["predictions"], found[0]["images"][0]["predictions"], strict=True):
        assert (one["label"], one["probability"]) == (other["label"], pytest.approx(other["probability"], abs=1e-5))
    published = advss("publish", name, "--to", "published", "--json")
    assert published.status == 0, published.stderr
    assert checkpoint.read_config(Path("published")) == checkpoint.read_config(run / "best-ra")
    assert "runs/" not in (Path("published") / "README.md").read_text(), "the place on this machine"
    further = advss("finetune", "--data", "images", "--from", name, *QUICK, "--dry-run", "--json")
    assert further.json["recipes"][0]["parent"] == f"{name}.test"


def test_a_run_with_the_name_of_a_checkpoint_of_the_zoo_has_to_be_named_by_its_folder(
    images: Path, trunk: Path, advss: Advss
) -> None:
    done = advss("finetune", "--data", "images", "--from", "trunk", *QUICK, "--out", "runs/p1f4.mini")
    assert "advss predict ./runs/p1f4.mini IMAGE" in done.stderr
    picture = next(str(path) for path in images.rglob("*.png"))
    zoos = advss("predict", "p1f4.mini", picture)
    assert "p1f4.mini is taken from the zoo; for the run or folder of that name write ./runs/p1f4.mini." in zoos.stderr
    assert "Model: p1f4.mini" in zoos.stderr
    assert "Model: images-tiny-p3f4.test" in advss("predict", "runs/p1f4.mini", picture).stderr


def test_an_interrupted_run_ends_like_an_unbroken_one(
    images: Path, trunk: Path, advss: Advss, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["finetune", "--data", "images", "--from", "trunk", *QUICK]
    assert advss(*command, "--out", "runs/one").status == 0
    real = trainer.Trainer.train_step

    def stop(self: trainer.Trainer) -> torch.Tensor:
        if self.state.step == 3:
            raise KeyboardInterrupt
        return real(self)

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "SAVE_EVERY", -1.0)
        patch.setattr(trainer.Trainer, "train_step", stop)
        broken = advss(*command, "--out", "runs/two")
    assert broken.status == 130
    assert "with --resume to continue" in broken.stderr
    refused = advss(*command, "--out", "runs/two")
    assert (refused.status, "Add --resume" in refused.stderr) == (2, True)
    other = advss(*command, "--out", "runs/two", "--resume", "--mode", "f2")
    assert (other.status, "mode was f4, now f2" in other.stderr) == (2, True)
    assert advss(*command, "--out", "runs/two", "--resume").status == 0
    one, two = (Path("runs", name, "best-ra") for name in ("one", "two"))
    assert (one / "model.safetensors").read_bytes() == (two / "model.safetensors").read_bytes()
    verdicts = [next(folder.glob("results/*/verdicts.npz")).read_bytes() for folder in (one, two)]
    assert verdicts[0] == verdicts[1]


def test_from_scratch(images: Path, advss: Advss) -> None:
    outcome = advss("finetune", "--data", "images", "--from", "scratch", *QUICK, "--json")
    assert outcome.status == 0, outcome.stderr
    assert "F4 from scratch, 1 epochs" in outcome.stderr
    assert outcome.json["name"] == "images-p1f4.mini"
    assert "A classifier of 2 classes, adversarially trained from scratch." in Path(outcome.json["card"]).read_text()


def test_training_that_collapsed_is_a_sentence(
    images: Path, trunk: Path, advss: Advss, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train_to_death(recipe: Recipe, folder: Path, **options: Any) -> Path:
        shipped = train(recipe, folder, **options)
        network, config = checkpoint.load(shipped)
        checkpoint.save(shipped, {key: torch.zeros_like(value) for key, value in network.state_dict().items()}, config)
        return shipped

    train = trainer.train
    monkeypatch.setattr(trainer, "train", train_to_death)
    status, stdout, stderr = advss("finetune", "--data", "images", "--from", "trunk", *QUICK)
    assert (status, stdout) == (1, "")
    assert "Training has collapsed: the logits of runs/images-tiny-p3f4.test/best-ra are the same" in stderr


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
    card = Path("both/ensemble/README.md").read_text()
    assert "An ensemble of 2 classifiers" in card
    assert sorted(path.name for path in Path("both/ensemble/members").iterdir()) == [
        "images-other-p3f3-f4.test",
        "images-tiny-p3f3-f4.test",
    ]


def test_an_ensembles_folder_becomes_another_that_every_command_takes(
    images: Path, tmp_path: Path, advss: Advss
) -> None:
    members = [
        made_classifier(tmp_path / name, name, seed) for seed, name in enumerate(("one-p3f4", "other-p3f4"), start=1)
    ]
    recipe = EnsembleRecipe(name="ensemble-p3f4", tag="test", scenario="p3f4", members=[str(each) for each in members])
    folder = assemble(recipe, tmp_path / "start")
    outcome = advss("finetune", "--data", "images", "--from", str(folder), *QUICK, "schedule=[{peak: 0.3}]", "--json")
    assert outcome.status == 0, outcome.stderr
    name = "images-ensemble-f4.test"
    assert (outcome.json["name"], outcome.json["path"]) == (name, f"runs/{name}/ensemble")
    made = Path(outcome.json["path"])
    config = ensembles.read(made)
    assert config.classes == ("cat", "ship")
    assert [member.name for member in config.members] == ["images-one-p3f4-f4.test", "images-other-p3f4-f4.test"]
    assert config.temperature != 1
    assert "An ensemble of 2 classifiers" in (made / "README.md").read_text()
    assert "Confusions" in Path(outcome.json["report"]).read_text()
    evaluated = advss("eval", name, "--data", "images", "--attack", "transfer,clean", "--json")
    assert evaluated.status == 0, evaluated.stderr
    assert evaluated.json["model"]["sha256"] == config.sha256
    picture = next(str(path) for path in images.rglob("*.png"))
    predicted = advss("predict", name, picture, "--json").json
    assert predicted["model"]["temperature"] == config.temperature
    assert advss("export", name, "--to", "ensemble.onnx").status == 0
    by_onnx = advss("predict", "ensemble.onnx", picture, "--json").json["images"][0]["predictions"]
    for one, two in zip(by_onnx, predicted["images"][0]["predictions"], strict=True):
        assert (one["label"], one["probability"]) == (two["label"], pytest.approx(two["probability"], abs=1e-5))
    assert advss("publish", name, "--to", "published").status == 0
    assert ensembles.read(Path("published")) == config
    further = advss("finetune", "--data", "images", "--from", name, *QUICK, "--dry-run", "--json")
    assert len(further.json["recipes"]) == 2


def test_a_run_teaches_the_next_one(images: Path, trunk: Path, advss: Advss) -> None:
    first = advss("finetune", "--data", "images", "--from", "trunk", *QUICK, "--json").json
    options = ["--from", "trunk", "--teacher", first["name"], "--objective", "rslad", "--out", "runs/pupil"]
    outcome = advss("finetune", "--data", "images", *options, *QUICK, "--json")
    assert outcome.status == 0, outcome.stderr
    made = checkpoint.read_config(Path(outcome.json["path"])).provenance
    assert made is not None
    assert made.teacher == first["name"]
    assert made.teacher_sha256 == checkpoint.read_config(Path(first["path"])).sha256
    assert f"It learned the soft labels of {first['name']}." in Path(outcome.json["card"]).read_text()


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
        (["--data", "nowhere"], "nowhere does not exist. Give a folder"),
        (["--data", "images/cat/empty.txt"], "is a file, not a folder of images"),
        (["--data", os.fsdecode(b"images\xff")], "is not valid UTF-8, so it cannot be stored in a recipe. Rename it."),
        (["--data", "images/cat"], "are not in class folders"),
        (["--data", "images", "--parts", "images"], "--parts has 'images', expected PART=FOLDER. PART is train, val"),
        (["--data", "images", "--parts", "pred=cat"], "--parts has 'pred=cat', expected PART=FOLDER."),
        (["--data", "images", "--parts", "train=dog"], "--parts names 'dog', which is not a folder in images"),
        (["--data", "images", "--group-by", "p("], "--group-by 'p(' is not a regular expression"),
        (["--data", "images", "--group-by", "camera"], "--group-by 'camera' matches no image, such as cat/"),
        (["--data", "images", "parts.x=train"], "`parts` is set by the option --parts"),
        (["--data", "images", "--budget", "soon"], "'soon' is not a positive time"),
        (["--data", "images", "--budget", "0m"], "'0m' is not a positive time"),
        (["--data", "images", "--budget", "10m", "--epochs", "3"], "--budget and --epochs cannot be combined"),
        (["--data", "images", "--eps", "9"], "eps must be at most 1 in linf"),
        (["--data", "images", "--objective", "trades", "--mode", "f3"], "needs an adversary"),
        (["--data", "images", "--objective", "rslad"], "rslad needs a teacher. Add --teacher MODEL."),
        (["--data", "images", "--teacher", "nothing"], "Unknown checkpoint 'nothing'"),
        (["--data", "images", "--teacher", "p1f4"], "has the classes airplane, automobile, bird and 7 more"),
        (["--data", "images", "--from", "nothing-p3"], "Unknown checkpoint 'nothing-p3'"),
        (["--data", "images", "--from", "scratch", "--mode", "f2"], "f2 trains the head only"),
        (["--data", "images", "--image-size", "4"], "--image-size"),
        (["--data", "images", "no.such=1"], "no: unknown key"),
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
        (lambda folder: shutil.rmtree(folder / "ship"), "has only one class, 'cat'"),
        (lambda folder: [shutil.rmtree(each) for each in folder.iterdir()], "contains no images"),
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


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_what_is_wrong_in_a_folder_is_named_and_the_rest_is_trained_on(images: Path, trunk: Path, advss: Advss) -> None:
    """Text and nothing for images, a giant, one picture under two labels, and a class of a single image."""
    (images / "cat" / "text.jpg").write_text("no image")
    (images / "ship" / "empty.png").touch()
    (images / "ship" / "giant.png").write_bytes(png_header(20_000, 20_000))
    for label in ("cat", "ship"):
        Image.new("RGB", (40, 30), "red").save(images / label / "both.png")
    (images / "lone").mkdir()
    Image.new("L", (40, 30), 90).save(images / "lone" / "one.png")
    outcome = advss("finetune", "--data", "images", "--from", "trunk", *QUICK, "--json")
    assert outcome.status == 0, outcome.stderr
    assert "cat/text.jpg (not a readable image)" in outcome.stderr
    skipped = outcome.json["data"]["skipped"]
    assert set(skipped) == {"cat/text.jpg", "ship/empty.png", "ship/giant.png"}
    assert "89,478,485" in skipped["ship/giant.png"]
    assert set(outcome.json["data"]["left_out"]) == {"cat/both.png", "ship/both.png"}
    assert "No test image of lone." in outcome.stderr
    assert outcome.json["data"]["classes"]["lone"] == {"train": 1, "val": 0, "test": 0}
    card = Path(outcome.json["card"]).read_text()
    assert "3 cannot be read and 2 more were left out" in card
    assert "| lone | 0 | - | - |" in card
    assert "class-weighted loss" in card


def test_a_full_disk_is_a_sentence(images: Path, trunk: Path, advss: Advss, monkeypatch: pytest.MonkeyPatch) -> None:
    from advss_zoo import files

    command, written = ["finetune", "--data", "images", "--from", "trunk", *QUICK], 0
    real = files.os.fsync

    def count(descriptor: int) -> None:
        nonlocal written
        written += 1
        if written == limit:
            raise OSError(28, "No space left on device")
        real(descriptor)

    limit = 0
    advss(*command, "--out", "first")  # the images and their sha256 are in the cache from here on
    with monkeypatch.context() as patch:
        patch.setattr(files.os, "fsync", count)
        whole = advss(*command, "--out", "whole", "--json").json["results"][0]
    for limit in (1, written // 2, written - 1):  # at the plan, in training, and when all is measured
        out, written = ["--out", f"runs/{limit}"], 0
        with monkeypatch.context() as patch:
            patch.setattr(files.os, "fsync", count)
            outcome = advss(*command, *out)
        assert (outcome.status, outcome.stdout) == (1, "")
        assert "No space left on device" in outcome.stderr
        assert "Free some space" in outcome.stderr
        again = advss(*command, *out, "--resume", "--json")
        assert again.status == 0, again.stderr
        assert again.json["results"][0]["verdicts"] == whole["verdicts"]


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
        assert "The model has no classes submarine, which are in" in stderr
        assert "Its classes: airplane, automobile" in stderr

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
        command = ["eval", "my_two_classes:build", "--data", "images", "--attack", "clean"]
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
    assert "plan.json" not in {path.name for path in Path("runs/own.test").iterdir()}
