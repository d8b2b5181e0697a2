"""The attacks of AutoAttack (Croce and Hein 2020; in l1 2021), as their authors publish them.

The attacks themselves are in the package `pyautoattack`, which is `autoattack` where it was installed from its
repository. This is what a caller would have to know about them: which run on how many classes, the constants of the
"standard" version, and what they do to the process around them or cannot take from a model.

Their code is driven, not copied; FAB alone is written anew (`autoattack_fab`). Theirs moves all images of a run to the
end of it; the network it is given here leaves out those that are broken already (`_Standing`), and a run in which none
is left ends there. Theirs draws random numbers for a batch; here they are an image's own, or the same for all, so that
an image meets the same in any batch. What falls to their code falls here, rounding aside. But any
point that the network is asked at counts, so that more may fall: in l1 points inside the ball on the way through larger
ones, which are for starts alone in their APGD, and points that FAB steps back to, which are for gradients alone in
theirs. What is returned is the first adversarial image found instead of the last. For Square the network computes what
a square changes, where it can (`autoattack_square`).

Of a targeted attack the authors run one target after the other. Here the first is run alone, and then several others
of an image at once: the same runs with other random numbers, in full batches, however few images are left.

`quick-malt` does not belong to AutoAttack: a targeted APGD towards the few classes that MALT ranks first (Melamed,
Yehudai and Shamir 2024, arXiv:2407.02240). Networks are nearly linear at the distance of adversarial images, so it
ranks classes by the distance to their boundary in the linearised network, and not by their logits.
"""

from __future__ import annotations

import importlib
import math
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from advss_zoo.attacks.autoattack_fab import linearised, projection, towards
from advss_zoo.attacks.autoattack_square import LocalSquare
from advss_zoo.attacks.checks import Network, check_finite_gradient, differ, predict
from advss_zoo.attacks.losses import margin
from advss_zoo.attacks.search import Precision, Search
from advss_zoo.errors import AdvssError, UsageError
from advss_zoo.models.local import suits
from advss_zoo.models.precision import at_least_float32
from advss_zoo.noise import per_image_normal, per_image_uniform
from advss_zoo.seeds import derived_seed

PACKAGES = ("pyautoattack", "autoattack")
NORMS = {"linf": "Linf", "l2": "L2", "l1": "L1"}
DUAL = {"Linf": 1.0, "L2": 2.0, "L1": torch.inf}  # norms of gradients

# The fewest classes that an attack can run on: the difference of logits ratio needs the third largest logit, its
# targeted version the fourth.
FEWEST_CLASSES = {
    **{"apgd-ce": 2, "apgd-margin": 2, "apgd-dlr": 3, "apgd-t": 4, "fab-t": 2, "square": 2},
    "quick-malt": 4,
}
STANDARD = ("apgd-ce", "apgd-t", "fab-t", "square")
REDUCED = {2: ("apgd-ce", "fab-t", "square"), 3: ("apgd-ce", "apgd-dlr", "fab-t", "square")}

# The attacks that search in bfloat16 where that is asked for. FAB walks along the boundary: of the nearest images that
# it finds in bfloat16 for 64 of p1f4.mini, 34 are not misclassified in float32. Square is no faster in it (see
# `benchmarks/choices.py p1f4.mini --only precision,distances --images 64`).
IN_HALF_PRECISION = ("apgd-ce", "apgd-margin", "apgd-dlr", "apgd-t", "quick-malt")

# Pixels that the targets of several images take at once at most. On a CPU batches of two dozen images of CIFAR's size
# are the fastest, a GPU waits less often for larger ones.
AT_ONCE = {"cpu": 32 * 32 * 32, "cuda": 512 * 32 * 32}
# Random numbers of a run towards a class belong to index * this + class.
MOST_CLASSES = 1 << 20
# Of quick-malt: how many of the classes with the largest logits are ranked (as in the paper), and how many attacked.
RANKED, ATTACKED = 100, 4

# How far, for an eps up to 1, images may lie outside the ball by rounding.
ROUNDING = 1e-6


def suite(classes: int) -> tuple[str, ...]:
    """List the attacks of AutoAttack for this number of classes (at least 2), in their order."""
    return REDUCED.get(classes, STANDARD)


def constants(name: str, norm: str, classes: int, iterations: int, queries: int) -> dict[str, Any]:
    """Return the arguments of the authors' class for an attack, except model, norm, eps and seed.

    The "standard" version, except that there are no more targets than other classes, and that on two classes, where
    apgd-t is missing, apgd-ce starts five times.
    """
    l1 = norm == "l1"
    if name == "square":
        return {"n_queries": queries, "n_restarts": 1, "p_init": 0.8, "resc_schedule": False}
    if name == "fab-t":
        return {"n_iter": iterations, "n_restarts": 1, "n_target_classes": min(9, classes - 1), "targeted": True}
    apgd = {"n_iter": iterations, "n_restarts": 1, "eot_iter": 1, "rho": 0.75, "use_largereps": l1}
    if name == "quick-malt":
        return {**apgd, "n_target_classes": min(ATTACKED, classes - 1)}
    if name == "apgd-t":
        return {**apgd, "n_target_classes": min(5 if l1 else 9, classes - 1)}
    return {**apgd, "n_restarts": 5 if l1 or classes == 2 else 1, "loss": name.removeprefix("apgd-")}


def check_classes(name: str, attacks: Sequence[str], classes: int) -> None:
    """Check that there are enough classes for the attacks.

    Raises:
        UsageError: one of the attacks, which `name` stands for, cannot run on so few classes.
    """
    fewest = max(FEWEST_CLASSES[attack] for attack in attacks)
    if classes < fewest:
        hint = "Use autoattack, which takes what fits." if classes > 1 else None
        raise UsageError(f"{name} needs at least {fewest} classes, but there are {classes}.", hint)


def implementation() -> str:
    """Return the package and its version: "pyautoattack 0.2.0".

    Raises:
        AdvssError: it is not installed.
    """
    package = _package()
    return f"{package} {version(package)}"


def run(
    name: str,
    model: Network,
    x: Tensor,
    y: Tensor,
    index: Tensor,
    *,
    norm: str,
    eps: float,
    seed: int,
    constants: dict[str, Any],
    precision: Precision = "fp32",
    bare: nn.Module | None = None,
    fused: Network | None = None,
) -> Tensor:
    """Run one attack; returns images (B,C,H,W), those of x where it failed.

    What becomes of an image does not depend on the others of the batch, rounding aside: its starts are a function of
    the seed, of `index` and of the target, and Square draws the same windows and signs for all images.

    Args:
        model: in evaluation mode.
        x: correctly classified images (B,C,H,W) in [0,1].
        y: their labels (B,).
        index: (B,) integers, which images of the data they are.
        constants: what `constants` returns.
        precision: in what the attack searches, see `IN_HALF_PRECISION`; what it claims was seen in float32.
        bare: what computes in `model`, where that is wrapped.
        fused: what the attack may follow in place of `model`, in its precision (see `models.fused`).

    Raises:
        AdvssError: a gradient is NaN or infinite.
    """
    network = partial(_Shielded.apply, model)
    followed = None if fused is None else partial(_Shielded.apply, fused)
    if name == "fab-t":
        perturb = partial(_fab, followed or network, network, norm=norm, eps=eps, constants=constants)
    else:
        attack = _attack_class(name)(
            network, norm=NORMS[norm], eps=eps, seed=seed, device=x.device, verbose=False, **constants
        )
        attack.search, attack.index = Search(network, precision, followed), index
        attack.bare = bare if bare is not None and x.device.type == "cpu" and suits(bare) else None
        perturb = attack.perturb
    # The attacks seed torch's own generators, those of all GPUs, and warn of gradients that are 0, which an evaluation
    # counts itself.
    gpus = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    with torch.random.fork_rng(gpus), warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        found: Tensor = perturb(x, y)
    return found.detach().clamp(0, 1)  # Square in l1 ends up to 5e-7 outside; clipping brings nothing farther from x


@dataclass(frozen=True)
class WorstCase:
    """What several attacks in turn made of a batch.

    images: (B,C,H,W), of each image the first that broke it; the clean one where none did.
    broken_by: (B,), the place of the attack that broke an image; -1: none.
    unconfirmed: (B,), how many attacks said that they had broken it, and had not.
    """

    images: Tensor
    broken_by: Tensor
    unconfirmed: Tensor


def worst_case(
    attacks: Sequence[str],
    search: Callable[[str, Tensor], Tensor],
    model: Network,
    x: Tensor,
    y: Tensor,
    standing: Tensor,
    *,
    norm: str,
    eps: float,
) -> WorstCase:
    """Run attacks in turn, each on the images that are still classified correctly.

    An attack's word is not taken for it: an image is broken if what the attack returned lies in the ball and is
    misclassified among the whole batch.

    Args:
        search: the name of an attack and bool (B,), to what `run` returns for the images where that is true.
        standing: bool (B,), which of x are classified correctly.
    """
    found, broken_by, unconfirmed = x.clone(), torch.full_like(y, -1), torch.zeros_like(y)
    for place, attack in enumerate(attacks):
        if not standing.any():
            break
        claimed = x.clone()
        claimed[standing] = search(attack, standing)
        claims = differ(claimed, x)
        sizes = _sizes(claimed.double() - x.double(), NORMS[norm])
        inside = claims & (sizes <= _limit(eps))
        candidates = torch.where(inside.view(-1, 1, 1, 1), claimed, found)
        broken = standing & inside & (predict(model, candidates) != y)
        found[broken], broken_by[broken] = candidates[broken], place
        unconfirmed += claims & ~broken
        standing = standing & ~broken
    return WorstCase(found, broken_by, unconfirmed)


class _Shielded(torch.autograd.Function):
    """A model as the attacks can take it: apply(model, images (B,C,H,W)) gives logits (B,K).

    The attacks call `view` on gradients, which weights in channels-last order make impossible, take no notice of
    gradients that are not finite, and write -inf into logits, which need not be half precision. FAB calls `backward`,
    which would leave gradients at all weights that want some.
    """

    @staticmethod
    def forward(context: Any, model: Network, x: Tensor) -> Tensor:
        if not context.needs_input_grad[1]:
            return at_least_float32(model(x))
        context.x = x.detach().requires_grad_()
        with torch.enable_grad():
            context.logits = at_least_float32(model(context.x))
        return context.logits.detach()

    @staticmethod
    def backward(context: Any, slope: Tensor) -> tuple[None, Tensor]:
        (gradient,) = torch.autograd.grad(context.logits, context.x, slope)
        check_finite_gradient(gradient)
        return None, gradient.contiguous()


class _NoneStandingError(Exception):
    """There is nothing left to do in a run."""


class _Standing:
    """The network as one run of an attack sees it: the images that are broken are left out.

    What it says of those is that they are classified correctly, with a gradient of 0, so nothing they still do counts.

    Args:
        x, y: all images of the run and their labels, in the order in which they will be asked about.
        limit: how far a misclassified image may be from x to be a success.
        group: (B,) which rows are of one image, and left out together; None: each of its own.
    """

    def __init__(
        self, search: Search, x: Tensor, y: Tensor, norm: str, limit: float, group: Tensor | None = None
    ) -> None:
        self.search, self.x, self.y, self.norm, self.limit, self.group = search, x, y, norm, limit, group
        self.found = x.clone()  # adversarial images; those of x where there is none
        self.standing = torch.ones_like(y, dtype=torch.bool)

    def __call__(self, z: Tensor) -> Tensor:
        """
        Raises:
            _NoneStandingError: no image is standing.
        """
        rows = self.standing.nonzero().squeeze(1)
        if not len(rows):
            raise _NoneStandingError
        part, labels = z[rows], self.y[rows]
        inside = _sizes(part.detach() - self.x[rows], self.norm) <= self.limit
        logits = self.search.verified_logits(part, labels, inside)
        broken = inside & (logits.argmax(dim=1) != labels)
        self.found[rows[broken]] = part[broken].detach()
        gone = rows[broken]
        self.standing[gone if self.group is None else torch.isin(self.group, self.group[gone])] = False
        correct = F.one_hot(self.y, logits.shape[1]).to(logits.dtype)
        return correct.index_copy(0, rows, logits)


def _limit(eps: float) -> float:
    """How large perturbations may be: eps, and what rounding adds to it."""
    return eps + ROUNDING * max(1.0, eps)


def _sizes(delta: Tensor, norm: str) -> Tensor:
    """Norms of perturbations (B,C,H,W), (B,), rounded as FAB rounds them when it decides what is close enough."""
    flat = delta.flatten(1)
    if norm == "Linf":
        return flat.abs().amax(dim=1)
    return (flat**2).sum(dim=1).sqrt() if norm == "L2" else flat.abs().sum(dim=1)


class _Apgd:
    """Goes before the authors' APGD in the order of inheritance; starts are random numbers of an image's own."""

    search: Search
    index: Tensor

    def perturb(self: Any, x: Tensor, y: Tensor) -> Tensor:
        self.init_hyperparam(x)
        found, standing = x.clone(), torch.arange(len(x), device=x.device)
        for restart in range(self.n_restarts):
            if len(standing):
                found[standing] = self._run(x[standing], y[standing], self.index[standing], restart)
                standing = standing[~differ(found[standing], x[standing])]
        return found

    def _run(self: Any, x: Tensor, y: Tensor, keys: Tensor, restart: int, group: Tensor | None = None) -> Tensor:
        """Images (N,C,H,W), those of x where it failed; `keys` (N,) and the restart say what random numbers it gets."""
        draw = per_image_uniform if self.norm == "Linf" else per_image_normal
        noise = draw(x.shape, keys, derived_seed(self.seed, "start", restart), x.device)
        network, monitor = self.model, _Standing(self.search, x, y, self.norm, _limit(self.eps_orig), group)
        self.model = monitor
        with suppress(_NoneStandingError):
            self._climb(x, y, noise)
        self.model = network
        return monitor.found

    def _climb(self: Any, x: Tensor, y: Tensor, noise: Tensor) -> None:
        """From a random start to the end; in l1 by way of two larger balls (Croce and Hein 2021)."""
        if self.norm == "L1":
            few, balls = math.ceil(0.3 * self.n_iter_orig), [factor * self.eps_orig for factor in (3, 2, 1)]
            # The authors project a start twice, too; rounding decides which pixels count as changed, and so the steps.
            z = _into_l1(x + noise, x, balls[0])
            for eps, iterations in zip(balls, (few, few, self.n_iter_orig - 2 * few), strict=True):
                self.eps, self.n_iter = eps, iterations
                z = self.attack_single_run(x, y, x_init=_into_l1(z, x, eps))[0]
            return
        if self.norm == "Linf":
            noise = 2 * noise - 1
        self.attack_single_run(x, y, x_init=x + self.eps * self.normalize(noise))


def _into_l1(z: Tensor, x: Tensor, eps: float) -> Tensor:
    """z (B,C,H,W), projected into the l1 ball around x and the box."""
    moved: Tensor = z + _authors("autopgd_base", "L1_projection")(x, z - x, eps)
    return moved


class _MarginApgd(_Apgd):
    """With the margin of logits in place of the difference of logits ratio, which the authors' code calls dlr."""

    def __init__(self, *arguments: Any, loss: str, **settings: Any) -> None:
        super().__init__(*arguments, loss="dlr", **settings)  # type: ignore[call-arg]

    def dlr_loss(self, logits: Tensor, y: Tensor) -> Tensor:
        return margin(logits, y)


class _TargetedApgd(_Apgd):
    """Towards the wrong classes with the largest logits, as the authors' own; their loop over targets is not run."""

    def perturb(self: Any, x: Tensor, y: Tensor) -> Tensor:
        self.init_hyperparam(x)

        def search(x: Tensor, y: Tensor, targets: Tensor, group: Tensor) -> Tensor:
            self.y_target = targets
            found: Tensor = self._run(x, y, self.index[group] * MOST_CLASSES + targets, 0, group)
            return found

        return _by_target(search, x, y, self.targets(x, y))

    def targets(self: Any, x: Tensor, y: Tensor) -> Tensor:
        """Return the classes (B,T) to attack, in their order."""
        return _likeliest(self.model(x), y, self.n_target_classes)


class _Malt(_TargetedApgd):
    """Towards the classes whose boundaries are nearest in the linearised network."""

    def targets(self: Any, x: Tensor, y: Tensor) -> Tensor:
        likely = _likeliest(self.model(x), y, RANKED)
        distances = [self._distance(x, y, target) for target in likely.T]
        return likely.gather(1, torch.stack(distances, dim=1).argsort(dim=1))[:, : self.n_target_classes]

    def _distance(self: Any, x: Tensor, y: Tensor, target: Tensor) -> Tensor:
        gap, slope, _ = linearised(self.model, x, y, target)
        return -gap / (slope.flatten(1).norm(p=DUAL[self.norm], dim=1) + 1e-12)


def _likeliest(logits: Tensor, y: Tensor, most: int) -> Tensor:
    """The classes with the largest logits (B,K) apart from the labels, at most so many, in falling order."""
    wrong = logits.scatter(1, y[:, None], -torch.inf)
    return wrong.topk(min(most, logits.shape[1] - 1), dim=1).indices


def _by_target(
    search: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor], x: Tensor, y: Tensor, targets: Tensor
) -> Tensor:
    """Run a targeted attack towards the first target of each image alone, then towards the others in fuller batches.

    Args:
        search: images (N,C,H,W), labels, targets and groups (N,), of which rows are of one image, to images, those it
            was given where it failed.
        targets: (B,T).
    """
    found, standing = x.clone(), torch.arange(len(x), device=x.device)
    most = max(len(x), AT_ONCE.get(x.device.type, AT_ONCE["cpu"]) // x[0, 0].numel())
    for classes in (targets[:, :1], targets[:, 1:]):
        count = classes.shape[1]
        if not count or not len(standing):
            break
        for part in standing.split(max(1, most // count)):
            rows = part.repeat_interleave(count)
            made = search(x[rows], y[rows], classes[part].flatten(), rows)
            moved = differ(made, x[rows]).view(-1, count)
            first = torch.arange(len(part), device=x.device), moved.int().argmax(dim=1)
            found[part] = made.view(-1, count, *x.shape[1:])[first]
        standing = standing[~differ(found[standing], x[standing])]
    return found


def _fab(
    network: Network, judge: Network, x: Tensor, y: Tensor, *, norm: str, eps: float, constants: dict[str, Any]
) -> Tensor:
    """FAB towards the wrong classes with the largest logits; the others of its constants are built in."""
    search = partial(
        towards,
        network,
        judge,
        sizes=partial(_sizes, norm=NORMS[norm]),
        eps=eps,
        project=projection(norm, _package()),
        iterations=constants["n_iter"],
    )
    return _by_target(search, x, y, _likeliest(network(x), y, constants["n_target_classes"]))


def _attack_class(name: str) -> Any:
    """That of the authors, driven."""
    module, attribute, before = {
        "apgd-t": ("autopgd_base", "APGDAttack_targeted", _TargetedApgd),
        "quick-malt": ("autopgd_base", "APGDAttack_targeted", _Malt),
        "apgd-margin": ("autopgd_base", "APGDAttack", _MarginApgd),
        "square": ("square", "SquareAttack", LocalSquare),
    }.get(name, ("autopgd_base", "APGDAttack", _Apgd))
    return type(attribute, (before, _authors(module, attribute)), {})


def _authors(module: str, name: str) -> Any:
    return getattr(importlib.import_module(f"{_package()}.{module}"), name)


def _package() -> str:
    for package in PACKAGES:
        if find_spec(package) is not None:
            return package
    raise AdvssError("The attacks of AutoAttack are not installed.", "Type: pip install pyautoattack")
