"""Unforeseen attack robustness (Kang et al. 2019) out of results at all six strengths of an attack."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from advss_zoo.attacks.unforeseen.calibration import CIFAR10, uar
from advss_zoo.evaluation.protocols.unforeseen import UNTARGETED
from advss_zoo.evaluation.results import Result


def scores(results: Iterable[Result]) -> dict[str, float]:
    """UAR by attack, as a fraction, of results on one model and data set.

    Attacks that were not measured at every strength are left out, and those for which there is no calibration: nobody
    has measured for Fog, Gabor and Snow how robust a network that was trained for them is, and for untargeted attacks
    no network at all.
    """
    measured: dict[str, dict[float, float]] = defaultdict(dict)
    for result in results:
        targeted = not result.protocol["name"].endswith(UNTARGETED)
        if targeted and result.ra is not None and (attack := result.protocol.get("attack")) in CIFAR10:
            measured[attack][result.protocol["strength"]] = 100 * result.ra
    return {
        attack: uar([accuracies[eps] for eps in calibration.eps], calibration)
        for attack, calibration in CIFAR10.items()
        if calibration.ata and (accuracies := measured[attack]).keys() >= set(calibration.eps)
    }
