"""Kernels, contrast and mask, written out from their formulas."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.signal import correlate2d

from advss_zoo.attacks.kang2019.gabor import Gabor, equalised, kernels


def kernel(sides, sigma, frequency, angle):
    """One Gabor texture, pixel by pixel."""
    count, line = 1 + int(10 * sides), np.linspace(-0.5, 0.5, 23)
    out = np.zeros((23, 23))
    for row, y in enumerate(line):
        for column, x in enumerate(line):
            for side in range(count):
                theta = np.pi * angle + np.pi * side / count
                along, across = x * np.cos(theta) + y * np.sin(theta), -x * np.sin(theta) + y * np.cos(theta)
                width = 0.1 + 0.3 * sigma + 1e-3
                envelope = np.exp(-0.5 * (along**2 / width**2 + across**2 / width**2))
                out[row, column] += envelope * np.cos(2 * np.pi * (3 + 2.75 * frequency) * along)
    return out


def equalised_by_fft(noise):
    """As published: the variance goes through a Fourier transform and back."""
    mean = noise.mean()
    deviation = np.sqrt(np.abs(np.fft.irfft2(np.fft.rfft2((noise - mean) ** 2), s=noise.shape)))
    out = mean + (noise - mean) * 1.001 / (0.001 + deviation / deviation.max())
    return (out - out.min()) / (out.max() - out.min())


def make(x, eps=25.0):
    return Gabor(x, eps=eps, index=torch.arange(len(x)), seed=0)


def test_kernels_follow_the_formula():
    numbers = torch.rand(4, 5)
    numbers[0, 0], numbers[0, 1] = 0, 0.9999  # 1 and 10 sides
    found = kernels(*numbers)
    for image in range(5):
        assert np.allclose(found[image], kernel(*numbers[:, image].tolist()), atol=1e-4)


def test_contrast_equals_the_way_through_the_fft():
    noise = torch.randn(3, 32, 32)
    found = equalised(noise)
    for image in range(3):
        assert np.allclose(found[image], equalised_by_fft(noise[image].double().numpy()), atol=1e-4)


def test_images_follow_the_formula():
    x = torch.rand(2, 3, 32, 32)
    attack = make(x)
    v = attack.start()
    images = attack.images(v)
    for image in range(2):
        filtered = correlate2d(v[image].double().numpy(), attack.kernels[image].double().numpy(), mode="same")
        expected = np.clip(x[image].numpy() + 25 / 255 * equalised_by_fft(filtered), 0, 1)
        assert np.allclose(images[image], expected, atol=1e-3)


def test_eps_0_is_the_identity():
    x = torch.rand(2, 3, 32, 32)
    attack = make(x, 0.0)
    assert torch.equal(attack.images(attack.start()), x)


def test_spikes_are_rare_and_erased_for_good():
    attack = make(torch.rand(64, 3, 32, 32))
    spikes = attack.start() != 0
    assert spikes.float().mean() == pytest.approx(1 / 14, rel=0.03)
    assert attack.start().abs().max() <= 1
    assert attack.start().std() / spikes.float().mean().sqrt() == pytest.approx(1 / 3**0.5, rel=0.03)
    assert torch.isinf(attack.region.size(attack.start())).all()
    v = attack.region.advance(attack.start(), torch.randn(64, 32, 32), 0, 0.1)
    assert torch.equal(v.abs(), 0.1 * (~spikes).float())
    assert torch.allclose(attack.region.size(v), torch.tensor(0.1, dtype=torch.float64))
