"""The table against what the authors' README prints."""

from __future__ import annotations

import pytest

from advss_zoo.attacks.kang2019 import attacks
from advss_zoo.attacks.kang2019.calibration import CIFAR10

README = {
    "linf": (91.0, 87.8, 81.6, 71.3, 46.5, 23.1),
    "l2": (90.1, 86.4, 79.6, 67.3, 49.9, 17.3),
    "l1": (92.2, 90.0, 83.2, 73.8, 47.4, 35.3),
    "jpeg-linf": (89.7, 87.0, 83.1, 78.6, 69.7, 35.4),
    "jpeg-l1": (91.4, 88.1, 80.2, 68.9, 56.3, 37.7),
    "elastic": (87.4, 81.3, 72.1, 58.2, 45.4, 27.8),
}


def test_every_attack_has_six_growing_strengths():
    assert set(CIFAR10) == set(attacks())
    for calibration in CIFAR10.values():
        assert len(calibration.eps) == 6
        assert list(calibration.eps) == sorted(calibration.eps)


def test_reference_accuracies_are_those_of_the_readme():
    for name, printed in README.items():
        assert CIFAR10[name].ata == pytest.approx(printed, abs=0.0501)
    assert {name for name in CIFAR10 if CIFAR10[name].ata is None} == {"fog", "gabor", "snow"}
