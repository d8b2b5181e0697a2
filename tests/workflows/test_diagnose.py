"""`diagnose`: false robustness is found, and named."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from workflows import masked

import advss_zoo as az
from advss_zoo.errors import UsageError

QUICK = {"limit": 12, "steps": 5, "queries": 30, "eps": 0.02}


def symptoms(model: nn.Module) -> dict[str, str | None]:
    """Those that are found, with what to try next."""
    found = az.diagnose(model, masked.pictures(12), **QUICK)
    assert found.masked == any(symptom.found for symptom in found.symptoms)
    assert all(bool(symptom.try_next) == symptom.found for symptom in found.symptoms)
    return {symptom.name: symptom.try_next for symptom in found.symptoms if symptom.found}


def test_an_honest_model_has_no_symptoms():
    assert symptoms(masked.network()) == {}


@pytest.mark.parametrize(
    ("build", "names", "advice"),
    [
        (masked.Stochastic, {"random outputs"}, "--eot"),
        (masked.Rounded, {"zero gradients"}, "bpda"),
        (masked.Saturated, {"saturated outputs", "zero gradients", "loss that does not rise"}, "Return logits"),
    ],
)
def test_false_robustness_is_named(build, names, advice):
    found = symptoms(build())
    assert names <= found.keys()
    assert advice in " ".join(map(str, found.values()))


def test_one_that_autograd_cannot_follow():
    class Detached(masked.Stochastic):
        def forward(self, x):
            return self.network(x.detach())

    for parameter in (model := Detached()).parameters():
        parameter.requires_grad_(False)
    assert "zero gradients" in symptoms(model)


def test_a_step_that_overshoots_is_worse_than_one():
    """Its gradient points away from where the loss rises, except at the image itself."""

    class Turning(masked.Stochastic):
        def forward(self, x):
            clean = (x * 255 - (x * 255).round()).flatten(1).abs().amax(dim=1) < 1e-3
            turned = 2 * x.detach() - x
            return self.network(torch.where(clean.view(-1, 1, 1, 1), x, turned))

    found = symptoms(Turning())
    assert {"one step better than many", "loss that does not rise", "black box better than white box"} & found.keys()


def test_the_result_names_its_sample_and_gives_the_accuracies():
    found = az.diagnose(masked.network(), masked.pictures(12), **QUICK)
    assert (found.n, found.data.n, found.draws, found.data.name) == (12, 12, None, "made-up")
    assert set(found.accuracies) == {"clean", "one step", "pgd", "huge eps", "square"}
    assert found.accuracies["clean"] == 1.0
    assert az.diagnose(masked.Stochastic(), masked.pictures(12), **QUICK).draws == 8


@pytest.mark.parametrize(("settings", "says"), [({"norm": "l1"}, "norm l1"), ({"limit": 65}, "at most 64")])
def test_what_cannot_be_diagnosed(settings, says):
    with pytest.raises(UsageError, match=says):
        az.diagnose(masked.network(), masked.pictures(70), **settings)
