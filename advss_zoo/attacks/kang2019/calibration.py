"""Strengths and reference accuracies of Kang et al. 2019.

Source: github.com/ddkang/advex-uar, `analysis/calibrations/cifar-10/calibs.out` (ResNet-56, 200 steps; the README has
the same, rounded, without JPEG-L2). The strengths of L1 are those there times 3072, as in the README. For Fog, Gabor
and Snow there is no calibration for CIFAR-10: their strengths are those for ImageNet-100 at 224x224.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Calibration:
    """
    eps: the six strengths, weakest first, in the attack's own unit.
    ata: for each the accuracy in percent of the best network that was trained against this very attack; None where
        nobody has measured it.
    """

    eps: tuple[float, ...]
    ata: tuple[float, ...] | None = None


CIFAR10 = {
    "linf": Calibration((1, 2, 4, 8, 16, 32), (90.95, 87.80, 81.59, 71.34, 46.50, 23.11)),
    "l2": Calibration((40, 80, 160, 320, 640, 2560), (90.06, 86.40, 79.60, 67.26, 49.89, 17.27)),
    "l1": Calibration((195, 390, 780, 1560, 6240, 24960), (92.23, 90.02, 83.24, 73.83, 47.36, 35.33)),
    "jpeg-linf": Calibration((1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1), (89.75, 87.03, 83.12, 78.56, 69.71, 35.42)),
    "jpeg-l2": Calibration((0.25, 0.5, 1, 2, 4, 8), (92.18, 90.99, 88.42, 85.84, 81.25, 71.98)),
    "jpeg-l1": Calibration((2, 8, 64, 256, 512, 1024), (91.42, 88.06, 80.21, 68.86, 56.33, 37.68)),
    "elastic": Calibration((0.125, 0.25, 0.5, 1, 2, 8), (87.38, 81.26, 72.09, 58.22, 45.45, 27.85)),
    "fog": Calibration((128, 256, 512, 2048, 4096, 8192)),
    "gabor": Calibration((6.25, 12.5, 25, 400, 800, 1600)),
    "snow": Calibration((0.0625, 0.125, 0.25, 2, 4, 8)),
}
