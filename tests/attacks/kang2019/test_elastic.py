"""Flow, smoothing and sampling against scipy.ndimage."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from advss_zoo.attacks.kang2019.elastic import Elastic, gaussian


def make(x, eps=1.0):
    return Elastic(x, eps=eps, index=torch.arange(len(x)), seed=0)


def test_zero_flow_is_the_identity():
    x = torch.rand(2, 3, 32, 32)
    attack = make(x)
    assert torch.allclose(attack.images(torch.zeros_like(attack.start())), x, atol=1e-5)


def test_a_constant_flow_moves_the_image():
    """A published pixel is 31/32 of the distance of two; what comes in from outside is black."""
    x = torch.rand(1, 3, 32, 32)
    attack = make(x)
    v = torch.zeros_like(attack.start())
    v[:, 0] = 32 / 31
    moved = attack.images(v)
    assert torch.allclose(moved[..., :-1], x[..., 1:], atol=1e-4)
    assert torch.allclose(moved[..., -1], torch.zeros(()), atol=1e-4)


@pytest.mark.parametrize("eps", [0.5, 8])
def test_equals_scipy(eps):
    x = torch.rand(1, 3, 32, 32)
    attack = make(x, eps)
    v = attack.start()
    images = attack.images(v)[0]
    smooth = [
        ndimage.gaussian_filter(flow, 3 * 32 / 224, mode="mirror", radius=2) for flow in v[0].double().numpy() * 31 / 32
    ]
    rows, columns = np.mgrid[:32, :32]
    places = np.stack([rows + smooth[1], columns + smooth[0]])
    for colour in range(3):
        expected = ndimage.map_coordinates(x[0, colour].double().numpy(), places, order=1, mode="grid-constant")
        assert np.allclose(images[colour], expected, atol=1e-4)


@pytest.mark.parametrize(("side", "length"), [(32, 5), (224, 25)])
def test_the_published_windows(side, length):
    window = gaussian(3 * side / 224)
    assert window.shape == (length,)
    assert window.sum() == pytest.approx(1)
    ratio = window[length // 2 + 1] / window[length // 2]
    assert ratio == pytest.approx(np.exp(-0.5 / (3 * side / 224) ** 2), rel=1e-5)
