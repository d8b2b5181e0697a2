"""The same attack from another library: pgd20 and torchattacks' PGD break the same share of images."""

from __future__ import annotations

import importlib

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn.functional import cross_entropy

from advss_zoo.attacks import autoattack_driver as driver
from advss_zoo.attacks.ascent import input_gradient
from advss_zoo.data.load import load_data
from advss_zoo.evaluation.protocols import parse
from advss_zoo.evaluation.runner import evaluate
from advss_zoo.evaluation.verdicts import Verdicts
from advss_zoo.models.modes import frozen
from advss_zoo.seeds import derived_seed

pytestmark = pytest.mark.peers

EPS, STEP = 8 / 255, 2 / 255


@pytest.fixture(scope="module")
def images():
    return load_data("cifar10-1k", "test").first(500)


@pytest.fixture(scope="module")
def robust(images):
    """A small network trained on these very images against one-step attacks: neither all nor none survive pgd20."""
    torch.manual_seed(0)
    model = nn.Sequential(
        *(nn.Conv2d(3, 32, 4, 2, 1), nn.ReLU(), nn.Conv2d(32, 64, 4, 2, 1), nn.ReLU(), nn.Flatten()),
        *(nn.Linear(64 * 8 * 8, 128), nn.ReLU(), nn.Linear(128, 10)),
    )
    x, y = torch.from_numpy(images.images).float() / 255, torch.from_numpy(images.labels)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    for _ in range(20):
        for rows in torch.randperm(len(x)).split(100):
            start = x[rows] + torch.empty_like(x[rows]).uniform_(-EPS, EPS)
            g = input_gradient(lambda z, rows=rows: cross_entropy(model(z), y[rows]), start)
            z = (start + 1.25 * EPS * g.sign()).clamp(x[rows] - EPS, x[rows] + EPS).clamp(0, 1)
            optimizer.zero_grad()
            cross_entropy(model(z), y[rows]).backward()
            optimizer.step()
    return model.eval()


@pytest.mark.parametrize(("norm", "reference"), [("linf", "PGD"), ("l2", "PGDL2")])
def test_robust_accuracies_agree(norm, reference, robust, images, tmp_path):
    result = evaluate(robust, images, parse("pgd20", norm=norm), out=tmp_path)
    eps, step = (EPS, STEP) if norm == "linf" else (0.5, 2.5 * 0.5 / 20)
    x, y = torch.from_numpy(images.images).float() / 255, torch.from_numpy(images.labels)
    torch.manual_seed(0)
    import torchattacks  # here: the other tests are collected without it

    attack = getattr(torchattacks, reference)(robust, eps=eps, alpha=step, steps=20, random_start=True)
    with frozen(robust):
        attacked = robust(attack(x, y)).argmax(dim=1).numpy()
    verdicts = Verdicts.read(tmp_path / "verdicts.npz")
    theirs = ((verdicts.clean_prediction == images.labels) & (attacked == images.labels)).mean()
    print(f"{norm}: TA {result.ta:.3f}, RA {result.ra:.3f}, torchattacks {theirs:.3f}")
    assert 0.05 < result.ra < result.ta - 0.02, "the comparison says something"
    assert abs(result.ra - theirs) <= 0.01
    right = verdicts.clean_prediction == images.labels  # the others are not attacked
    assert (verdicts.attacked_prediction == attacked)[right].mean() > 0.97


@pytest.mark.parametrize(("norm", "eps"), [("linf", 6 / 255), ("l2", 0.5)])
def test_autoattack_is_the_authors(norm, eps, tmp_path):
    """Their standard version from beginning to end, with our seeds: the same images fall, to the same attacks."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 4, 4), nn.ReLU(), nn.Flatten(), nn.Linear(128, 10)).eval()
    x = torch.rand(48, 3, 4, 4).repeat_interleave(4, dim=2).repeat_interleave(4, dim=3)
    y = model(x).argmax(dim=1)
    y[::9] = (y[::9] + 1) % 10
    protocol = parse("autoattack", norm=norm, eps=eps)
    result = evaluate(model, (x, y), protocol, out=tmp_path, save_adversarial=True)
    kept = load_file(tmp_path / "adversarial.safetensors")
    package = importlib.import_module(driver.implementation().split()[0])
    theirs = package.AutoAttack(model, norm=driver.NORMS[norm], eps=eps, version="standard")
    seeds = iter([derived_seed(0, name, 0) for name in driver.STANDARD])
    theirs.get_seed = lambda: next(seeds)
    with frozen(model):
        x_adv, y_adv = theirs.run_standard_evaluation(x, y, batch_size=64)
    hits = [attack.broken for attack in result.details.attacks]
    print(f"{norm}: TA {result.ta:.3f}, RA {result.ra:.3f}, broken {hits}")
    assert hits[0] > hits[1] > 0, "the comparison says something"
    assert 0 < result.ra < result.ta
    assert torch.equal(kept["y_adv"] != y, y_adv != y)
    # Theirs are the last adversarial images of a run, ours the first.
    assert torch.equal((kept["x_adv"] != x).flatten(1).any(dim=1), (x_adv != x).flatten(1).any(dim=1))
