"""What the evidence on each image says beside TA and RA: the attacks one by one, and signs that an RA is too high.

Everything is derived from the protocol's constants and the verdicts, so that anyone can derive it again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from advss_zoo.errors import AdvssError
from advss_zoo.evaluation.verdicts import Verdicts

# Evidence on an image, each an int8 array (n,) in verdicts.npz.
BROKEN_BY = "broken_by"  # place of the attack that broke it, -1 where none did or none was needed
UNCONFIRMED = "unconfirmed"  # how many attacks claimed to have broken it and had not
ZERO_GRADIENT = "zero_gradient"  # 1 where the gradient of the cross-entropy at the clean image is exactly 0
RIGHT_8BIT = "right_8bit"  # 1 where the adversarial image, rounded to 8 bit, is classified correctly

BLACK_BOX = "square"
# How much Square may take off RA before the authors of AutoAttack doubt the attacks before it (their flags_doc.md).
SUSPICIOUS = 0.002


def derive(protocol: Mapping[str, Any], verdicts: Verdicts) -> dict[str, Any] | None:
    """The `details` of a result whose protocol has these constants; None where there is no evidence for any.

    Raises:
        AdvssError: the evidence contradicts the predictions.
    """
    evidence, details = verdicts.evidence, {}
    if BROKEN_BY in evidence:
        details.update(_attacks([attack["name"] for attack in protocol.get("attacks", [])], verdicts))
    if UNCONFIRMED in evidence:
        details["unconfirmed"] = int(evidence[UNCONFIRMED].sum())
    if ZERO_GRADIENT in evidence:
        details["zero_gradients"] = float(evidence[ZERO_GRADIENT].mean())
    if RIGHT_8BIT in evidence:
        details["ra_8bit"] = float((verdicts.right & (evidence[RIGHT_8BIT] == 1)).mean())
    return details or None


def _attacks(names: list[str], verdicts: Verdicts) -> dict[str, Any]:
    broken_by, n = verdicts.evidence[BROKEN_BY], len(verdicts)
    fell = verdicts.right & (verdicts.attacked_prediction != verdicts.label)
    if not (np.array_equal(broken_by >= 0, fell) and broken_by.max() < len(names)):
        raise AdvssError("The verdicts contradict themselves: images are broken by no attack, or by one that missed.")
    broken = [int((broken_by == place).sum()) for place in range(len(names))]
    standing = verdicts.ta_hits - np.cumsum(broken)
    found: dict[str, Any] = {
        "attacks": [
            {"name": name, "broken": hits, "accuracy": int(left) / n}
            for name, hits, left in zip(names, broken, standing, strict=True)
        ]
    }
    if BLACK_BOX in names[1:]:
        found["black_box_beats_white_box"] = broken[names.index(BLACK_BOX)] / n > SUSPICIOUS
    return found


def cautions(details: Mapping[str, Any] | None) -> list[str]:
    """What a reader should know before believing in a robust accuracy, a sentence each."""
    details = details or {}
    found = []
    if zero := details.get("zero_gradients"):
        found.append(f"{zero:.1%} of the images have a gradient of exactly 0, which leads no attack anywhere.")
    if details.get("black_box_beats_white_box"):
        hits = next(attack["broken"] for attack in details["attacks"] if attack["name"] == BLACK_BOX)
        found.append(
            f"Square, which uses no gradient, broke {hits:,} of the images that withstood the gradient attacks."
        )
    if found:
        found.append("The gradients may be masked and RA too high: try an attack that is adapted to this model.")
    if claims := details.get("unconfirmed"):
        found.append(f"{claims:,} times an attack claimed a success that was none; such images count as standing.")
    return found
