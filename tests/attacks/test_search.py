"""A search in half precision: what it changes, and that nothing counts as wrong in half precision alone."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from advss_zoo.attacks.search import Search, describe


class Liar(nn.Module):
    """The first class in float32, and within autocast the one after that which `lies` names."""

    def __init__(self, lies):
        super().__init__()
        self.lies = torch.tensor(lies)
        self.asked = []

    def forward(self, x):
        half = torch.is_autocast_enabled("cpu")
        self.asked.append((half, len(x)))
        says = self.lies[: len(x)] if half else torch.zeros(len(x), dtype=torch.long)
        return 2.0 * torch.nn.functional.one_hot(says, 3) + x.flatten(1).mean(dim=1, keepdim=True)


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 10)).eval()


def test_single_precision_is_the_network_itself():
    model, x, y = network(), torch.rand(4, 3, 8, 8), torch.arange(4)
    assert torch.equal(Search(model)(x), model(x))
    assert torch.equal(Search(model).verified_logits(x, y), model(x))
    assert (describe("fp32"), describe("bf16")) == ([], ["bf16 search"])


def test_half_precision_is_used_and_ends_before_the_last_layer():
    model, x = network(), torch.rand(4, 3, 8, 8)
    seen = {}
    for layer in (0, 4):
        model[layer].register_forward_hook(lambda _, __, output, layer=layer: seen.update({layer: output.dtype}))
    logits = Search(model, "bf16")(x)
    assert seen == {0: torch.bfloat16, 4: torch.float32}
    assert logits.dtype == torch.float32
    with torch.no_grad():
        assert 0 < (logits - model(x)).abs().max() < 0.01
    assert model(x).dtype == torch.float32


def test_linear_maps_of_many_vectors_an_image_stay_in_half_precision():
    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.mix = nn.Linear(8, 8)

        def forward(self, x):
            tokens = self.mix(x.flatten(2))
            seen.append(tokens.dtype)
            return tokens.mean(dim=1)

    seen = []
    Search(Tokens(), "bf16")(torch.rand(2, 3, 2, 4))
    assert seen == [torch.bfloat16]


def test_what_is_wrong_in_half_precision_is_asked_again():
    model, x = Liar([0, 1, 2, 0]), torch.rand(4, 3, 2, 2)
    logits = Search(model, "bf16").verified_logits(x, torch.tensor([0, 0, 0, 1]))
    assert logits.argmax(dim=1).tolist() == [0, 0, 0, 0]
    assert model.asked == [(True, 4), (False, 3)]
    assert Search(model, "bf16")(x).argmax(dim=1).tolist() == [0, 1, 2, 0]


@pytest.mark.parametrize("among", [[False] * 4, [True, False, False, False]])
def test_only_where_it_counts(among, *_):
    model, x = Liar([0, 1, 2, 0]), torch.rand(4, 3, 2, 2)
    logits = Search(model, "bf16").verified_logits(x, torch.zeros(4, dtype=torch.long), torch.tensor(among))
    assert logits.argmax(dim=1).tolist() == [0, 1, 2, 0]
    assert model.asked == [(True, 4)]


def test_values_are_confirmed_and_slopes_are_those_of_the_search():
    model, x = network(), torch.rand(4, 3, 8, 8)
    wrong = (model(x).argmax(dim=1) + 1) % 10
    search, z = Search(model, "bf16"), x.clone().requires_grad_()
    confirmed = search.verified_logits(z, wrong)
    with torch.no_grad():
        assert torch.equal(confirmed, model(x))
    (gradient,) = torch.autograd.grad(confirmed[:, 3].sum(), z)
    again = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(search(again)[:, 3].sum(), again)
    assert torch.allclose(gradient, expected)
    exact = x.clone().requires_grad_()
    (single,) = torch.autograd.grad(model(exact)[:, 3].sum(), exact)
    assert 0 < (expected - single).norm() < 0.02 * single.norm()


def test_it_works_for_losses():
    model, x = network(), torch.rand(4, 3, 8, 8).requires_grad_()
    loss = cross_entropy(Search(model, "bf16")(x), torch.arange(4))
    assert torch.autograd.grad(loss, x)[0].dtype == torch.float32
