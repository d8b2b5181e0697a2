"""pgdN and pgdN-any, compared with what their definitions say, written out."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy

from advss_zoo.attacks.ascent import RESTART_STRIDE
from advss_zoo.errors import AdvssError
from advss_zoo.evaluation.protocols import parse
from advss_zoo.models.backbones.resnetv2 import ResNetV2, ResNetV2Architecture
from advss_zoo.threat import ThreatModel

EPS, STEP = 8 / 255, 2 / 255


@pytest.fixture
def batch(pictures):
    rows = slice(0, 40)
    x = torch.from_numpy(pictures.images[rows]).float() / 255
    return x, torch.from_numpy(pictures.labels[rows]), torch.from_numpy(pictures.index[rows])


def iterates(model, x, y, start, steps, eps=EPS, step=STEP):
    """PGD as the paper's listing has it: start not clipped, sign of the gradient of the mean, ball, box."""
    z = start
    for _ in range(steps):
        z = z.detach().requires_grad_()
        (g,) = torch.autograd.grad(cross_entropy(model(z), y), z)
        z = z.detach() + step * torch.sign(g)
        z = torch.min(torch.max(z, x - eps), x + eps)
        z = torch.clip(z, 0, 1)
        yield z


def right(model, x, y):
    return model(x).argmax(dim=1) == y


def test_pgd20_is_the_last_iterate_of_the_papers_attack(batch):
    x, y, index = (tensor[:8] for tensor in batch)
    torch.manual_seed(0)
    model = ResNetV2(ResNetV2Architecture(depth=18, width=4)).eval().requires_grad_(False)
    *_, last = iterates(model, x, y, ThreatModel("linf", EPS).random_start(x, index, 5), 20)
    assert torch.equal(parse("pgd20", seed=5).attack(model, x, y, index), last)


def test_pgd_any_keeps_the_first_iterate_that_breaks_an_image(patches, batch):
    x, y, index = batch
    eps, step = 2 / 255, 0.2 / 255
    protocol = parse("pgd10-any", eps=eps, step_size=step, seed=2)
    expected, broken = None, torch.zeros(len(x), dtype=torch.bool)
    when = torch.full((len(x),), 99)
    start = ThreatModel("linf", eps).random_start(x, index, 2)
    for number, z in enumerate(iterates(patches, x, y, start, 10, eps, step)):
        expected = torch.where(broken.view(-1, 1, 1, 1), expected, z) if expected is not None else z
        now = ~right(patches, z, y) & ~broken
        when[now], broken = number, broken | now
    assert len(set(when[broken].tolist())) > 2, "images should break at different steps"
    assert not broken.all(), "some should stand"
    assert torch.equal(protocol.attack(patches, x, y, index), expected)


def test_pgd_any_breaks_what_the_last_iterate_loses(batch):
    """A model that is wrong only in a band of brightness, which the attack crosses."""
    x, y, index = (tensor[:8] for tensor in batch)
    x, y = torch.full_like(x[:, :, :2, :2], 0.5), torch.zeros_like(y)

    def model(z):
        mean = z.mean(dim=(1, 2, 3))
        inside = (mean > 0.5 + 3.5 / 255) & (mean < 0.5 + 6.5 / 255)
        return torch.stack([-mean, torch.where(inside, mean.detach(), -1 - mean.detach())], dim=1)

    last, any_ = (parse(name).attack(model, x, y, index) for name in ("pgd20", "pgd20-any"))
    assert right(model, last, y).all()
    assert not right(model, any_, y).any()


def test_one_step_of_any_is_one_step(patches, batch):
    assert torch.equal(parse("pgd1-any").attack(patches, *batch), parse("pgd1").attack(patches, *batch))


@pytest.mark.parametrize("name", ["pgd2", "pgd2-any"])
def test_restarts_add_starts_until_one_breaks_the_image(name, patches, batch):
    x, y, index = batch
    settings = {"eps": 4 / 255, "step_size": 1 / 255}
    alone = [
        ~right(patches, parse(name, **settings, seed=3 + r * RESTART_STRIDE).attack(patches, x, y, index), y)
        for r in range(6)
    ]
    together = ~right(patches, parse(name, **settings, seed=3, restarts=6).attack(patches, x, y, index), y)
    assert alone[0].sum() < together.sum() < len(x), "restarts should matter here, and not break everything"
    assert torch.equal(together, torch.stack(alone).any(dim=0))


def test_images_that_are_broken_already_are_not_attacked_again(patches, batch):
    x, y, index = batch
    y = torch.where(torch.arange(len(y)) < 30, (patches(x).argmax(dim=1) + 1) % 10, y)  # 30 are wrong from the start
    standing = int((patches(x).argmax(dim=1) == y).sum())
    seen = []

    def counting(z):
        seen.append(len(z))
        return patches(z)

    parse("pgd3", eps=1e-5, restarts=2).attack(counting, x, y, index)
    assert seen[:4] == [40] * 4
    assert 0 < standing <= 10
    assert seen[4:] == [standing] * 3


@pytest.mark.parametrize("settings", [{}, {"norm": "l2"}, {"norm": "l2", "eps": 3.0, "restarts": 2}, {"eps": 1.0}])
@pytest.mark.parametrize("name", ["pgd5", "pgd5-any"])
def test_images_stay_in_the_threat_model(name, settings, patches, batch):
    x, y, index = batch
    protocol = parse(name, **settings)
    delta = (protocol.attack(patches, x, y, index) - x).double().flatten(1)
    size = delta.abs().amax(dim=1) if protocol.threat.norm == "linf" else delta.norm(dim=1)
    assert (size <= protocol.threat.eps * (1 + 1e-6) + 1e-6).all()
    assert size.max() > protocol.threat.eps / 4


def test_verdicts_belong_to_images_not_to_batches(patches, batch):
    x, y, index = batch
    whole = parse("pgd5", restarts=2).attack(patches, x, y, index)
    part = parse("pgd5", restarts=2).attack(patches, x[8:24], y[8:24], index[8:24])
    assert torch.allclose(whole[8:24], part, atol=1e-6)


# Half precision.


def test_a_search_in_half_precision_is_nearly_the_same(patches, batch):
    x, y, index = batch
    single = parse("pgd10").attack(patches, x, y, index)
    half = parse("pgd10", search="bf16").attack(patches, x, y, index)
    assert half.dtype == torch.float32
    assert not torch.equal(half, single)
    assert (half != single).float().mean() < 0.2
    assert (right(patches, half, y) != right(patches, single, y)).sum() <= 1


def test_an_iterate_counts_if_it_is_misclassified_in_single_precision(batch):
    x, y, index = batch
    torch.manual_seed(0)
    layers = torch.nn.Conv2d(3, 16, 8, 8), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(256, 10)
    model = torch.nn.Sequential(*layers).eval().requires_grad_(False)
    y = model(x).argmax(dim=1)

    def liar(z):
        """Wrong about everything, but only in half precision."""
        return -model(z) if torch.is_autocast_enabled("cpu") else model(z)

    settings = {"eps": 1e-4, "step_size": 5e-5, "search": "bf16"}
    found = parse("pgd5-any", **settings).attack(liar, x, y, index)
    *_, last = iterates(model, x, y, ThreatModel("linf", 1e-4).random_start(x, index, 0), 5, 1e-4, 5e-5)
    assert right(model, found, y).all()
    assert (found - x).abs().amax() > 5e-5, "or it stopped at the first step"
    assert found.shape == last.shape


# What is decided leaves.


def test_images_that_an_iterate_breaks_leave_the_batch(patches, batch):
    x, y, index = batch
    eps, step = 2 / 255, 0.2 / 255
    sizes = []

    def counting(z):
        sizes.append(len(z))
        return patches(z)

    parse("pgd10-any", eps=eps, step_size=step, seed=2).attack(counting, x, y, index)
    start, expected, standing = ThreatModel("linf", eps).random_start(x, index, 2), [len(x)], torch.ones_like(y) > 0
    for z in iterates(patches, x, y, start, 9, eps, step):
        expected.append(int(standing.sum()))
        standing &= right(patches, z, y)
    assert sizes == expected
    assert sizes[-1] < sizes[0]


@pytest.mark.parametrize("name", ["pgd3", "pgd3-any"])
def test_a_gradient_that_is_no_number_is_a_sentence(name, patches, batch):
    x, y, index = batch

    def broken(z):
        """Like `patches`, with a gradient of NaN at the third image: the root has an infinite slope at 0."""
        logits = patches(z)
        if len(z) == len(x):
            logits[2] = logits[2] + (0 * z[2].sum()).sqrt()
        return logits

    with pytest.raises(AdvssError, match="NaN or infinite for 1 of 40 images, which makes none of them robust"):
        parse(name, eps=1e-4).attack(broken, x, y, index)
