"""`advss train`: recipes are checked whole, and an interrupted run says how to go on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from advss_zoo.training import recipe, timing, trainer
from advss_zoo.training.timing import Seconds

Advss = Callable[..., Any]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is timed."""
    monkeypatch.setattr(timing, "seconds_per_image", lambda work, part, device: Seconds(0.001, 0.001))


@pytest.mark.parametrize("name", recipe.names())
def test_every_shipped_recipe_can_be_read(name: str, advss: Advss, quick: None) -> None:
    status, stdout, stderr = advss("train", name, "--dry-run")
    assert status == 0
    resolved = yaml.safe_load(stdout)
    assert f"{resolved['name']}.{resolved['tag']}" == name
    assert ("is not trained itself" if "members" in resolved else "passes per image; about") in stderr


def test_a_dry_run_counts_steps_and_passes_and_estimates_the_time(advss: Advss, quick: None) -> None:
    document = advss("train", "p1f4.mini", "epochs=1", "architecture.width=4", "--dry-run", "--json").json
    assert (document["epochs"], document["architecture"]["width"]) == (1, 4)
    assert document["cost"]["steps"] == 352
    # 30% of N-FGSM (2 passes), 70% of PGD-2 (3 passes); one validation of 1,000 images every fourth epoch.
    assert document["cost"]["passes_per_image"] == pytest.approx(2.7)
    assert document["cost"]["seconds"] == pytest.approx((45_000 * 2.7 + 11_000 / 4) * 0.001)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["p1f4.mni"], "p1f4.mni"),
        (["p1f4.mini", "epochs=many"], "epochs"),
        (["p1f4.mini", "epochs"], "epochs"),
        (["p1f4.mini", "no.such.key=1"], "no"),
    ],
)
def test_a_wrong_recipe_is_a_sentence(arguments: list[str], says: str, advss: Advss) -> None:
    status, stdout, stderr = advss("train", *arguments)
    assert (status, stdout) == (2, "")
    assert says in stderr
    assert not Path("runs").exists()


def test_a_run_prints_its_checkpoint(advss: Advss, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def train(recipe: Any, out: Path, *, progress: Callable[[int, int, str], None], **options: Any) -> Path:
        seen.update(out=out, **options)
        progress(0, 2, "")
        progress(1, 2, "TA 70.1")
        return out / str(recipe.deployed)

    monkeypatch.setattr(trainer, "train", train)
    status, stdout, stderr = advss("train", "p1f4.mini", "--resume", "--device", "cpu")
    assert status == 0
    assert stdout == f"{Path('runs/p1f4.mini/average')}\n"
    assert "1/2 steps" in stderr
    assert "TA 70.1" in stderr
    assert seen == {"out": Path("runs/p1f4.mini"), "resume": True, "device": "cpu"}
    stdout = advss("train", "p1f4.mini", "--out", "mine", "--device", "cpu", "--json").stdout
    assert json.loads(stdout) == {"name": "p1f4.mini", "path": str(Path("mine/average")), "run": "mine"}


def test_an_interrupted_run_says_how_to_go_on(advss: Advss, monkeypatch: pytest.MonkeyPatch) -> None:
    def train(*_: Any, **__: Any) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(trainer, "train", train)
    status, stdout, stderr = advss("train", "p1f4.mini")
    assert (status, stdout) == (130, "")
    assert "--resume" in stderr
