"""Unforeseen attack robustness (Kang et al. 2019) out of results at all six strengths of an attack."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence

from advss_zoo.attacks.kang2019.calibration import CIFAR10
from advss_zoo.data import catalogue
from advss_zoo.evaluation.protocols.unforeseen import UNTARGETED
from advss_zoo.evaluation.results import Result


def scores(results: Iterable[Result]) -> dict[str, float]:
    """Compute UAR by attack, as a fraction, of results on one model and data set; `score` says what is left out."""
    measured: dict[tuple[str, str], dict[float, float]] = defaultdict(dict)
    for result in results:
        targeted = not result.protocol.name.endswith(UNTARGETED)
        attack, strength = result.protocol.attack, result.protocol.strength
        if targeted and result.ra is not None and attack in CIFAR10 and strength is not None:
            measured[attack, result.data.name][strength] = result.ra
    return {
        attack: value
        for (attack, data), accuracies in measured.items()
        if (value := score(attack, data, [accuracies[eps] for eps in sorted(accuracies)])) is not None
    }


def score(attack: str, data: str, accuracies: Sequence[float]) -> float | None:
    """Compute UAR under one attack, as a fraction, from accuracies as fractions, weakest strength first.

    None where a strength is missing, or a calibration: nobody has measured for Fog, Gabor and Snow how robust a network
    is that was trained for them, for untargeted attacks no network at all, and for other data than CIFAR-10 neither.
    """
    calibration = CIFAR10.get(attack)
    if calibration is None or calibration.ata is None or len(accuracies) != len(calibration.eps):
        return None
    if data not in (catalogue.CIFAR10.name, catalogue.SUBSET):
        return None
    return math.fsum(100 * accuracy for accuracy in accuracies) / math.fsum(calibration.ata)
