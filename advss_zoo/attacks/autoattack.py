"""The attacks of AutoAttack (Croce and Hein 2020; in l1 2021), as their authors publish them.

The attacks themselves are in the package `pyautoattack`, which is `autoattack` where it was installed from its
repository. This is what a caller would have to know about them: which run on how many classes, the constants of the
"standard" version, and what they do to the process around them or cannot take from a model.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from advss_zoo.errors import AdvssError
from advss_zoo.models.precision import at_least_float32

PACKAGES = ("pyautoattack", "autoattack")
NORMS = {"linf": "Linf", "l2": "L2", "l1": "L1"}

# The fewest classes that an attack can run on: the difference of logits ratio needs the third largest logit, its
# targeted version the fourth.
FEWEST_CLASSES = {"apgd-ce": 2, "apgd-dlr": 3, "apgd-t": 4, "fab-t": 2, "square": 2}
STANDARD = ("apgd-ce", "apgd-t", "fab-t", "square")
REDUCED = {2: ("apgd-ce", "fab-t", "square"), 3: ("apgd-ce", "apgd-dlr", "fab-t", "square")}


def suite(classes: int) -> tuple[str, ...]:
    """The attacks of AutoAttack for so many classes (at least 2), in the order in which they run."""
    return REDUCED.get(classes, STANDARD)


def constants(name: str, norm: str, classes: int, iterations: int, queries: int) -> dict[str, Any]:
    """What the authors' class for an attack is called with, beside model, norm, eps and seed.

    The "standard" version, except that there are no more targets than other classes, and that on two classes, where
    apgd-t is missing, apgd-ce starts five times.
    """
    l1 = norm == "l1"
    if name == "square":
        return {"n_queries": queries, "n_restarts": 1, "p_init": 0.8, "resc_schedule": False}
    if name == "fab-t":
        return {"n_iter": iterations, "n_restarts": 1, "n_target_classes": min(9, classes - 1), "targeted": True}
    apgd = {"n_iter": iterations, "n_restarts": 1, "eot_iter": 1, "rho": 0.75, "use_largereps": l1}
    if name == "apgd-t":
        return {**apgd, "n_target_classes": min(5 if l1 else 9, classes - 1)}
    return {**apgd, "n_restarts": 5 if l1 or classes == 2 else 1, "loss": name.removeprefix("apgd-")}


def implementation() -> str:
    """The package and its version: "pyautoattack 0.2.0".

    Raises:
        AdvssError: it is not installed.
    """
    package = _package()
    return f"{package} {version(package)}"


def run(
    name: str,
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    norm: str,
    eps: float,
    seed: int,
    constants: dict[str, Any],
) -> Tensor:
    """Images (B,C,H,W) that one attack says to be misclassified; where it found none, those of x.

    What comes out depends on the whole batch: the attacks draw from one stream of random numbers, and Square moves the
    same window over all images.

    Args:
        model: in evaluation mode.
        x: correctly classified images (B,C,H,W) in [0,1].
        y: their labels (B,).
        constants: what `constants` returns.
    """
    attack = _attack_class(name)(
        _shielded(model), norm=NORMS[norm], eps=eps, seed=seed, device=x.device, verbose=False, **constants
    )
    generators = [x.device] if x.device.type == "cuda" else []
    # The attacks seed torch's own generators, and warn of gradients that are 0, which an evaluation counts itself.
    with torch.random.fork_rng(generators), warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        found: Tensor = attack.perturb(x, y)
    return found.detach().clamp(0, 1)  # Square in l1 ends up to 5e-7 outside; clipping brings nothing farther from x


def _shielded(model: nn.Module) -> Callable[[Tensor], Tensor]:
    """`model` as the attacks can take it.

    They call `view` on gradients, which weights in channels-last order make impossible, and write -inf into logits,
    which need not be half precision.
    """

    def logits(x: Tensor) -> Tensor:
        x = x.view_as(x)
        if x.requires_grad:
            x.register_hook(Tensor.contiguous)
        return at_least_float32(model(x))

    return logits


def _attack_class(name: str) -> Any:
    module, attribute = {
        "apgd-t": ("autopgd_base", "APGDAttack_targeted"),
        "fab-t": ("fab_pt", "FABAttack_PT"),
        "square": ("square", "SquareAttack"),
    }.get(name, ("autopgd_base", "APGDAttack"))
    return getattr(importlib.import_module(f"{_package()}.{module}"), attribute)


def _package() -> str:
    for package in PACKAGES:
        if find_spec(package) is not None:
            return package
    raise AdvssError("The attacks of AutoAttack are not installed.", "Type: pip install pyautoattack")
