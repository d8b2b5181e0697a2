"""Attacks on any classifier: images (B,C,H,W) in [0,1] and labels (B,) to adversarial images.

    x_adv = advss_zoo.attacks.pgd(model, images, labels, eps=8 / 255, steps=20)

They are in `functions`, which is imported (and torch with it) when one of them is first used; `bpda` wraps a step
that has no gradient.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from advss_zoo.attacks.approximation import bpda
    from advss_zoo.attacks.functions import apgd, autoattack, fab, fgsm, pgd, square, unforeseen

__all__ = ["apgd", "autoattack", "bpda", "fab", "fgsm", "pgd", "square", "unforeseen"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        module = "approximation" if name == "bpda" else "functions"
        return getattr(importlib.import_module(f"advss_zoo.attacks.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
