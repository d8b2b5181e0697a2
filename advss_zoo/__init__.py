"""Adversarially robust classifiers: a zoo of checkpoints, the recipes that make them, and sound attacks.

    import advss_zoo
    model = advss_zoo.load_model("p1f4")     # images (B,3,H,W) in [0,1] -> logits (B,K)

Importing this package imports neither torch nor numpy; the functions do when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from advss_zoo.evaluation.frames import results_frame
    from advss_zoo.evaluation.runner import evaluate
    from advss_zoo.zoo.load import load_model, load_trunk

__version__ = "0.1.0"
__all__ = ["__version__", "evaluate", "list_models", "load_model", "load_trunk", "results_frame"]

_LAZY = {
    "evaluate": "advss_zoo.evaluation.runner",
    "load_model": "advss_zoo.zoo.load",
    "load_trunk": "advss_zoo.zoo.load",
    "results_frame": "advss_zoo.evaluation.frames",
}


def list_models() -> list[str]:
    """The full names of all checkpoints of the zoo."""
    from advss_zoo.zoo import index

    return [entry.full_name for entry in index.entries()]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
