"""The attacks as people call them: the same images as those of other libraries, and a model left as it was."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

import advss_zoo
from advss_zoo import attacks
from advss_zoo.attacks import autoattack_driver as driver
from advss_zoo.attacks import kang2019
from advss_zoo.attacks.kang2019.targets import targeted_loss
from advss_zoo.errors import AdvssError, DataError, ModelWarning, UsageError
from advss_zoo.evaluation.protocols import parse

EPS, STEP = 8 / 255, 2 / 255
DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16]
ORDERS = {"linf": float("inf"), "l2": 2.0, "l1": 1.0}

# Each attack with few steps: its name, its arguments, and the ball that it stays in.
CALLS = [
    ("pgd", {"steps": 3}, ("linf", EPS)),
    ("pgd", {"steps": 3, "norm": "l2", "eps": 0.5, "restarts": 2}, ("l2", 0.5)),
    ("fgsm", {}, ("linf", EPS)),
    ("fgsm", {"norm": "l2", "eps": 0.5}, ("l2", 0.5)),
    *(("apgd", {"steps": 4, "loss": loss}, ("linf", EPS)) for loss in ("ce", "dlr", "t")),
    ("apgd", {"steps": 4, "norm": "l1", "eps": 12.0}, ("l1", 12.0)),
    ("fab", {"steps": 4}, ("linf", EPS)),
    ("square", {"queries": 10, "norm": "l2", "eps": 2.0}, ("l2", 2.0)),
    ("square", {"queries": 10}, ("linf", EPS)),
    *(("unforeseen", {"attack": name, "eps": eps, "steps": 2}, None) for name, eps in (("fog", 128), ("elastic", 1))),
    ("unforeseen", {"attack": "jpeg-linf", "eps": 1 / 8, "steps": 2}, None),
]
IDS = [f"{name}-{'-'.join(map(str, arguments.values()))}" for name, arguments, _ in CALLS]
every_call = pytest.mark.parametrize(("name", "arguments", "ball"), CALLS, ids=IDS)


def network(classes=10, dtype=torch.float32):
    """With batch norm, whose running statistics are not those of any batch, and in train mode."""
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 8, 4, 4), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(), nn.Flatten(), nn.Linear(512, classes)
    layers[1].running_mean.uniform_(-0.1, 0.1)
    return nn.Sequential(*layers).to(dtype)


@pytest.fixture
def model():
    return network()


def batch(model, n=6, dtype=torch.float32):
    """Images that the model gets right, but for the first; the model stays in train mode."""
    x = torch.rand(n, 3, 32, 32, generator=torch.Generator().manual_seed(1)).to(dtype)
    y = model.eval()(x).argmax(dim=1)
    model.train()
    y[0] = (y[0] + 1) % 2
    return x, y


def call(name, model, x, y, arguments):
    return getattr(attacks, name)(model, x, y, **arguments)


def broken(model, z, y):
    with torch.no_grad():
        wrong = model.eval()(z).argmax(dim=1) != y
    model.train()
    return wrong


# The same as others.


def plain_pgd(model, x, y, start, steps):
    """As in torchattacks, written out."""
    z = start
    for _ in range(steps):
        z = z.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(cross_entropy(model(z), y), z)
        z = z.detach() + STEP * gradient.sign()
        z = torch.clamp(x + torch.clamp(z - x, -EPS, EPS), 0, 1)
    return z


def test_pgd_is_plain_pgd_to_the_last_bit(model):
    x, y = batch(model)
    start = (x + torch.empty_like(x).uniform_(-EPS, EPS)).clamp(0, 1)
    found = attacks.pgd(model, x, y, start=start, steps=10)
    assert torch.equal(found, plain_pgd(model.eval(), x, y, start, 10))
    assert (found - x).abs().max() > 0.9 * EPS


@pytest.mark.peers
@pytest.mark.parametrize("n", [7, 64])
def test_pgd_is_that_of_torchattacks_to_the_last_bit(n):
    import torchattacks

    model = advss_zoo.load_model("p1f4.mini")
    images = advss_zoo.load_data("cifar10-1k", limit=n)
    x, y = images
    torch.manual_seed(0)
    start = torch.clamp(x + torch.empty_like(x).uniform_(-EPS, EPS), 0, 1)
    torch.manual_seed(0)
    theirs = torchattacks.PGD(model, eps=EPS, alpha=STEP, steps=20, random_start=True)(x, y)
    assert torch.equal(attacks.pgd(model, x, y, start=start, steps=20), theirs)


def test_fgsm_is_one_step_along_the_sign(model):
    x, y = batch(model)
    found = attacks.fgsm(model, x, y)
    z = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(cross_entropy(model.eval()(z), y), z)
    assert torch.equal(found, (x + EPS * gradient.sign()).clamp(0, 1))


def agrees_with_the_authors(model, x, y, eps, iterations=100, queries=5000):
    """Of the images on which two of their seeds agree."""
    package = importlib.import_module(driver.implementation().split()[0])
    theirs = []
    for seed in (0, 1):
        suite = package.AutoAttack(model, norm="Linf", eps=eps, version="standard", seed=seed)
        suite.apgd.n_iter = suite.apgd_targeted.n_iter = suite.fab.n_iter = iterations
        suite.square.n_queries = queries
        theirs.append(suite.run_standard_evaluation(x, y)[1] != y)
    found = attacks.autoattack(model, x, y, eps=eps)
    ours, (first, second) = broken(model, found, y), theirs
    print(f"broken by us {int(ours.sum())}, by the authors {int(first.sum())} and {int(second.sum())} of {len(x)}")
    agreed = first == second
    assert torch.equal(ours[agreed], first[agreed])
    assert 0 < ours.sum() < len(x), "the comparison says something"
    assert ((found == x).flatten(1).all(dim=1) | ours).all()


def test_autoattack_breaks_what_the_authors_break(monkeypatch):
    few, standard = {"iterations": 5, "queries": 20}, driver.constants
    monkeypatch.setattr(driver, "constants", lambda name, norm, classes, *_: standard(name, norm, classes, **few))
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 4, 4), nn.ReLU(), nn.Flatten(), nn.Linear(128, 10)).eval()
    x = torch.rand(8, 3, 4, 4).repeat_interleave(4, dim=2).repeat_interleave(4, dim=3)
    y = model(x).argmax(dim=1)
    agrees_with_the_authors(model, x, y, 6 / 255, **few)


@pytest.mark.nightly
def test_autoattack_breaks_what_the_authors_break_of_a_checkpoint():
    x, y = advss_zoo.load_data("cifar10-1k", limit=64)
    agrees_with_the_authors(advss_zoo.load_model("p1f4.mini"), x, y, EPS)


@pytest.mark.parametrize(
    ("name", "arguments", "protocol"),
    [
        ("pgd", {"restarts": 2}, parse("pgd20", restarts=2)),
        ("pgd", {"norm": "l2", "eps": 0.5}, parse("pgd20", norm="l2")),
        ("apgd", {"eps": 2 / 255}, parse("apgd-ce", eps=2 / 255)),
        ("unforeseen", {"attack": "fog", "eps": 128}, parse("unforeseen-fog-eps1")),
    ],
)
def test_a_protocol_measures_the_same(name, arguments, protocol, model):
    x, y = batch(model, 16)
    found = call(name, model, x, y, arguments)
    right = ~broken(model, x, y) & ~broken(model, found, y)
    assert advss_zoo.evaluate(model, (x, y), protocol).ra == right.float().mean()


def test_unforeseen_is_the_published_attack(model):
    x, y = batch(model)
    found = attacks.unforeseen(model, x, y, "fog", eps=256, steps=3, seed=5)
    index = torch.arange(len(x))
    loss = targeted_loss(model.eval(), y, index=index, seed=5)
    assert torch.equal(found, kang2019.find("fog").perturb(loss, x, eps=256, index=index, seed=5, steps=3))


# What comes back.


@every_call
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_images_of_the_same_dtype_inside_ball_and_box(name, arguments, ball, dtype):
    model = network(dtype=dtype)
    x, y = batch(model, dtype=dtype)
    found = call(name, model, x, y, arguments)
    assert (found.dtype, found.shape, found.requires_grad) == (dtype, x.shape, False)
    assert 0 <= found.min() <= found.max() <= 1
    if ball:
        sizes = torch.linalg.vector_norm((found.double() - x.double()).flatten(1), ord=ORDERS[ball[0]], dim=1)
        assert sizes.max() <= ball[1] + 1e-6 * max(1, ball[1])
    changed = (found != x).flatten(1).any(dim=1)
    if name in ("apgd", "fab", "square"):
        assert not changed[0], "misclassified already"
        assert torch.equal(changed[1:], broken(model, found, y)[1:])
    else:
        assert changed.all()


@every_call
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_it_may_be_called_where_gradients_are_off(name, arguments, ball, mode, model):
    x, y = batch(model)
    expected = call(name, model, x, y, arguments)
    with mode():
        found = call(name, model, x.clone(), y.clone(), arguments)
    assert torch.equal(found, expected)
    assert not found.is_inference()


@every_call
def test_the_model_is_left_as_it_was(name, arguments, ball, model):
    x, y = batch(model)
    model[0].weight.requires_grad_(False)
    model[5].bias.grad = torch.ones(10)
    model[3].eval()
    weights = {key: value.clone() for key, value in model.state_dict().items()}
    torch.manual_seed(5)
    random, images = torch.get_rng_state(), x.clone()
    call(name, model, x, y, arguments)
    assert torch.equal(torch.get_rng_state(), random)
    assert torch.equal(x, images)
    assert not x.requires_grad
    assert [module.training for module in model] == [True, True, True, False, True, True]
    assert [weight.requires_grad for weight in model.parameters()] == [False, True, True, True, True, True]
    assert [weight.grad is None for weight in model.parameters()] == [True] * 5 + [False]
    assert model[5].bias.grad.eq(1).all()
    assert all(torch.equal(value, weights[key]) for key, value in model.state_dict().items())


@every_call
def test_any_function_of_images_will_do(name, arguments, ball, model):
    x, y = batch(model)
    expected = call(name, model, x, y, arguments)
    model.eval()
    assert torch.equal(call(name, lambda z: model(z), x, y, arguments), expected)
    assert all(weight.grad is None and weight.requires_grad for weight in model.parameters())


def test_the_seed_and_the_restarts_count(model):
    x, y = batch(model)
    first = attacks.pgd(model, x, y, steps=2)
    assert torch.equal(first, attacks.pgd(model, x, y, steps=2))
    assert not torch.equal(first, attacks.pgd(model, x, y, steps=2, seed=1))
    weak = {"eps": 1 / 255, "steps": 1, "step_size": 0.2 / 255}
    x, y = batch(model, 200)
    once, often = (broken(model, attacks.pgd(model, x, y, restarts=n, **weak), y) for n in (1, 20))
    assert once.sum() < often.sum()
    assert not (once & ~often).any()


def test_a_network_of_ours_in_another_precision_is_attacked_in_it():
    model = advss_zoo.load_model("p1f4.mini")
    x, y = advss_zoo.load_data("cifar10-1k", limit=4)
    expected = broken(model, attacks.square(model, x, y, queries=5), y)
    with pytest.warns(ModelWarning, match="returns float64, which is made float32"):
        found = attacks.square(model.double(), x, y, queries=5)
    assert torch.equal(broken(model, found.double(), y), expected)


@pytest.mark.parametrize("classes", [2, 3, 4])
def test_autoattack_of_few_classes_takes_what_fits(classes):
    model = network(classes)
    x, y = batch(model)
    assert broken(model, attacks.autoattack(model, x, y, eps=0.5), y).all()


def test_float16_is_enough_for_pgd_to_find_what_float32_finds(model):
    x, y = batch(model, 32)
    y = model.eval()(x).argmax(dim=1)
    full = broken(model, attacks.pgd(model, x, y, eps=4 / 255), y)
    half = network(dtype=torch.float16)
    found = broken(half, attacks.pgd(half, x.half(), y, eps=4 / 255), y)
    assert full.sum() > 0
    assert (full != found).sum() <= 2


# What is refused.


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda x, y: (x.numpy(), y), "images must be a tensor, got ndarray"),
        (lambda x, y: (x[0], y), r"images must have shape \(B, C, H, W\) and not be empty, got \(3, 32, 32\)"),
        (lambda x, y: (x[:0], y[:0]), r"and not be empty, got \(0, 3, 32, 32\)"),
        (lambda x, y: ((x * 255).byte(), y), "must be floating point in .*, got torch.uint8. Divide 8-bit images"),
        (lambda x, y: (x * 2 - 1, y), r"images must lie in \[0, 1\], got values from -"),
        (lambda x, y: (x * torch.nan, y), r"images must lie in \[0, 1\], got values from nan"),
        (lambda x, y: (x, y.float()), "labels must be a tensor of integers, got torch.float32"),
        (lambda x, y: (x, y.tolist()), "labels must be a tensor of integers, got list"),
        (lambda x, y: (x, y[:2]), r"labels must have shape \(6,\), one for each image, got \(2,\)"),
        (lambda x, y: (x, y + 10), "labels must be class numbers from 0 to 9, got 1"),
        (lambda x, y: (x, y - 10), "labels must be class numbers from 0 to 9, got -"),
    ],
)
@pytest.mark.parametrize("name", ["pgd", "autoattack"])
def test_wrong_images_and_labels_are_a_sentence(name, change, says, model):
    with pytest.raises(DataError, match=says):
        call(name, model, *change(*batch(model)), {})
    assert model.training


@pytest.mark.parametrize(
    ("name", "arguments", "says"),
    [
        ("pgd", {"eps": 0}, "eps must be positive and finite, got 0"),
        ("pgd", {"eps": float("nan")}, "eps must be positive and finite, got nan"),
        ("pgd", {"eps": 8}, "eps must be at most 1 in linf, .* got 8. Did you mean 8/255?"),
        ("pgd", {"eps": "8/255"}, "eps must be a number, got '8/255'. Choose one such as 8 / 255"),
        ("pgd", {"eps": torch.tensor(0.1)}, r"eps must be a number, got tensor\(0.1000\)"),
        ("pgd", {"norm": "l2"}, "eps has no default in l2"),
        ("pgd", {"norm": "l1"}, r"unknown norm 'l1'; choose from linf, l2 \(l1: autoattack"),
        ("autoattack", {"norm": "Linf"}, "unknown norm 'Linf'; choose from linf, l2, l1"),
        ("pgd", {"steps": 0}, "steps must be an integer of at least 1, got 0"),
        ("pgd", {"restarts": 0}, "restarts must be an integer of at least 1, got 0"),
        ("pgd", {"step_size": -1.0}, "step_size must be positive and finite, got -1"),
        ("pgd", {"seed": -1}, r"seed must be an integer from 0 to 2\*\*61 - 1, got -1"),
        ("apgd", {"loss": "cw"}, "unknown loss 'cw'; choose from ce, margin, dlr, t"),
        ("square", {"queries": 0}, "queries must be an integer of at least 1, got 0"),
        ("unforeseen", {"attack": "frog", "eps": 1}, "Unknown unforeseen attack 'frog'"),
    ],
)
def test_settings_that_make_no_sense_are_a_sentence(name, arguments, says, model):
    with pytest.raises(UsageError, match=says):
        call(name, model, *batch(model), arguments)


def test_a_start_of_another_shape_is_a_sentence(model):
    x, y = batch(model)
    with pytest.raises(DataError, match=r"start must be a finite tensor of shape \(6, 3, 32, 32\), got shape \(3, 32"):
        attacks.pgd(model, x, y, start=x[0])


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ("p1f4", "model must be a module or a function of images, got str. Open one by its name: advss_zoo.load_model"),
        (lambda z: z, r"The model returned shape \(.*\) for 8 images, expected logits"),
        (lambda z: (z,), "The model returned tuple"),
        (lambda z: z.detach().flatten(1), "output has no gradient with respect to the images"),
        (lambda z: z.flatten(1) + (0 * z.flatten(1)).sqrt(), "gradient of the loss is NaN or infinite"),
    ],
)
def test_a_model_that_cannot_be_attacked_is_a_sentence(wrong, says):
    with pytest.raises(AdvssError, match=says):
        attacks.pgd(wrong, torch.full((2, 3, 4, 4), 0.5), torch.tensor([0, 1]))


def test_importing_the_package_of_attacks_does_not_import_torch():
    code = "import sys, advss_zoo.attacks; print('torch' in sys.modules); print(advss_zoo.attacks.pgd.__name__)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["False", "pgd"]
    for name in attacks.__all__:
        assert callable(getattr(attacks, name))
    with pytest.raises(AttributeError):
        _ = attacks.nothing
