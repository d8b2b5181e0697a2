"""`advss_zoo.finetune` and the plan of it, from Python."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import pytest

import advss_zoo as az
from advss_zoo.errors import UsageError
from advss_zoo.models.backbones.resnetv2 import ResNetV2Architecture
from advss_zoo.objectives.rotation import Rotation
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


def test_a_plan_has_estimates_and_trains_nothing() -> None:
    planned = az.plan_finetuning("photos", **QUICK)
    (recipe,), (estimate,) = planned.plan.recipes, planned.estimates
    assert (recipe.epochs, recipe.parent, planned.plan.test_images) == (1, "trunk", 4)
    assert estimate.steps == 5
    assert planned.describe()[0].startswith("photos-tiny-p3f4.test: F4 from trunk, 1 epochs of 5 steps, pgd, ")
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"epochs": 1, "budget": "10m"}, "--budget and --epochs cannot be combined"),
        ({"budget": "soon"}, "'soon' is not a positive time"),
        ({"start": "scratch", "mode": "f2"}, "--mode f2 trains the head only"),
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
    for settings in ({}, {"group_by": "video"}):
        with pytest.raises(
            UsageError, match=r"was trained on photos --group-by 'video\(\[0-9\]\+\)_': divided in another"
        ):
            az.evaluate(run.model, "photos", "clean", **settings)
    assert az.evaluate(run.model, "photos", "clean", whole=True).n == 24


def test_parts_that_a_person_names() -> None:
    for part in ("batch_1", "batch_2"):
        for name in ("cat", "ship"):
            Path("mine", part, name).mkdir(parents=True)
    for number, path in enumerate(sorted(Path("photos").rglob("*.png"))):
        path.rename(Path("mine", f"batch_{1 + (number % 4 == 0)}", path.parent.name, path.name))
    planned = az.plan_finetuning("mine", parts={"batch_1": "train", "batch_2": "test"}, **QUICK)
    assert planned.data.summary.parts == {"train": 16, "val": 2, "test": 6}
    assert planned.plan.recipes[0].parts == {"batch_1": "train", "batch_2": "test"}
