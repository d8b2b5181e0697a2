"""`advss_zoo.finetune` and the plan of it, from Python."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import advss_zoo as az
from advss_zoo.data.subset import load_subset
from advss_zoo.errors import AdvssError, DataError, UsageError
from advss_zoo.evaluation.images import as_images
from advss_zoo.models.backbones.resnetv2 import ResNetV2Architecture
from advss_zoo.objectives.rotation import Rotation
from advss_zoo.training import recipe as recipes
from advss_zoo.training import timing, trainer
from advss_zoo.training.timing import Seconds
from advss_zoo.workflows import evaluate
from advss_zoo.workflows.finetune import planning
from advss_zoo.workflows.finetune import run as finetuning
from advss_zoo.workflows.measure import measure
from advss_zoo.zoo import checkpoint

QUICK: dict[str, Any] = {
    "start": "trunk", "epochs": 1, "image_size": 16, "device": "cpu", "overrides": ["validation.attack.steps=1"],
}  # fmt: skip


@pytest.fixture(autouse=True)
def _trunk(photos: Path, tmp_path: Path) -> None:
    architecture = ResNetV2Architecture(depth=18, width=2)
    config = checkpoint.Config(
        name="tiny-p3", tag="test", kind="trunk", scenario="p3", architecture=architecture, objective=Rotation()
    )
    checkpoint.save(tmp_path / "trunk", Rotation().build(architecture).state_dict(), config)


def test_a_folder_becomes_a_model_a_card_and_a_page() -> None:
    said: list[str] = []
    told: list[tuple[Any, ...]] = []
    run = az.finetune(
        "photos", eps="4/255", say=said.append, progress=lambda *call: told.append(call), **QUICK
    )  # fmt: skip
    assert (run.name, run.folder) == ("photos-tiny-p3f4.test", Path("runs/photos-tiny-p3f4.test"))
    assert run.checkpoint == run.folder / "best-ra"
    assert (run.result.n, run.result.protocol.eps) == (4, 4 / 255)
    assert run.result.verdicts.standing.mean() == run.result.ra
    assert run.card.read_text().startswith("---")
    assert "</html>" in run.report.read_text()
    assert run.seconds > 0
    assert run.model.classes == ("cat", "ship")
    assert az.evaluate(run.model, "photos", "pgd20", eps=4 / 255).verdicts == run.result.verdicts
    assert "24 images of 2 classes in photos" in said
    assert list(dict.fromkeys(call[0] for call in told)) == [
        "Reading images", "photos-tiny-p3f4.test", "pgd20 (linf, eps 4/255)",
    ]  # fmt: skip


def test_a_run_is_resumed_with_its_original_options_alone() -> None:
    first = az.finetune("photos", out="mine", **QUICK)
    with pytest.raises(UsageError, match="mine already holds a run"):
        az.finetune("photos", out="mine", **QUICK)
    changed = r"--resume needs the original options; these changed: mode was f4, now f3"
    with pytest.raises(UsageError, match=changed):
        az.finetune("photos", out="mine", mode="f3", resume=True, **QUICK)
    again = az.finetune("photos", out="mine", resume=True, **QUICK)
    assert again.result == first.result


def test_a_measurement_that_fails_costs_no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any, **__: Any) -> az.Result:
        raise AdvssError("The gradient of the model's loss is exactly 0.", "Use --attack square.")

    with monkeypatch.context() as patch:
        patch.setattr(finetuning, "measure", fails)
        with pytest.raises(AdvssError, match=r"exactly 0\. The checkpoint is finished: (.*)\. Use --attack") as raised:
            az.finetune("photos", out="mine", **QUICK)
    found = re.search(r"finished: (.*)\. Use", str(raised.value))
    assert found
    before = az.load_model(found[1]).sha256
    assert before
    run = az.finetune("photos", out="mine", resume=True, **QUICK)
    assert run.checkpoint == Path(found[1])
    assert az.load_model(run.checkpoint).sha256 == before


def test_a_plan_has_estimates_and_trains_nothing() -> None:
    planned = az.plan_finetuning("photos", **QUICK)
    (recipe,), (estimate,) = planned.plan.recipes, planned.estimates
    assert (recipe.epochs, recipe.parent, planned.plan.test_images) == (1, "trunk", 4)
    assert estimate.steps == 5
    assert planned.describe()[0].startswith("photos-tiny-p3f4.test: F4 from trunk, 1 epochs of 5 steps, pgd, ")
    assert not Path("runs").exists()


def test_a_budget_holds_where_everything_is_slower_than_planned(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the clock a step of 4 images takes a second, and 7 ms in the plan; the evaluation likewise."""
    clock = SimpleNamespace(now=0.0)
    step = trainer.Trainer.train_step

    def slow_step(self: trainer.Trainer) -> torch.Tensor:
        clock.now += 1.0
        return step(self)

    def slow_measure(*what: Any, **options: Any) -> az.Result:
        clock.now += 15.0
        return measure(*what, **options)

    for module in (finetuning, planning, trainer):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: clock.now))
    monkeypatch.setattr(timing, "seconds_per_image", lambda work, part, device: Seconds(1e-3, 1e-3))
    monkeypatch.setattr(trainer.Trainer, "train_step", slow_step)
    monkeypatch.setattr(finetuning, "measure", slow_measure)
    said: list[str] = []
    options = QUICK | {"epochs": None, "overrides": [*QUICK["overrides"], "validation.patience=null"]}
    run = az.finetune("photos", budget="1m", out="mine", say=said.append, **options)
    assert 20 < run.seconds < 60
    (recipe,) = run.plan.recipes
    assert recipe.length < recipe.epochs
    assert any(f"shortened from {recipe.epochs} to" in line for line in said)
    assert f"training was shortened from {recipe.epochs} epochs" in run.card.read_text()
    assert recipes.load("mine/recipe.yaml") == recipe
    again = az.finetune("photos", budget="1m", out="mine", resume=True, **options)
    assert (again.result, again.plan) == (run.result, run.plan)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"epochs": 1, "budget": "10m"}, "--budget and --epochs cannot be combined"),
        ({"budget": "soon"}, "'soon' is not a positive time"),
        (
            {"start": "scratch", "mode": "f2"},
            "--mode f2 trains the head only, but the trunk of scratch has random weights",
        ),
        ({"objective": "trades", "mode": "f3"}, "TRADES needs an adversary"),
        ({"eps": 9}, "eps must be at most 1 in linf"),
        ({"mode": "f5", "start": "trunk"}, "mode: Input should be 'f1', 'f2', 'f3' or 'f4'"),
        ({"norm": "l1", "start": "trunk"}, "norm: Input should be 'linf' or 'l2'"),
    ],
)
def test_options_that_contradict_each_other(options: dict[str, Any], says: str) -> None:
    for function in (az.finetune, az.plan_finetuning):
        with pytest.raises(UsageError, match=says):
            function("photos", **options)
    assert not Path("runs").exists()


def test_groups_stay_on_one_side_and_are_evaluated_so() -> None:
    """Videos of four frames; with other options their frames would be tested on that were trained on."""
    for number, path in enumerate(sorted(Path("photos").rglob("*.png"))):
        path.rename(path.with_name(f"video{number % 12 // 2}_{number}.png"))
    pattern = "video([0-9]+)_"
    run = az.finetune("photos", group_by=pattern, **QUICK)
    assert run.plan.recipes[0].group_by == pattern
    assert run.data.summary.groups == 6
    with run.data.images_file.open() as table:
        rows = [(re.search(pattern, row["path"])[1], row["split"]) for row in csv.DictReader(table)]  # type: ignore[index]
    assert len(rows) == 24
    assert len(set(rows)) == 6, "a video has one split"
    again = az.evaluate(run.model, "photos", "clean", group_by=pattern)
    assert (again.n, again.ta) == (run.result.n, run.result.ta)
    said: list[str] = []
    ungrouped = az.evaluate(run.model, "photos", "clean", say=said.append)
    assert any(re.match(r"[0-9]+ of 4 images were left out: [0-9]+ trained this model", line) for line in said)
    assert 0 < ungrouped.n < again.n
    assert az.evaluate(run.model, "photos", "clean", whole=True).n == again.n, "the others it has seen"


def test_parts_that_a_person_names() -> None:
    for part in ("batch_1", "batch_2"):
        for name in ("cat", "ship"):
            Path("mine", part, name).mkdir(parents=True)
    for number, path in enumerate(sorted(Path("photos").rglob("*.png"))):
        path.rename(Path("mine", f"batch_{1 + (number % 4 == 0)}", path.parent.name, path.name))
    planned = az.plan_finetuning("mine", parts={"batch_1": "train", "batch_2": "test"}, **QUICK)
    assert planned.data.summary.parts == {"train": 16, "val": 2, "test": 6}
    assert planned.plan.recipes[0].parts == {"batch_1": "train", "batch_2": "test"}


class TestGrownFolder:
    """Images that come later change the division, but not what a model has seen."""

    def test_what_a_model_has_seen_is_left_out_of_its_evaluation(self, photos: Path) -> None:
        run = az.finetune("photos", **QUICK)
        saved = run.data.load("train").sha256
        said: list[str] = []
        az.evaluate(run.checkpoint, "photos", "clean", whole=True, say=said.append)
        assert "20 of 24 images were left out: 18 trained this model, 2 chose its epoch." in said
        _add(photos, 30)
        assert len(set(map(bytes, saved)) & set(map(bytes, az.load_data("photos", "test", image_size=16).sha256))) > 0
        said.clear()
        result = az.evaluate(run.checkpoint, "photos", "clean", whole=True, say=said.append)
        assert "20 of 54 images were left out: 18 trained this model, 2 chose its epoch." in said
        assert result.n == 34

    def test_what_its_parent_has_seen_is_left_out_of_its_result(self, photos: Path) -> None:
        first = az.finetune("photos", out="first", **QUICK)
        _add(photos, 30)
        said: list[str] = []
        second = az.finetune("photos", out="second", say=said.append, **QUICK | {"start": str(first.checkpoint)})
        (line,) = (line for line in said if "left out" in line)
        assert second.result.n == second.data.summary.parts["test"] - int(line.split()[0])
        again = az.evaluate(second.model, "photos", "pgd20")
        assert again.verdicts == second.result.verdicts

    def test_images_that_have_all_been_seen_are_refused(self, photos: Path) -> None:
        run = az.finetune("photos", **QUICK)
        for row in csv.DictReader(run.data.images_file.open()):
            if row["split"] == "test":
                Path(row["path"]).unlink()
        with pytest.raises(DataError, match=r"All 20 images of .* have been seen: 18 trained this model, 2 chose its"):
            az.evaluate(run.checkpoint, "photos", "clean", whole=True)


def test_values_of_12_bits_are_scaled_alike_ever_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADVSS_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    for number in range(24):
        path = tmp_path / "slides" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(number).integers(0, 4096, (16, 16)).astype(np.uint16)).save(path)
    run = az.finetune("slides", **QUICK)
    assert run.model.value_range == (0, 4095)
    dark = (np.asarray(Image.open(tmp_path / "slides/a/0.png")) // 16).astype(np.uint16)
    Image.fromarray(dark).save("dark.png")
    eight = (dark / 4095 * 255).round().astype(np.uint8)
    (found,) = az.predict(run.checkpoint, "dark.png", top=2)
    (expected,) = az.predict(run.checkpoint, Image.fromarray(eight), top=2)
    assert (found.labels, found.probabilities) == (expected.labels, expected.probabilities)
    Path("later/a").mkdir(parents=True)
    Image.fromarray(dark).save("later/a/1.png")
    images: list[np.ndarray] = []
    monkeypatch.setattr(evaluate, "as_images", lambda data: images.append(data.images) or as_images(data))
    az.evaluate(run.checkpoint, "later", "clean", whole=True)
    assert np.array_equal(images[0][0, 0], eight)


def _add(folder: Path, count: int) -> None:
    """Put more photographs into the class folders."""
    real = load_subset()
    for name in ("cat", "ship"):
        for number in np.flatnonzero(real.labels == real.classes.index(name))[12 : 12 + count // 2]:
            Image.fromarray(real.images[number].transpose(1, 2, 0)).save(folder / name / f"{number}.png")
