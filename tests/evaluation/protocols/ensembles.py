"""Small ensembles, images for them, and PGD written out: what the tests of `transfer` and `ensemble-worst` share."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from evaluation.conftest import patches, pictures
from torch import nn

from advss_zoo.evaluation.protocols import parse
from advss_zoo.models.ensemble import Ensemble
from advss_zoo.threat import ThreatModel

EPS, STEP, STEPS = 2 / 255, 1 / 255, 5
NAMES = ("a.mini", "b.mini", "c.mini")


def quick(name, **settings):
    """The protocol with five steps, after which each loss has broken other images of `data`."""
    return replace(parse(name, **{"eps": EPS, "step_size": STEP, **settings}), steps=STEPS)


def members(count: int = 3) -> list[nn.Module]:
    """Nets that have little in common but that they are sure, the last of them most."""
    found = [patches(seed) for seed in range(count)]
    for place, model in enumerate(found):
        for weight in model[3].parameters():
            weight.data *= 20 + 10 * place
    return found


def ensemble(count: int = 3) -> Ensemble:
    return Ensemble(members(count), NAMES if count == 3 else None).eval()


def data(model, n=72):
    """A pass of 64 images and one of 8, and labels that the ensemble mostly gives them: x, y (N,)."""
    x = torch.from_numpy(pictures(n).images).float() / 255
    y = probabilities(model.members, x).argmax(1)
    y[::9] = (y[::9] + 1) % 10
    return x, y


def plain_pgd(loss, x, steps=STEPS):
    """The last iterate, all images in one batch: random start, sign of the gradient, ball, box."""
    z = ThreatModel("linf", EPS).random_start(x, torch.arange(len(x)), seed=0)
    for _ in range(steps):
        z = z.detach().requires_grad_()
        (g,) = torch.autograd.grad(loss(z), z)
        z = torch.clip(torch.min(torch.max(z.detach() + STEP * torch.sign(g), x - EPS), x + EPS), 0, 1)
    return z.detach()


def probabilities(models, x):
    """The ensemble's prediction by its definition, the plain mean (B,K)."""
    return torch.from_numpy(np.mean([model(x).softmax(1).detach().numpy() for model in models], axis=0))


class Kill(BaseException):
    pass


def killed_before(part):
    """A progress that ends the process when a part of the second pass is begun."""

    def progress(done, total, begun):
        if begun == part and done == 64:
            raise Kill

    return progress


def counted(model):
    """How many images have gone through each member of an ensemble for their gradient from now on, a list."""
    seen = [0] * len(model.members)

    def hook(place, inputs):
        seen[place] += inputs[0].requires_grad * len(inputs[0])

    for place, member in enumerate(model.members):
        member.register_forward_pre_hook(lambda _, inputs, place=place: hook(place, inputs))
    return seen
