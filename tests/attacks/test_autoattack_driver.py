"""The adapter to the authors' attacks: the same results as theirs, and none of what theirs do to the process."""

from __future__ import annotations

import importlib
import sys
import warnings
from importlib.util import find_spec

import pytest
import torch
from torch import nn

from advss_zoo.attacks import autoattack_driver as driver
from advss_zoo.attacks.autoattack_fab import project_linf
from advss_zoo.errors import AdvssError
from advss_zoo.models.backbones.resnetv2 import ResNetV2, ResNetV2Architecture

ATTACKS = sorted(driver.FEWEST_CLASSES)
EPS = {"linf": 0.2, "l2": 4.0, "l1": 60.0}  # large: the tests let Square ask ten times only


def network(classes=10, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 8, 8, 8), nn.ReLU(), nn.Flatten(), nn.Linear(32, classes)).eval()


def batch(model, n=8):
    x = torch.rand(n, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    return x, model(x).argmax(dim=1)


def run(name, model, x, y, index=None, *, norm="linf", eps=None, seed=3, classes=10):
    constants = driver.constants(name, norm, classes, iterations=4, queries=10)
    index = torch.arange(len(x)) if index is None else index
    return driver.run(name, model, x, y, index, norm=norm, eps=eps or EPS[norm], seed=seed, constants=constants)


@pytest.fixture
def starts_of_the_authors(monkeypatch):
    """A start for a whole batch, from torch's generator, with seed 3."""
    for name, draw in (("per_image_uniform", torch.rand), ("per_image_normal", torch.randn)):
        start = torch.Generator().manual_seed(3)
        monkeypatch.setattr(driver, name, lambda shape, *given, draw=draw, start=start: draw(shape, generator=start))


@pytest.fixture
def the_same_signs_for_all(monkeypatch):
    """In the authors' Square."""
    square = importlib.import_module(f"{next(filter(find_spec, driver.PACKAGES))}.square").SquareAttack
    draw = square.random_choice

    def signs(self, shape):
        return draw(self, shape) if len(shape) < 4 else draw(self, shape[1:])[None].repeat(shape[0], 1, 1, 1)

    monkeypatch.setattr(square, "random_choice", signs)


def theirs(module, name, *arguments, **constants):
    package = next(package for package in driver.PACKAGES if find_spec(package))
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
    assert driver.suite(classes) == expected
    assert all(driver.FEWEST_CLASSES[name] <= classes for name in expected)


@pytest.mark.parametrize(("classes", "targets", "starts"), [(2, 1, 5), (3, 2, 1), (7, 6, 1), (10, 9, 1), (100, 9, 1)])
def test_no_more_targets_than_other_classes_and_more_starts_where_an_attack_is_missing(classes, targets, starts):
    assert driver.constants("fab-t", "linf", classes, 100, 5000)["n_target_classes"] == targets
    assert driver.constants("apgd-t", "linf", classes, 100, 5000)["n_target_classes"] == targets
    assert driver.constants("apgd-ce", "linf", classes, 100, 5000)["n_restarts"] == starts


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_constants_are_those_of_the_authors_standard_version(norm):
    """Ours beside what their own AutoAttack sets when it is asked for that version."""
    standard = theirs("autoattack", "AutoAttack", network(), norm=driver.NORMS[norm], eps=EPS[norm])
    assert tuple(standard.attacks_to_run) == driver.STANDARD
    attacks = {
        "apgd-ce": standard.apgd,
        "apgd-t": standard.apgd_targeted,
        "fab-t": standard.fab,
        "square": standard.square,
    }
    renamed = {"rho": "thr_decr", "resc_schedule": "rescale_schedule"}
    for name, attack in attacks.items():
        ours = driver.constants(name, norm, 10, 100, 5000)
        ours.pop("targeted", None)  # theirs is set when the attack begins
        assert ours == {key: getattr(attack, renamed.get(key, key)) for key in ours}


# Running.


class Recorded(nn.Module):
    """Hands on what `model` says, and keeps what it was asked."""

    def __init__(self, model):
        super().__init__()
        self.model = model
        self.asked = []

    def forward(self, x):
        self.asked.append(x.detach().clone())
        return self.model(x)


MODULES = {
    "apgd-ce": ("autopgd_base", "APGDAttack"),
    "apgd-dlr": ("autopgd_base", "APGDAttack"),
    "apgd-t": ("autopgd_base", "APGDAttack_targeted"),
    "fab-t": ("fab_pt", "FABAttack_PT"),
    "square": ("square", "SquareAttack"),
}


@pytest.mark.usefixtures("starts_of_the_authors")
@pytest.mark.filterwarnings("ignore:there are")
@pytest.mark.parametrize(("norm", "eps"), [("linf", 0.01), ("l2", 0.15), ("l1", 2.0)])
@pytest.mark.parametrize("name", ["apgd-ce", "apgd-dlr", "apgd-t", "fab-t"])
def test_the_result_is_the_first_success_of_the_authors_and_then_an_image_leaves(name, norm, eps):
    """Theirs goes on to the end with all images; one run of it, so that every batch holds all of them."""
    model = network().requires_grad_(False)
    x, y = batch(model, 40)
    constants = driver.constants(name, norm, 10, iterations=12, queries=10) | {"n_restarts": 1}
    if "n_target_classes" in constants:
        constants["n_target_classes"] = 1
    spy, ours = Recorded(model), Recorded(model)
    attack = theirs(*MODULES[name], spy, norm=driver.NORMS[norm], eps=eps, seed=3, verbose=False, **constants)
    fell = (attack.perturb(x, y).detach() != x).flatten(1).any(dim=1)
    expected, when, sizes = x.clone(), torch.full((40,), -1), []
    for number, z in enumerate(spy.asked):
        if not torch.equal(z, x):  # how often a clean image is looked at says nothing
            sizes.append(int((when < 0).sum()))
        size = (z - x).flatten(1).norm(p=float(norm[1:]), dim=1)
        new = (size <= eps * (1 + 1e-6) + 1e-7) & (model(z).argmax(dim=1) != y) & (when < 0)
        expected[new], when[new] = z[new], number
    assert torch.equal(when >= 0, fell)
    assert len(set(when[fell].tolist())) > 1, "images should break at different steps"
    assert not fell.all(), "some should stand"
    found = driver.run(name, ours, x, y, torch.arange(len(x)), norm=norm, eps=eps, seed=3, constants=constants)
    assert torch.allclose(found, expected.clamp(0, 1), rtol=0, atol=1e-5)
    if name == "fab-t":
        sizes.pop()  # theirs looks at what came out
    assert [len(z) for z in ours.asked if not all(any(torch.equal(one, clean) for clean in x) for one in z)] == sizes


@pytest.mark.parametrize("name", ["apgd-t", "fab-t"])
def test_the_targets_after_the_first_are_one_batch_that_an_image_leaves_when_any_of_them_breaks_it(name):
    """The class with the second largest logit is out of reach, one of the two others is not for half of the images."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(768, 4)).requires_grad_(False)
    weight = torch.randn(4, 768) * torch.tensor([0.0, 1e-4, 0.05, 1e-4])[:, None]
    model[1].weight.copy_(weight - weight.mean(dim=1, keepdim=True))
    model[1].bias.copy_(torch.tensor([0.0, -0.1, -1.5, -3.0]))
    x, y, spy = torch.rand(24, 3, 16, 16), torch.zeros(24, dtype=torch.int64), Recorded(model)
    constants = driver.constants(name, "linf", 4, iterations=6, queries=10)
    found = driver.run(name, spy, x, y, torch.arange(len(x)), norm="linf", eps=0.05, seed=3, constants=constants)
    sizes = [len(z) for z in spy.asked]
    seconds = sizes[sizes.index(48) :]
    assert set(sizes[: -len(seconds)]) == {24}
    assert sorted(seconds, reverse=True) == seconds
    assert {size % 2 for size in seconds} == {0}
    fell = (found != x).flatten(1).any(dim=1)
    assert ((model(found).argmax(dim=1) != y) == fell).all()
    assert 0 < fell.sum() == 24 - seconds[-1] // 2 < 24


def test_the_batch_of_targets_takes_only_so_many_pixels(monkeypatch):
    monkeypatch.setitem(driver.AT_ONCE, "cpu", 20 * 16 * 16)
    spy = Recorded(network().requires_grad_(False))
    x, y = batch(spy.model, 5)
    constants = driver.constants("fab-t", "linf", 10, iterations=2, queries=10)
    found = driver.run("fab-t", spy, x, y, torch.arange(len(x)), norm="linf", eps=1e-4, seed=3, constants=constants)
    assert torch.equal(found, x)
    assert sorted({len(z) for z in spy.asked}) == [5, 8, 16], "two images of eight targets, and the last alone"


def test_quick_malt_attacks_the_classes_whose_linear_boundaries_are_nearest(monkeypatch):
    """On a linear network, whose logits say something else."""
    torch.manual_seed(0)
    scales = torch.logspace(-2, 2, 10)
    model = nn.Sequential(nn.Flatten(), nn.Linear(768, 10)).requires_grad_(False)
    model[1].weight.mul_(scales[:, None])
    x = torch.rand(6, 3, 16, 16)
    y = model(x).argmax(dim=1)
    asked = []
    by_target = driver._by_target
    monkeypatch.setattr(driver, "_by_target", lambda *given: asked.append(given[3]) or by_target(*given))
    run("quick-malt", model, x, y, eps=1e-6)
    logits, weight = model(x), model[1].weight
    for row in range(6):
        distance = (logits[row, y[row]] - logits[row]) / (weight[y[row]] - weight).abs().sum(dim=1).clamp_min(1e-9)
        distance[y[row]] = torch.inf
        assert asked[0][row].tolist() == distance.argsort()[:4].tolist()
    assert asked[0].tolist() != logits.scatter(1, y[:, None], -torch.inf).topk(4).indices.tolist()


@pytest.mark.parametrize("offset", [0.0, 0.3, -0.3, 6.0, -6.0, 1e3, -1e3])
def test_the_projection_onto_a_hyperplane_is_that_of_the_authors(offset):
    """With entries of the normal that are 0, points at the ends of the box, and planes that the box does not reach."""
    random = torch.Generator().manual_seed(2)
    t, w = torch.rand(12, 300, generator=random), torch.randn(12, 300, generator=random) / 10
    t[:, :40], w[:, 20:60] = t[:, :40].round(), 0.0
    b = (w * t).sum(dim=1) + offset * torch.rand(12, generator=random)
    expected = theirs("fab_projections", "projection_linf", t, w, b)
    assert torch.allclose(project_linf(t, w, b), expected, rtol=0, atol=1e-6)
    assert (expected.abs().max() > 1e-4) == (offset != 0)


@pytest.mark.parametrize("name", ["apgd-ce", "apgd-dlr", "apgd-t", "fab-t"])
def test_a_run_ends_with_the_last_image(name):
    spy = Recorded(network().requires_grad_(False))
    x, y = batch(spy.model)
    constants = driver.constants(name, "linf", 10, iterations=50, queries=10)
    found = driver.run(name, spy, x, y, torch.arange(len(x)), norm="linf", eps=EPS["linf"], seed=3, constants=constants)
    assert (found != x).flatten(1).any(dim=1).all()
    assert len(spy.asked) - 1 < 20


@pytest.mark.usefixtures("the_same_signs_for_all")
@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_square_is_the_authors(norm):
    model = network().requires_grad_(False)
    x, y = batch(model)
    attack = theirs(
        *MODULES["square"], model, norm=driver.NORMS[norm], eps=EPS[norm], seed=3, n_queries=10, resc_schedule=False
    )
    expected = attack.perturb(x, y)
    assert not torch.equal(expected, x)
    assert torch.equal(run("square", model, x, y, norm=norm), expected.detach().clamp(0, 1))


@pytest.mark.usefixtures("the_same_signs_for_all")
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_square_on_a_network_of_which_parts_are_computed_is_the_authors(norm):
    """Some images fall on the way, and the squares get smaller."""
    torch.manual_seed(0)
    model = ResNetV2(ResNetV2Architecture(depth=18, width=2)).eval().requires_grad_(False)
    x = torch.rand(6, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    model.head.linear.bias -= model(x).mean(dim=0)  # or it says the same of all
    y, eps = model(x).argmax(dim=1), {"linf": 0.005, "l2": 0.3}[norm]
    constants = driver.constants("square", norm, 10, iterations=4, queries=60)
    shared = {"norm": driver.NORMS[norm], "eps": eps, "seed": 3}
    spy = Recorded(model)
    expected = theirs(*MODULES["square"], spy, n_queries=60, resc_schedule=False, **shared).perturb(x, y).detach()
    fell = (expected != x).flatten(1).any(dim=1)
    assert 0 < fell.sum() < 6, "some fall, some stand"
    assert len(set(map(len, spy.asked))) > 1, "and not all at once"
    ours = Recorded(model)
    found = driver.run(
        "square", ours, x, y, torch.arange(len(x)), norm=norm, eps=eps, seed=3, constants=constants, bare=model
    )
    assert torch.allclose(found, expected.clamp(0, 1), rtol=0, atol=1e-6)
    assert (len(ours.asked) < 20) == (norm == "linf"), "the whole network is asked where something seems to fall"


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


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
@pytest.mark.parametrize("name", ATTACKS)
def test_what_becomes_of_an_image_depends_on_no_other(name, norm):
    """In another batch, with other neighbours, and several of them broken on the way."""
    model, eps = network().requires_grad_(False), {"linf": 0.02, "l2": 0.3, "l1": 4.0}[norm]
    x, y = batch(model, 40)
    index, found = torch.arange(40) + 100, run(name, model, x, y, torch.arange(40) + 100, norm=norm, eps=eps)
    rows = torch.arange(39, -1, -3)
    assert torch.equal(found[rows], run(name, model, x[rows], y[rows], index[rows], norm=norm, eps=eps))
    fell = (found[rows] != x[rows]).flatten(1).any(dim=1)
    assert 0 < fell.sum() < len(rows)
    if name not in ("fab-t", "square"):  # a start at the image itself, or one for all
        assert not torch.equal(found, run(name, model, x, y, index + 1, norm=norm, eps=eps))


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


@pytest.mark.parametrize("name", ["apgd-ce", "apgd-dlr", "apgd-t", "fab-t"])
def test_a_gradient_that_is_not_finite_is_a_sentence(name):
    """Its sign is 0, so the image would stay where it is and count as robust."""
    model = network().requires_grad_(False)
    x, y = batch(model)

    def broken(z):
        logits = model(z)
        logits[2] = logits[2] + (0 * z[2].sum()).sqrt()
        return logits

    constants = driver.constants(name, "linf", 10, iterations=4, queries=10)
    with pytest.raises(AdvssError, match="NaN or infinite for 1 of 8 images, which makes none of them robust"):
        driver.run(name, broken, x, y, torch.arange(len(x)), norm="linf", eps=1e-4, seed=3, constants=constants)


# Half precision.


class Liar(nn.Module):
    """Right in float32 whatever it sees; within autocast wrong about most of what is not the clean image."""

    def __init__(self, model, x):
        super().__init__()
        self.model, self.x, self.lies = model, x, 0

    def forward(self, z):
        logits = self.model(z)
        if not torch.is_autocast_enabled("cpu"):
            return logits - logits.detach() + self.model(self.x[:1]).detach()
        self.lies += 1
        return -logits


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
@pytest.mark.parametrize("name", driver.IN_HALF_PRECISION)
def test_what_is_wrong_in_half_precision_alone_is_no_success(name, norm):
    model = network().requires_grad_(False)
    x, _ = batch(model, 1)
    liar, y = Liar(model, x), model(x).argmax(dim=1)
    constants = driver.constants(name, norm, 10, iterations=4, queries=10)
    shared = {"norm": norm, "eps": EPS[norm], "seed": 3, "constants": constants}
    assert torch.equal(driver.run(name, liar, x, y, torch.arange(1), precision="bf16", **shared), x)
    assert liar.lies > 4


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
@pytest.mark.parametrize("name", driver.IN_HALF_PRECISION)
def test_successes_of_a_search_in_half_precision_are_some_in_single(name, norm):
    model = network().requires_grad_(False)
    x, y = batch(model, 16)
    constants = driver.constants(name, norm, 10, iterations=4, queries=10)
    found = driver.run(
        name, model, x, y, torch.arange(len(x)), norm=norm, eps=EPS[norm], seed=3, constants=constants, precision="bf16"
    )
    claimed = (found != x).flatten(1).any(dim=1)
    assert ((model(found).argmax(dim=1) != y) == claimed).all()
    assert claimed.any()


# The package.


def test_the_version_is_named():
    name, version = driver.implementation().split()
    assert name in driver.PACKAGES
    assert version[0].isdigit()


def test_a_package_that_is_missing_is_a_sentence(monkeypatch):
    monkeypatch.setattr(driver, "PACKAGES", ("no_such_package",))
    with pytest.raises(AdvssError, match="pip install pyautoattack"):
        driver.implementation()
