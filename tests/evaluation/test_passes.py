"""How work is cut."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from advss_zoo import load_model
from advss_zoo.evaluation.passes import MOST_IMAGES, MOST_PIXELS, Padded, images_per_pass, pad_small_batches, search
from advss_zoo.models.model import unwrapped


@pytest.mark.parametrize(("side", "images"), [(4, 64), (28, 64), (32, 64), (33, 56), (64, 16), (96, 8), (224, 8)])
def test_larger_images_come_in_fewer(side, images):
    assert images_per_pass(side, side) == images_per_pass(side, side, "mps") == images


@pytest.mark.parametrize(("side", "images"), [(32, 512), (64, 512), (224, 64), (384, 16), (2000, 8)])
def test_on_a_gpu_in_more(side, images):
    assert images_per_pass(side, side, "cuda") == images


@given(st.integers(1, 600), st.integers(1, 600), st.sampled_from(sorted(MOST_IMAGES)))
def test_passes_are_whole_multiples_of_eight_and_bounded(height, width, device):
    images = images_per_pass(height, width, device)
    assert images % 8 == 0
    assert 8 <= images <= MOST_IMAGES[device]
    assert images == 8 or images * height * width <= MOST_PIXELS[device]


class Double(nn.Module):
    """Twice its input, and a note of the batches that it saw."""

    def __init__(self):
        super().__init__()
        self.batches = []

    def forward(self, x):
        self.batches.append(x.detach())
        return 2 * x


@given(st.integers(1, 70))
def test_a_batch_is_filled_up_with_its_own_images_from_the_start(n):
    x, double = torch.rand(n, 3), Double()
    assert torch.equal(Padded(double)(x), 2 * x)
    (seen,) = double.batches
    assert len(seen) % 8 == 0
    assert n <= len(seen) < n + 8
    assert torch.equal(seen, torch.cat([x] * 8)[: len(seen)])


@given(st.integers(1, 20))
def test_the_filling_has_no_part_in_gradients(n):
    x = torch.rand(n, 3, requires_grad=True)
    (gradient,) = torch.autograd.grad((Padded(Double())(x) * x.detach()).sum(), x)
    assert torch.equal(gradient, 2 * x.detach())


@given(st.integers(1, 70))
def test_a_search_fills_up_small_batches_alone(n):
    double = Double()
    searched = pad_small_batches(Padded(double))
    assert torch.equal(searched(torch.ones(n, 3)), torch.full((n, 3), 2.0))
    (seen,) = double.batches
    assert len(seen) == (n if n > 16 else -(-n // 8) * 8)
    assert pad_small_batches(double) is double


def test_searches_follow_a_fused_network_where_the_first_images_say_so():
    x, network = torch.rand(5, 3, 32, 32), unwrapped(load_model("p1f4.mini"))
    padded = pad_small_batches(Padded(network, first=x))
    assert isinstance(padded, Padded)
    followed = search(padded, "fp32").fused
    assert isinstance(followed, Padded)
    assert followed.up_to == padded.up_to
    torch.testing.assert_close(followed(x), network(x))
    assert search(padded, "fp32").fused is followed
    assert search(Padded(network), "fp32").fused is None
    assert search(Padded(Double(), first=x), "fp32").fused is None
    assert search(network, "fp32").fused is None


def test_output_that_is_no_tensor_is_handed_on():
    class Pair(nn.Module):
        def forward(self, x):
            return x, x

    assert isinstance(Padded(Pair())(torch.rand(3, 2)), tuple)
