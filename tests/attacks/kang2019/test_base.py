"""What must hold for every attack that is registered, on a small smooth model."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from advss_zoo.attacks.kang2019 import attacks, find
from advss_zoo.attacks.kang2019.calibration import CIFAR10
from advss_zoo.attacks.kang2019.regions import TOLERANCE
from advss_zoo.errors import AdvssError, UsageError

NAMES = sorted(attacks())
INDEX = torch.tensor([5, 0, 700, 2**40])
Y = torch.arange(4)
MULTIPLES = {"jpeg-linf": 16, "jpeg-l2": 16, "jpeg-l1": 16, "snow": 32}

every_attack = pytest.mark.parametrize("name", NAMES)


@pytest.fixture(scope="module")
def loss():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 5, 2), nn.Softplus(), nn.Conv2d(8, 8, 5, 2), nn.Flatten(), nn.LazyLinear(4))
    model(torch.zeros(1, 3, 32, 32))
    model.requires_grad_(False)
    return lambda images: cross_entropy(5 * model(images), Y[: len(images)], reduction="sum")


@pytest.fixture(scope="module")
def x():
    """A third of the values at the ends of the box, one image black, one white."""
    images = (torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 3 - 1).clamp(0, 1)
    images[1], images[2] = 0, 1
    return images


def perturb(name, loss, x, index=INDEX, seed=3, steps=3, eps=None, **settings):
    eps = CIFAR10[name].eps[3] if eps is None else eps
    return find(name).perturb(loss, x, eps=eps, index=index, seed=seed, steps=steps, **settings)


def test_all_ten_are_found():
    assert len(NAMES) == 10
    assert all(attacks()[name].name == name for name in NAMES)
    with pytest.raises(UsageError, match="did you mean jpeg-linf"):
        find("jpeg-lin")


@every_attack
@pytest.mark.parametrize("strength", [0, 5])
def test_images_stay_in_range_and_variables_in_their_region(name, strength, loss, x):
    eps = CIFAR10[name].eps[strength]
    found = perturb(name, loss, x, eps=eps)
    assert found.shape == x.shape
    assert not found.requires_grad
    assert ((found >= 0) & (found <= 1)).all()
    attack = find(name)(x, eps=eps, index=INDEX, seed=3)
    v = attack.search(loss, 3, attack.step_size(eps, 3))
    assert (attack.region.size(v) <= 1 + TOLERANCE).all()
    assert torch.equal(attack.images(v).clamp(0, 1), found)


@every_attack
def test_variables_outside_are_seen(name, x):
    """From the start, many large steps without a projection lead out."""
    attack = find(name)(x, eps=CIFAR10[name].eps[0], index=INDEX, seed=0)
    assert (attack.region.size(attack.start() + 1e3) > 2).all()
    assert not (attack.region.size(attack.start() * torch.nan) <= 1).any()


@every_attack
def test_the_loss_rises(name, loss, x):
    attack = find(name)(x, eps=CIFAR10[name].eps[3], index=INDEX, seed=3)
    clipped = attack.images(attack.start()).clamp(0, 1)
    found = perturb(name, loss, x, steps=8)
    assert loss(found) > loss(clipped)


@every_attack
def test_a_result_belongs_to_seed_and_image(name, x):
    together = perturb(name, lambda images: images.square().sum(), x)
    order = torch.tensor([3, 1])
    apart = perturb(name, lambda images: images.square().sum(), x[order], INDEX[order])
    assert torch.allclose(apart, together[order], atol=1e-6)

    def start(index, seed):
        attack = find(name)(x, eps=CIFAR10[name].eps[3], index=index, seed=seed)
        return attack.images(attack.start())

    for other in (start(INDEX, 4), start(INDEX + 1, 3)):
        different = ~torch.isclose(other, start(INDEX, 3)).flatten(1).all(dim=1)
        assert different[[0, 3]].all()  # nothing can be seen of some attacks on black and white images


@every_attack
def test_a_gradient_of_zero_does_no_harm(name, x):
    found = perturb(name, lambda images: (images * 0).sum(), x)
    assert torch.isfinite(found).all()


@every_attack
def test_a_gradient_that_is_not_a_number_is_an_error(name, x):
    with pytest.raises(AdvssError, match=f"NaN or infinite under {name}"):
        perturb(name, lambda images: (images * torch.nan).sum(), x)


@every_attack
def test_what_makes_no_sense_is_refused(name, loss, x):
    for wrong in ({"eps": 0}, {"eps": float("nan")}, {"steps": 0}, {"step_size": -1}):
        with pytest.raises(UsageError, match=r"must be (positive and finite|an integer of at least 1), got"):
            perturb(name, loss, x, **wrong)
    for shape in ((4, 1, 32, 32), (4, 3, 32)):
        with pytest.raises(UsageError, match=r"needs images of shape \(3, H, W\)"):
            perturb(name, loss, torch.rand(shape))


@pytest.mark.parametrize(("name", "multiple"), MULTIPLES.items())
def test_sides_that_do_not_divide_into_blocks_are_refused(name, multiple, loss):
    with pytest.raises(UsageError, match=f"multiples of {multiple}"):
        perturb(name, loss, torch.rand(4, 3, 32, 24))


@every_attack
def test_images_need_not_be_square(name):
    x = torch.rand(2, 3, 32, 64)
    assert perturb(name, lambda images: images.sum(), x, INDEX[:2]).shape == x.shape


def test_steps_are_the_published_ones():
    assert find("linf").step_size(8, 200) == pytest.approx(0.565685424949238)
    assert find("elastic").step_size(8, 200) == pytest.approx(0.565685424949238)
    for name in ("fog", "gabor", "snow"):
        assert find(name).step_size(8, 50) == pytest.approx(1 / (1000 * 200) ** 0.5, rel=1e-4)
