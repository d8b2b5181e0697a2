"""The attacks of AutoAttack (Croce and Hein 2020; in l1 2021), as their authors publish them.

The attacks themselves are in the package `pyautoattack`, which is `autoattack` where it was installed from its
repository. This is what a caller would have to know about them: which run on how many classes, the constants of the
"standard" version, and what they do to the process around them or cannot take from a model.

Their code is driven, not copied. It moves all images of a run to the end of it; the network it is given here leaves out
those that are broken already (`_Standing`), and a run in which none is left ends there. That changes no random number,
and what falls to their code falls here, rounding aside. But any point that the network is asked at counts, so that more
may fall: in l1 points inside the ball on the way through larger ones, which are for starts alone in their APGD, and
points that FAB steps back to, which are for gradients alone in theirs. What is returned is the first adversarial image
found instead of the last. For Square the network computes what a square changes, where it can (`_Squares`).
"""

from __future__ import annotations

import importlib
import math
import warnings
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from advss_zoo.attacks.pgd import check_finite_gradient
from advss_zoo.attacks.search import Network, Precision, Search
from advss_zoo.errors import AdvssError
from advss_zoo.models.local import Local, LocalEnsemble, Window, remember, suits
from advss_zoo.models.precision import at_least_float32

PACKAGES = ("pyautoattack", "autoattack")
NORMS = {"linf": "Linf", "l2": "L2", "l1": "L1"}

# The fewest classes that an attack can run on: the difference of logits ratio needs the third largest logit, its
# targeted version the fourth.
FEWEST_CLASSES = {"apgd-ce": 2, "apgd-dlr": 3, "apgd-t": 4, "fab-t": 2, "square": 2}
STANDARD = ("apgd-ce", "apgd-t", "fab-t", "square")
REDUCED = {2: ("apgd-ce", "fab-t", "square"), 3: ("apgd-ce", "apgd-dlr", "fab-t", "square")}

# The attacks that search in bfloat16 where that is asked for. FAB walks along the boundary: of the nearest images that
# it finds in bfloat16 for 64 of p1f4.mini, 34 are not misclassified in float32. Square is no faster in it (see
# `benchmarks/choices.py p1f4.mini --only precision,distances --images 64`).
IN_HALF_PRECISION = ("apgd-ce", "apgd-dlr", "apgd-t")

# How far, for an eps up to 1, images of APGD may lie outside the ball by rounding; the caller has the last word.
ROUNDING = 1e-6


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
    precision: Precision = "fp32",
    bare: nn.Module | None = None,
) -> Tensor:
    """Images (B,C,H,W) that one attack says to be misclassified; where it found none, those of x.

    What comes out depends on the whole batch: the attacks draw from one stream of random numbers, and Square moves the
    same window over all images.

    Args:
        model: in evaluation mode.
        x: correctly classified images (B,C,H,W) in [0,1].
        y: their labels (B,).
        constants: what `constants` returns.
        precision: in what the attack searches, see `IN_HALF_PRECISION`; what it claims was seen in float32.
        bare: what computes in `model`, where that is wrapped.

    Raises:
        AdvssError: a gradient is NaN or infinite.
    """
    network = _shielded(model)
    attack = _attack_class(name)(
        network, norm=NORMS[norm], eps=eps, seed=seed, device=x.device, verbose=False, **constants
    )
    attack.search = Search(network, precision)
    attack.bare = bare if bare is not None and x.device.type == "cpu" and suits(bare) else None
    generators = [x.device] if x.device.type == "cuda" else []
    # The attacks seed torch's own generators, and warn of gradients that are 0, which an evaluation counts itself.
    with torch.random.fork_rng(generators), warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        found: Tensor = attack.perturb(x, y)
    return found.detach().clamp(0, 1)  # Square in l1 ends up to 5e-7 outside; clipping brings nothing farther from x


def _shielded(model: nn.Module) -> Network:
    """`model` as the attacks can take it.

    They call `view` on gradients, which weights in channels-last order make impossible, take no notice of gradients
    that are not finite, and write -inf into logits, which need not be half precision.
    """

    def usable(gradient: Tensor) -> Tensor:
        check_finite_gradient(gradient)
        return gradient.contiguous()

    def logits(x: Tensor) -> Tensor:
        x = x.view_as(x)
        if x.requires_grad:
            x.register_hook(usable)
        return at_least_float32(model(x))

    return logits


class _NoneStandingError(Exception):
    """There is nothing left to do in a run."""


class _Standing:
    """The network as one run of an attack sees it: the images that are broken are left out.

    What it says of those is that they are classified correctly, with a gradient of 0, so nothing they still do counts.

    Args:
        x, y: all images of the run and their labels, in the order in which they will be asked about.
        limit: how far a misclassified image may be from x to be a success.
    """

    def __init__(self, search: Search, x: Tensor, y: Tensor, norm: str, limit: float) -> None:
        self.search, self.x, self.y, self.norm, self.limit = search, x, y, norm, limit
        self.found = x.clone()  # adversarial images; those of x where there is none
        self.standing = torch.ones_like(y, dtype=torch.bool)

    def __call__(self, z: Tensor) -> Tensor:
        """
        Raises:
            _NoneStandingError: no image is standing.
        """
        if len(z) != len(self.y):  # FAB leaves out whom it takes for misclassified before it begins
            return self.search.network(z)
        rows = self.standing.nonzero().squeeze(1)
        if not len(rows):
            raise _NoneStandingError
        part, labels = z[rows], self.y[rows]
        inside = _sizes(part.detach() - self.x[rows], self.norm) <= self.limit
        logits = self.search.confirmed(part, labels, inside)
        broken = inside & (logits.argmax(dim=1) != labels)
        self.found[rows[broken]] = part[broken].detach()
        self.standing[rows[broken]] = False
        correct = F.one_hot(self.y, logits.shape[1]).to(logits.dtype)
        return correct.index_copy(0, rows, logits)


def _sizes(delta: Tensor, norm: str) -> Tensor:
    """Norms of perturbations (B,C,H,W), (B,), rounded as FAB rounds them when it decides what is close enough."""
    flat = delta.flatten(1)
    if norm == "Linf":
        return flat.abs().amax(dim=1)
    return (flat**2).sum(dim=1).sqrt() if norm == "L2" else flat.abs().sum(dim=1)


class _Apgd:
    """Goes before the authors' APGD in the order of inheritance, as `_Fab` before their FAB."""

    search: Search

    def attack_single_run(self: Any, x: Tensor, y: Tensor, *more: Any, **settings: Any) -> Any:
        run = super().attack_single_run  # type: ignore[misc]
        return self._watched(run, x, y, *more, **settings)

    def decr_eps_pgd(self: Any, x: Tensor, y: Tensor, *more: Any, **settings: Any) -> Any:
        """In l1: three runs with balls that shrink to the one of the threat model."""
        run = super().decr_eps_pgd  # type: ignore[misc]
        return self._watched(run, x, y, *more, **settings)

    def _watched(self: Any, run: Callable[..., Any], x: Tensor, y: Tensor, *more: Any, **settings: Any) -> Any:
        if isinstance(self.model, _Standing):  # a run that is part of another
            return run(x, y, *more, **settings)
        network, limit = self.model, self.eps_orig + ROUNDING * max(1.0, self.eps_orig)
        self.model = watched = _Standing(self.search, x, y, self.norm, limit)
        with suppress(_NoneStandingError):
            run(x, y, *more, **settings)
        self.model = network
        return None, watched.standing, None, watched.found  # in place of best images and losses, which are not used


class _Fab:
    search: Search

    def attack_single_run(self: Any, x: Tensor, y: Tensor, *more: Any, **settings: Any) -> Tensor:
        network = self.predict
        self.predict = watched = _Standing(self.search, x, y, self.norm, self.eps)
        with suppress(_NoneStandingError):
            super().attack_single_run(x, y, *more, **settings)  # type: ignore[misc]
        self.predict = network
        return watched.found


class _Squares:
    """A network as one run of Square in Linf sees it, which keeps what each query leaves as it was.

    All images of a query differ in one small window from the best so far. Which those are is decided here as Square
    decides it. What is misclassified by a network of which parts are computed is asked again of the whole.
    """

    def __init__(self, network: Network, bare: nn.Module, y: Tensor) -> None:
        self.network, self.bare, self.y = network, bare, y
        self.size = 0  # of the squares at present
        self._best = self._margins = torch.empty(0)
        self._local: Local | LocalEnsemble | None = None

    def __call__(self, z: Tensor) -> Tensor:
        if not len(self._best):  # where Square begins
            logits = self.network(z)
            self._best, self._margins = z.clone(), _margins(logits, self.y)
            return logits
        rows = (self._margins > 0).nonzero().squeeze(1)
        best, y = self._best[rows], self.y[rows]
        if self._local is None or self._local.size != self.size:
            self._local = remember(self.bare, best, self.size)
        logits = at_least_float32(self._local(z, _window((z != best).flatten(0, 1).any(dim=0))))
        wrong = (logits.argmax(dim=1) != y).nonzero().squeeze(1)
        if len(wrong):
            logits[wrong] = self.network(z[wrong])
        margins = _margins(logits, y)
        better = ((margins < self._margins[rows]) | (margins <= 0)).nonzero().squeeze(1)
        self._local.keep(better)
        self._best[rows[better]], self._margins[rows[better]] = z[better], margins[better]
        if (margins <= 0).any():  # these will not be asked about again
            self._local = None
        return logits


def _margins(logits: Tensor, y: Tensor) -> Tensor:
    """By how much the logit of the label exceeds all others, (B,)."""
    others = logits.scatter(1, y[:, None], -math.inf).amax(dim=1)
    return logits.gather(1, y[:, None]).squeeze(1) - others


def _window(changed: Tensor) -> Window:
    """The smallest with all positions (H,W) that are true; some pixel where none is."""
    rows, columns = (changed.any(dim=dim).nonzero().squeeze(1).tolist() or [0] for dim in (1, 0))
    return Window((rows[0], rows[-1] + 1), (columns[0], columns[-1] + 1))


class _Square:
    """Goes before the authors' Square; in the other norms a query changes two windows, which may lie far apart."""

    bare: nn.Module | None

    def attack_single_run(self: Any, x: Tensor, y: Tensor) -> Any:
        network = self.predict
        if self.norm == "Linf" and self.bare is not None:
            self.predict = _Squares(network, self.bare, y)
        found = super().attack_single_run(x, y)  # type: ignore[misc]
        self.predict = network
        return found

    def p_selection(self: Any, it: int) -> float:
        share: float = super().p_selection(it)  # type: ignore[misc]
        if isinstance(self.predict, _Squares):  # rounded as Square rounds it
            _, height, width = self.orig_dim
            self.predict.size = min(max(round(math.sqrt(share * height * width)), 1), height, width)
        return share


def _attack_class(name: str) -> Any:
    """That of the authors, driven."""
    module, attribute, before = {
        "apgd-t": ("autopgd_base", "APGDAttack_targeted", _Apgd),
        "fab-t": ("fab_pt", "FABAttack_PT", _Fab),
        "square": ("square", "SquareAttack", _Square),
    }.get(name, ("autopgd_base", "APGDAttack", _Apgd))
    authors = getattr(importlib.import_module(f"{_package()}.{module}"), attribute)
    return type(attribute, (before, authors), {})


def _package() -> str:
    for package in PACKAGES:
        if find_spec(package) is not None:
            return package
    raise AdvssError("The attacks of AutoAttack are not installed.", "Type: pip install pyautoattack")
