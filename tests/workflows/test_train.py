"""`advss_zoo.train` and the plan of it."""

from __future__ import annotations

from pathlib import Path

import pytest

import advss_zoo as az
from advss_zoo.errors import UsageError
from advss_zoo.training import timing
from advss_zoo.training.timing import Seconds
from advss_zoo.zoo import checkpoint, ensembles

RECIPE = """
name: tiny
tag: test
scenario: p1f3
architecture: {{depth: 18, width: 2, num_classes: 2}}
data: {data}
image_size: 16
objective: {{name: classification}}
adversary: [{{name: none}}]
epochs: 1
batch_size: 8
schedule: [{{peak: 0.1}}]
validation: {{images: 2, attack: {{name: pgd, steps: 1}}}}
precision: fp32
"""


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, photos: Path) -> Path:
    (tmp_path / "tiny.yaml").write_text(RECIPE.format(data=photos))
    return tmp_path / "tiny.yaml"


def test_a_recipe_becomes_a_checkpoint_and_two_an_ensemble(recipe: Path, tmp_path: Path) -> None:
    calls = []
    first = az.train(recipe, out="mine/one", progress=lambda *call: calls.append(call))
    assert (first.folder, first.checkpoint) == (Path("mine/one"), Path("mine/one/best-ta"))
    assert checkpoint.read_config(first.checkpoint).full_name == first.recipe.full_name == "tiny.test"
    label, unit, done, total, _ = calls[-1]
    assert (label, unit, done) == ("tiny.test", "steps", total)
    with pytest.raises(UsageError, match="already holds this run"):
        az.train(recipe, out="mine/one")
    assert az.train(recipe, out="mine/one", resume=True).checkpoint == first.checkpoint
    other = az.train(recipe, ["name=other", "seed=1"])
    assert other.folder == Path("runs/other.test")
    both = tmp_path / "both.yaml"
    both.write_text(
        f"name: both\ntag: test\nscenario: p1f3\nmembers: ['./{first.checkpoint}', './{other.checkpoint}']\n"
    )
    made = az.train(both)
    assert ensembles.read(made.checkpoint).full_name == "both.test"
    assert az.load_model(made.folder).classes == ("cat", "ship")


def test_a_plan_says_what_it_costs_and_trains_nothing(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "seconds_per_image", lambda work, part, device: Seconds(0.001, 0.001))
    planned = az.plan_training(recipe, ["epochs=3"], device="cpu")
    assert planned.estimate is not None
    assert planned.estimate.steps == 3 * 3
    assert planned.describe().startswith("9 steps of 8 images, 1 forward+backward passes per image; about 0 s")
    assert not Path("runs").exists()
    assert az.plan_training("ensemble-p3f4.mini").describe() == "An ensemble is not trained itself; train its members."
    with pytest.raises(UsageError, match="did you mean epochs"):
        az.plan_training(recipe, ["epoch=3"])
