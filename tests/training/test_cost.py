"""The cost of a recipe is counted, not guessed; only the seconds are an estimate."""

from __future__ import annotations

import pytest
import torch

from advss_zoo.objectives import joint
from advss_zoo.training import cost, recipe


@pytest.mark.parametrize(
    ("name", "options", "passes"),
    [
        ("p1f3.mini", [], 1),
        ("p1f4.mini", [], 0.3 * 2 + 0.7 * 3),
        ("p1f4.r50", ["profile=paper"], 11),
        ("rotation-p3.r50", ["profile=paper"], 12),  # 10 of the attack, one clean and one attacked
        ("rotation-rs.r50", [], 1),
        ("p1f4.mini", ["objective.name=trades"], 1 + 0.3 * 2 + 0.7 * 3),
    ],
)
def test_passes_an_image(monkeypatch, name, options, passes):
    monkeypatch.setattr(cost, "_seconds_per_image", lambda *net: 1.0)
    assert cost.estimate(recipe.load(name, options)).passes_per_image == pytest.approx(passes)


def test_images_that_are_trained_on():
    assert cost.training_images("cifar10") == 45_000
    assert cost.training_images("edm-30k") == 30_000
    assert cost.training_images("cifar10-5k") == 5_000


def test_the_time_grows_with_the_epochs(monkeypatch):
    made = recipe.load("p1f4.mini", ["architecture.width=2"])
    seconds = cost._seconds_per_image(made.objective, made.architecture, "bf16", torch.device("cpu"))
    assert 0 < seconds < 1
    monkeypatch.setattr(cost, "_seconds_per_image", lambda *net: seconds)
    twice = made.model_copy(update={"epochs": 2 * made.epochs})
    assert cost.estimate(twice).seconds == pytest.approx(2 * cost.estimate(made).seconds)


@pytest.mark.parametrize(("name", "taken"), [("apse-p3.mini", False), ("apdpe-p3.mini", True)])
def test_second_order_gradients_are_in_the_time_of_a_pass(monkeypatch, name, taken):
    seen, diversity = [], joint.diversity
    monkeypatch.setattr(joint, "diversity", lambda gradients: seen.append(gradients) or diversity(gradients))
    monkeypatch.setattr(cost, "REPEATS", 2)
    assert cost.seconds_per_image(recipe.load(name, ["architecture.width=2", "precision=fp32"])) > 0
    assert bool(seen) == taken
    assert all(gradient.requires_grad for gradients in seen for gradient in gradients)
