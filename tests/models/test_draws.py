"""A random model as the mean of draws: repeatable verdicts, fresh draws for an attack, no trace outside."""

from __future__ import annotations

import random

import numpy as np
import torch
from torch import nn

from advss_zoo.models.draws import MeanOfDraws


class Noisy(nn.Module):
    """Random in each of the ways that a model may be."""

    def forward(self, x):
        shift = torch.rand_like(x) + random.random() + torch.from_numpy(np.random.rand(len(x), 1)).float()
        return x * (1 + shift)


def test_the_output_is_the_log_of_the_mean_probability():
    x = torch.tensor([[0.3, 0.7], [2.0, -1.0]])
    torch.testing.assert_close(MeanOfDraws(nn.Identity(), 3)(x), x.log_softmax(dim=1))
    mean = MeanOfDraws(Noisy(), 64)(x).exp()
    torch.testing.assert_close(mean.sum(dim=1), torch.ones(2))


def test_verdicts_can_be_repeated_and_an_attack_gets_other_draws():
    model, x = MeanOfDraws(Noisy(), 2), torch.rand(4, 3)
    verdict = model(x)
    assert torch.equal(verdict, model(x))
    followed = model(x.clone().requires_grad_())
    assert not torch.equal(verdict, followed)
    assert not torch.equal(followed, model((x + 1e-6).requires_grad_()))
    assert torch.equal(followed, model(x.clone().requires_grad_()))


def test_random_numbers_outside_go_on_as_if_nothing_had_happened():
    def drawn() -> tuple[float, float, float]:
        return random.random(), np.random.rand(), torch.rand(1).item()

    def seeded() -> None:
        random.seed(1)
        np.random.seed(1)
        torch.manual_seed(1)

    seeded()
    expected = drawn()
    seeded()
    MeanOfDraws(Noisy(), 2)(torch.rand(2, 3, generator=torch.Generator().manual_seed(0)))
    assert drawn() == expected
