"""Adversarially robust classifiers: a zoo of checkpoints, the recipes that make them, and sound attacks.

    import advss_zoo
    model = advss_zoo.load_model("p1f4")     # images (B,3,H,W) in [0,1] -> logits (B,K)
    images, labels = advss_zoo.load_data("cifar10-1k", limit=64)
    x_adv = advss_zoo.attacks.pgd(model, images, labels, eps=8 / 255, steps=20)

Importing this package imports neither torch nor numpy; the functions do when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from advss_zoo.version import __version__

if TYPE_CHECKING:
    from advss_zoo import attacks
    from advss_zoo.data.load import load_data
    from advss_zoo.evaluation.frames import results_frame
    from advss_zoo.models.model import Model
    from advss_zoo.workflows.check import check_data
    from advss_zoo.workflows.claim import claim
    from advss_zoo.workflows.diagnose import diagnose
    from advss_zoo.workflows.evaluate import evaluate
    from advss_zoo.workflows.export import export
    from advss_zoo.workflows.finetune import finetune, plan_finetuning
    from advss_zoo.workflows.predict import predict
    from advss_zoo.workflows.publish import publish
    from advss_zoo.workflows.pull import pull
    from advss_zoo.workflows.report import report
    from advss_zoo.workflows.reproduce import reproduce
    from advss_zoo.workflows.suite import plan_suite, suite
    from advss_zoo.workflows.train import plan_training, train
    from advss_zoo.workflows.verify import verify
    from advss_zoo.zoo.index import list_models
    from advss_zoo.zoo.load import load_trunk
    from advss_zoo.zoo.open import open_model as load_model


__all__ = [
    "Model",
    "__version__",
    "attacks",
    "check_data",
    "claim",
    "diagnose",
    "evaluate",
    "export",
    "finetune",
    "list_models",
    "load_data",
    "load_model",
    "load_trunk",
    "plan_finetuning",
    "plan_suite",
    "plan_training",
    "predict",
    "publish",
    "pull",
    "report",
    "reproduce",
    "results_frame",
    "suite",
    "train",
    "verify",
]

_LAZY = {  # where each is defined, and by what name
    "Model": ("advss_zoo.models.model", "Model"),
    "check_data": ("advss_zoo.workflows.check", "check_data"),
    "claim": ("advss_zoo.workflows.claim", "claim"),
    "diagnose": ("advss_zoo.workflows.diagnose", "diagnose"),
    "evaluate": ("advss_zoo.workflows.evaluate", "evaluate"),
    "export": ("advss_zoo.workflows.export", "export"),
    "finetune": ("advss_zoo.workflows.finetune", "finetune"),
    "list_models": ("advss_zoo.zoo.index", "list_models"),
    "load_data": ("advss_zoo.data.load", "load_data"),
    "load_model": ("advss_zoo.zoo.open", "open_model"),
    "load_trunk": ("advss_zoo.zoo.load", "load_trunk"),
    "plan_finetuning": ("advss_zoo.workflows.finetune", "plan_finetuning"),
    "plan_suite": ("advss_zoo.workflows.suite", "plan_suite"),
    "plan_training": ("advss_zoo.workflows.train", "plan_training"),
    "predict": ("advss_zoo.workflows.predict", "predict"),
    "publish": ("advss_zoo.workflows.publish", "publish"),
    "pull": ("advss_zoo.workflows.pull", "pull"),
    "report": ("advss_zoo.workflows.report", "report"),
    "reproduce": ("advss_zoo.workflows.reproduce", "reproduce"),
    "results_frame": ("advss_zoo.evaluation.frames", "results_frame"),
    "suite": ("advss_zoo.workflows.suite", "suite"),
    "train": ("advss_zoo.workflows.train", "train"),
    "verify": ("advss_zoo.workflows.verify", "verify"),
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        module, defined = _LAZY[name]
        return getattr(importlib.import_module(module), defined)
    if name == "attacks":
        return importlib.import_module("advss_zoo.attacks")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
