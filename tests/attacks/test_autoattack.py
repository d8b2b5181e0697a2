"""The adapter to the authors' attacks: the same results as theirs, and none of what theirs do to the process."""

from __future__ import annotations

import importlib
import sys
import warnings
from importlib.util import find_spec

import pytest
import torch
from torch import nn

from advss_zoo.attacks import autoattack
from advss_zoo.errors import AdvssError

ATTACKS = sorted(autoattack.FEWEST_CLASSES)
EPS = {"linf": 0.2, "l2": 4.0, "l1": 60.0}  # large: the tests let Square ask ten times only


def network(classes=10, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 8, 8, 8), nn.ReLU(), nn.Flatten(), nn.Linear(32, classes)).eval()


def batch(model, n=8):
    x = torch.rand(n, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    return x, model(x).argmax(dim=1)


def run(name, model, x, y, *, norm="linf", eps=None, seed=3, classes=10):
    constants = autoattack.constants(name, norm, classes, iterations=4, queries=10)
    return autoattack.run(name, model, x, y, norm=norm, eps=eps or EPS[norm], seed=seed, constants=constants)


def theirs(module, name, *arguments, **constants):
    package = next(package for package in autoattack.PACKAGES if find_spec(package))
    return getattr(importlib.import_module(f"{package}.{module}"), name)(*arguments, **constants)


# Constants.


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        (2, ("apgd-ce", "fab-t", "square")),
        (3, ("apgd-ce", "apgd-dlr", "fab-t", "square")),
        (4, ("apgd-ce", "apgd-t", "fab-t", "square")),
        (10, ("apgd-ce", "apgd-t", "fab-t", "square")),
        (1000, ("apgd-ce", "apgd-t", "fab-t", "square")),
    ],
)
def test_what_runs_on_how_many_classes(classes, expected):
    assert autoattack.suite(classes) == expected
    assert all(autoattack.FEWEST_CLASSES[name] <= classes for name in expected)


@pytest.mark.parametrize(("classes", "targets", "starts"), [(2, 1, 5), (3, 2, 1), (7, 6, 1), (10, 9, 1), (100, 9, 1)])
def test_no_more_targets_than_other_classes_and_more_starts_where_an_attack_is_missing(classes, targets, starts):
    assert autoattack.constants("fab-t", "linf", classes, 100, 5000)["n_target_classes"] == targets
    assert autoattack.constants("apgd-t", "linf", classes, 100, 5000)["n_target_classes"] == targets
    assert autoattack.constants("apgd-ce", "linf", classes, 100, 5000)["n_restarts"] == starts


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_constants_are_those_of_the_authors_standard_version(norm):
    """Ours beside what their own AutoAttack sets when it is asked for that version."""
    standard = theirs("autoattack", "AutoAttack", network(), norm=autoattack.NORMS[norm], eps=EPS[norm])
    assert tuple(standard.attacks_to_run) == autoattack.STANDARD
    attacks = {
        "apgd-ce": standard.apgd,
        "apgd-t": standard.apgd_targeted,
        "fab-t": standard.fab,
        "square": standard.square,
    }
    renamed = {"rho": "thr_decr", "resc_schedule": "rescale_schedule"}
    for name, attack in attacks.items():
        ours = autoattack.constants(name, norm, 10, 100, 5000)
        ours.pop("targeted", None)  # theirs is set when the attack begins
        assert ours == {key: getattr(attack, renamed.get(key, key)) for key in ours}


# Running.


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
@pytest.mark.parametrize("name", ["apgd-ce", "fab-t", "square"])
def test_the_result_is_the_authors(name, norm):
    model = network().requires_grad_(False)
    x, y = batch(model)
    shared = {"norm": autoattack.NORMS[norm], "eps": EPS[norm], "seed": 3}
    if name == "apgd-ce":
        l1 = {"n_restarts": 5, "use_largereps": True} if norm == "l1" else {}
        attack = theirs("autopgd_base", "APGDAttack", model, n_iter=4, **shared, **l1)
    elif name == "fab-t":
        attack = theirs("fab_pt", "FABAttack_PT", model, n_iter=4, targeted=True, **shared)
    else:
        attack = theirs("square", "SquareAttack", model, n_queries=10, resc_schedule=False, **shared)
    expected = attack.perturb(x, y)
    assert not torch.equal(expected, x)
    assert torch.equal(run(name, model, x, y, norm=norm), expected.detach().clamp(0, 1))


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
@pytest.mark.parametrize("name", ATTACKS)
def test_images_come_back_in_the_box_broken_or_as_they_were(name, norm):
    model = network().requires_grad_(False)
    x, y = batch(model)
    found = run(name, model, x, y, norm=norm)
    assert not found.requires_grad
    assert 0 <= found.min() <= found.max() <= 1
    claimed = (found != x).flatten(1).any(dim=1)
    assert ((model(found).argmax(dim=1) != y) == claimed).all()
    assert claimed.any()


@pytest.mark.parametrize("name", ATTACKS)
def test_random_numbers_follow_the_seed_and_leave_those_of_the_process_alone(name):
    model = network().requires_grad_(False)
    x, y = batch(model)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, again = run(name, model, x, y), run(name, model, x, y)
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(first, again)
    if name != "fab-t":  # starts at the image itself
        assert not torch.equal(first, run(name, model, x, y, seed=4))


@pytest.mark.parametrize("name", ATTACKS)
def test_weights_in_channels_last_order(name):
    """Gradients then are, too, and the attacks call `view` on them."""
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(128, 10)
    model = nn.Sequential(*layers).eval().requires_grad_(False)
    x, y = batch(model)
    expected = run(name, model, x, y, norm="l2", eps=2.0)
    model = model.to(memory_format=torch.channels_last)
    z = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(model(z).sum(), z)
    assert not gradient.is_contiguous(), "or this test tests nothing"
    found = run(name, model, x, y, norm="l2", eps=2.0)
    assert found.is_contiguous()
    assert (model(found).argmax(dim=1) != y).sum() == (model(expected).argmax(dim=1) != y).sum()


@pytest.mark.parametrize("name", ATTACKS)
def test_logits_in_half_precision(name):
    model = network().requires_grad_(False)

    class Half(nn.Module):
        def forward(self, x):
            return model(x).bfloat16()

    x, y = batch(Half())
    assert run(name, Half(), x, y).dtype == torch.float32


def test_nothing_is_said_of_zero_gradients_and_no_tracer_is_taken_off():
    class Flat(nn.Module):
        def forward(self, x):
            return (x.flatten(1)[:, :5] * 0).round() + torch.arange(5)

    def tracer(*_):
        return None

    x, y = batch(Flat())
    before = sys.gettrace()
    sys.settrace(tracer)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for name in ATTACKS:
                assert torch.equal(run(name, Flat(), x, y, classes=5), x)
        assert sys.gettrace() is tracer
    finally:
        sys.settrace(before)


# The package.


def test_the_version_is_named():
    name, version = autoattack.implementation().split()
    assert name in autoattack.PACKAGES
    assert version[0].isdigit()


def test_a_package_that_is_missing_is_a_sentence(monkeypatch):
    monkeypatch.setattr(autoattack, "PACKAGES", ("no_such_package",))
    with pytest.raises(AdvssError, match="pip install pyautoattack"):
        autoattack.implementation()
