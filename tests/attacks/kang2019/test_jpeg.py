"""The whole of JPEG, forward and back, written out with scipy and loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.fft import dctn, idctn

from advss_zoo.attacks.kang2019.jpeg import CHROMA, LUMA, JpegL1, JpegL2, JpegLinf, inverse_dct
from advss_zoo.attacks.kang2019.regions import TOLERANCE

FORWARD = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
BACK = np.array([[1, 0, 1.402], [1, -0.344136, -0.714136], [1, 1.772, 0]])
OFFSET = np.array([0, 128, 128])


def jpeg(image, v):
    """One image (3,H,W) in [0,1] through the published pipeline, in double precision."""
    ycc = 255 * image.transpose(1, 2, 0).astype(float) @ FORWARD.T + OFFSET
    height, width = image.shape[1:]
    planes = [ycc[:, :, 0]]
    planes += [ycc[:, :, c].reshape(height // 2, 2, width // 2, 2).mean(axis=(1, 3)) for c in (1, 2)]
    number, decoded = 0, []
    for plane, table in zip(planes, (LUMA, CHROMA, CHROMA), strict=True):
        out = np.empty_like(plane)
        for row in range(0, plane.shape[0], 8):
            for column in range(0, plane.shape[1], 8):
                coefficients = dctn(plane[row : row + 8, column : column + 8] - 128, norm="ortho") / np.array(table)
                coefficients = (coefficients + v[number] / 2) * np.array(table)
                out[row : row + 8, column : column + 8] = idctn(coefficients, norm="ortho") + 128
                number += 1
        decoded.append(out)
    upsampled = [decoded[0], *(np.kron(plane, np.ones((2, 2))) for plane in decoded[1:])]
    rgb = (np.stack(upsampled, axis=-1) - OFFSET) @ BACK.T
    return rgb.clip(0, 255).transpose(2, 0, 1) / 255


def make(x, eps=1.0, kind=JpegLinf):
    return kind(x, eps=eps, index=torch.arange(len(x)), seed=0)


@pytest.mark.parametrize("scale", [0, 0.1, 3])
@pytest.mark.parametrize("shape", [(2, 3, 32, 32), (1, 3, 16, 48)])
def test_equals_the_pipeline(scale, shape):
    x = torch.rand(shape)
    attack = make(x)
    v = scale * torch.randn(attack.start().shape)
    images = attack.images(v)
    for image in range(len(x)):
        assert np.allclose(images[image], jpeg(x[image].numpy(), v[image].numpy()), atol=1e-5)


def test_1536_variables_for_images_of_cifar():
    assert make(torch.rand(2, 3, 32, 32)).start().shape == (2, 24, 8, 8)


def test_no_perturbation_is_the_identity_but_for_chroma():
    coarse = torch.rand(2, 3, 8, 8).repeat_interleave(2, 2).repeat_interleave(2, 3)
    gray = torch.rand(2, 1, 16, 16).expand(-1, 3, -1, -1)
    for x in (coarse, gray):
        attack = make(x)
        assert torch.allclose(attack.images(torch.zeros_like(attack.start())), x, atol=1e-5)


def test_the_inverse_transform_is_scipys():
    blocks = torch.randn(5, 8, 8)
    assert np.allclose(inverse_dct(blocks), idctn(blocks.numpy(), axes=(1, 2), norm="ortho"), atol=1e-5)


@pytest.mark.parametrize(("kind", "entry", "inside"), [(JpegLinf, 3, True), (JpegL2, 3, False), (JpegL1, 3, False)])
def test_coefficients_are_bounded_by_two_except_in_linf(kind, entry, inside):
    attack = make(torch.rand(1, 3, 16, 16), eps=100, kind=kind)
    v = torch.zeros_like(attack.start())
    v[0, 0, 0, 0] = entry
    assert bool(attack.region.size(v) <= 1) == inside
    assert attack.region.size(v / 2) == pytest.approx(entry / 200)


@pytest.mark.parametrize("eps", [8.0, 200.0])
def test_l1_steps_are_the_published_ones(eps):
    attack = make(torch.rand(1, 3, 16, 16), eps=eps, kind=JpegL1)
    v = attack.start()
    by_hand = v.flatten().double().numpy()
    for t, gradient in enumerate(torch.randn(5, *v.shape)):
        v = attack.region.advance(v, gradient, t, 0)
        assert attack.region.size(v) <= 1 + TOLERANCE
        vertex, left, g = np.zeros(384), eps, gradient.flatten().numpy()
        for entry in np.argsort(-np.abs(g)):
            reach = 2 - by_hand[entry] if g[entry] > 0 else 2 + by_hand[entry]
            move = min(max(reach, 0), left)
            vertex[entry], left = np.sign(g[entry]) * move, left - move
        by_hand = (by_hand + (vertex - by_hand) / (t + 1)).clip(-2, 2)
        assert np.allclose(v.flatten(), by_hand, atol=1e-5)
    assert v.abs().max() <= 1.01
