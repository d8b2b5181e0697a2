"""`advss_zoo.finetune` and the plan of it, from Python."""

from __future__ import annotations

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
