"""The attacks as functions of a model and a batch.

All of them differentiate through any module, or any function of torch operations. A module is attacked in eval mode and
left as it was: its mode, its running statistics, and the `grad` and `requires_grad` of its parameters. They may be
called under `torch.no_grad()` and `torch.inference_mode()`, leave torch's random numbers alone, and return images of
the input's dtype inside the ball (float32: plus 1e-6) and in [0, 1].

Half precision would round steps of 2/255 away, so the search itself keeps its images in float32; the model sees them in
the input's dtype.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from advss_zoo.attacks import autoattack_driver as driver
from advss_zoo.attacks import kang2019
from advss_zoo.attacks.ascent import ascend, default_step, with_restarts
from advss_zoo.attacks.checks import (
    Network,
    check_counts,
    check_differentiable,
    check_seed,
)
from advss_zoo.attacks.eps import check_eps
from advss_zoo.attacks.kang2019.targets import targeted_loss, untargeted_loss
from advss_zoo.errors import DataError, UsageError
from advss_zoo.models.adapted import adapt, check_weights
from advss_zoo.models.modes import frozen
from advss_zoo.models.outputs import check_finite, check_logits
from advss_zoo.models.precision import at_least_float32
from advss_zoo.seeds import derived_seed
from advss_zoo.threat import Norm, Projection, ThreatModel

AnyNorm = Literal["linf", "l2", "l1"]
LINF_EPS = 8 / 255


def pgd(
    model: Network,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float | None = None,
    steps: int = 20,
    step_size: float | None = None,
    norm: Norm = "linf",
    start: Tensor | None = None,
    restarts: int = 1,
    seed: int = 0,
) -> Tensor:
    """Maximise the cross-entropy by projected gradient ascent (Madry et al. 2018) and return the last iterate.

    In linf it equals torchattacks' PGD from the same start to the last bit, in float32 on a CPU.

    Args:
        model: images (B,C,H,W) in [0,1] to logits (B,K), normalisation inside.
        images: (B,C,H,W), floating point in [0,1].
        labels: (B,), class numbers.
        eps: radius of the ball in pixel values; left out: 8/255 in linf, else it has to be given.
        step_size: left out: 2/255 in linf, 2.5 * eps / steps in l2.
        start: (B,C,H,W), where the first run begins, such as `images`; left out: uniform in the ball.
        restarts: runs from other starts, on the images that the runs before did not break.
        seed: determines the starts, with an image's position in the batch.

    Raises:
        DataError: images or labels are of the wrong kind.
        UsageError: eps, steps or another setting makes no sense.
        AdvssError: the model does not return logits, or gives no finite gradient.
    """
    eps = _eps(eps, norm, get_args(Norm))
    check_counts(steps=steps, restarts=restarts)
    check_seed(seed)
    size = default_step(norm, eps, steps) if step_size is None else check_eps(step_size, norm, "step_size")
    threat = _TorchattacksThreat(norm, eps)

    def search(network: Network, x: Tensor, y: Tensor) -> Tensor:
        x, index = at_least_float32(x), torch.arange(len(x), device=x.device)
        given = None if start is None else _checked_start(start, x)

        def attempt(rows: Tensor, offset: int) -> Tensor:
            here, labels = x[rows], y[rows]
            begin = threat.random_start(here, index[rows], seed + offset) if given is None or offset else given
            loss = _cross_entropy(network, labels, images.dtype)
            return ascend(loss, here, begin.to(x.dtype), threat=threat, steps=steps, step_size=size)

        return with_restarts(attempt, network, y, restarts)

    return _attacked(search, model, images, labels)


def fgsm(model: Network, images: Tensor, labels: Tensor, *, eps: float | None = None, norm: Norm = "linf") -> Tensor:
    """Take one step of size eps from the images along the gradient (Goodfellow et al. 2015).

    Arguments and errors are those of `pgd`.
    """
    eps = _eps(eps, norm, get_args(Norm))
    return pgd(model, images, labels, eps=eps, steps=1, step_size=eps, norm=norm, start=images)


def autoattack(
    model: Network,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float | None = None,
    norm: AnyNorm = "linf",
    seed: int = 0,
) -> Tensor:
    """Run the standard version of AutoAttack (Croce and Hein 2020; in l1 2021) and return what breaks the model.

    The authors' attacks (`pyautoattack`), each on the images that are still classified correctly. Of models with fewer
    than four classes those that can run, which the literature does not call AutoAttack.

    Returns:
        Misclassified images; the clean image where no attack found one, or where that is misclassified already.

    Arguments and errors are those of `pgd`.
    """
    return _authors(None, model, images, labels, eps=eps, norm=norm, seed=seed)


def apgd(
    model: Network,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float | None = None,
    norm: AnyNorm = "linf",
    loss: Literal["ce", "margin", "dlr", "t"] = "ce",
    steps: int = 100,
    seed: int = 0,
) -> Tensor:
    """Run Auto-PGD alone, with the constants that it has in `autoattack`; returns as that does.

    Args:
        loss: "ce", cross-entropy; "margin", that of Carlini and Wagner 2017; "dlr", the difference of logits ratio,
            from 3 classes on; "t", its targeted version, from 4 classes on.
    """
    if loss not in ("ce", "margin", "dlr", "t"):
        raise UsageError(f"unknown loss {loss!r}; choose from ce, margin, dlr, t.")
    return _authors(f"apgd-{loss}", model, images, labels, eps=eps, norm=norm, seed=seed, iterations=steps)


def fab(
    model: Network,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float | None = None,
    norm: AnyNorm = "linf",
    steps: int = 100,
    seed: int = 0,
) -> Tensor:
    """Run the targeted FAB alone, with the constants that it has in `autoattack`; returns as that does."""
    return _authors("fab-t", model, images, labels, eps=eps, norm=norm, seed=seed, iterations=steps)


def square(
    model: Network,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float | None = None,
    norm: AnyNorm = "linf",
    queries: int = 5000,
    seed: int = 0,
) -> Tensor:
    """Run Square alone, which needs no gradient; returns as `autoattack` does."""
    return _authors("square", model, images, labels, eps=eps, norm=norm, seed=seed, queries=queries)


def unforeseen(
    model: Network,
    images: Tensor,
    labels: Tensor,
    attack: str,
    *,
    eps: float,
    steps: int = 200,
    step_size: float | None = None,
    targeted: bool = True,
    seed: int = 0,
) -> Tensor:
    """Run one of the unforeseen attacks of Kang et al. 2019 and return the last iterate, in [0,1].

    Args:
        attack: for example "jpeg-linf", "fog" or "snow".
        eps: in the attack's own unit; `kang2019.calibration.CIFAR10` has the six published ones of each.
        step_size: left out: the published one.
        targeted: towards a random wrong class, as published; else away from the label.

    The other arguments and errors are those of `pgd`.
    """
    check_seed(seed)
    found = kang2019.find(attack)

    def search(network: Network, x: Tensor, y: Tensor) -> Tensor:
        x, index = x.float(), torch.arange(len(x), device=x.device)
        loss = targeted_loss(network, y, index=index, seed=seed) if targeted else untargeted_loss(network, y)
        return found.perturb(loss, x, eps=eps, index=index, seed=seed, steps=steps, step_size=step_size)

    return _attacked(search, model, images, labels)


def _authors(
    name: str | None,
    model: Network,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float | None,
    norm: AnyNorm,
    seed: int,
    iterations: int = 100,
    queries: int = 5000,
) -> Tensor:
    """One attack of AutoAttack; None: all that suit the number of classes."""
    size = _eps(eps, norm, get_args(AnyNorm))
    check_counts(steps=iterations, queries=queries)
    check_seed(seed)

    def search(network: Network, x: Tensor, y: Tensor) -> Tensor:
        logits = network(x)
        check_finite(logits)
        classes = logits.shape[1]
        attacks = driver.suite(classes) if name is None else (name,)
        driver.check_classes(name or "autoattack", attacks, classes)
        bare = adapt(model, x)  # a network of ours itself, unless something has to be done for it

        def run(attack: str, rows: Tensor) -> Tensor:
            found = driver.run(
                attack,
                lambda z: network(z).float(),  # the authors' code mixes float32 in
                x[rows].float(),
                y[rows],
                rows.nonzero().squeeze(1),
                norm=norm,
                eps=size,
                seed=derived_seed(seed, attack, 0),
                constants=driver.constants(attack, norm, classes, iterations, queries),
                bare=bare if isinstance(bare, nn.Module) and x.dtype == torch.float32 else None,
            )
            return _in_dtype_of(x[rows], found).float()

        standing = logits.argmax(dim=1) == y
        return driver.worst_case(attacks, run, network, x.float(), y, standing, norm=norm, eps=size).images

    return _attacked(search, model, images, labels)


def _attacked(
    search: Callable[[Network, Tensor, Tensor], Tensor],
    model: Network,
    images: Tensor,
    labels: Tensor,
) -> Tensor:
    """What a search makes of images, in their dtype.

    Args:
        search: of a network that takes any dtype, images (B,C,H,W) and labels (B,), to adversarial images in float32 or
            float64.
    """
    if not callable(model):
        raise UsageError(
            f"model must be a module or a function of images, got {type(model).__name__}.",
            "Open one by its name: advss_zoo.load_model(NAME).",
        )
    _check_images(images)
    with _at_rest(model):
        x = images.detach().clone()  # a tensor that was made in inference mode has no gradient
        y = _checked_labels(labels, x)
        adapted = adapt(model, x)

        def network(z: Tensor) -> Tensor:
            seen = z.to(x.dtype)
            logits = check_logits(adapted(seen), len(seen), Tensor)
            if z.requires_grad and torch.is_grad_enabled():
                check_differentiable(logits)
            return at_least_float32(logits)

        _check_classes(y, network(x[:1]))
        return _in_dtype_of(x, search(network, x, y))


@contextmanager
def _at_rest(model: Network) -> Iterator[None]:
    """No gradients but those that an attack asks for, whatever the caller's mode; a module as `frozen` leaves it."""
    if isinstance(model, nn.Module):
        check_weights(model)
    left_as_it_is = frozen(model) if isinstance(model, nn.Module) else nullcontext()
    with torch.inference_mode(False), torch.no_grad(), left_as_it_is:
        yield


def _in_dtype_of(x: Tensor, z: Tensor) -> Tensor:
    """z in the dtype of x, no pixel farther from x than z is; both in [0,1]."""
    near, rounded = x.to(z.dtype), z.to(x.dtype)
    if x.dtype.itemsize >= z.dtype.itemsize:
        return torch.where(z == near, x, rounded)
    too_far = (rounded.to(z.dtype) - near).abs() > (z - near).abs()
    # Of numbers that are not negative the next smaller or larger one has the next smaller or larger bits.
    nearer = (rounded.abs().view(torch.int16) - (rounded - x).sign().to(torch.int16)).view(x.dtype)
    return torch.where(too_far, nearer, rounded)


class _TorchattacksThreat(ThreatModel):
    """In linf rounded as torchattacks rounds it, so that results can be compared to the last bit."""

    def projection(self, x: Tensor) -> Projection:
        if self.norm != "linf":
            return super().projection(x)
        return lambda z: torch.clamp(x + torch.clamp(z - x, -self.eps, self.eps), 0, 1)


def _cross_entropy(network: Network, y: Tensor, dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
    # The mean is what others take, and rounds otherwise than the sum; half precision needs larger gradients.
    reduction = "sum" if dtype.itemsize < 4 else "mean"
    return lambda z: F.cross_entropy(network(z), y, reduction=reduction)


def _eps(eps: float | None, norm: str, norms: tuple[str, ...]) -> float:
    if norm not in norms:
        others = " (l1: autoattack, apgd, fab and square)" if norm == "l1" else ""
        raise UsageError(f"unknown norm {norm!r}; choose from {', '.join(norms)}{others}.")
    if eps is None and norm != "linf":
        raise UsageError(f"eps has no default in {norm}.", "Name one, for example eps=0.5 in l2.")
    return check_eps(LINF_EPS if eps is None else eps, norm)


def _check_images(images: Tensor) -> None:
    if not isinstance(images, Tensor):
        raise DataError(f"images must be a tensor, got {type(images).__name__}.")
    if images.ndim != 4 or not images.numel():
        raise DataError(f"images must have shape (B, C, H, W) and not be empty, got {tuple(images.shape)}.")
    if not images.is_floating_point():
        raise DataError(f"images must be floating point in [0, 1], got {images.dtype}.", "Divide 8-bit images by 255.")
    low, high = images.min().item(), images.max().item()
    if not 0 <= low <= high <= 1:  # written so that NaN fails
        hint = "The model must normalise them itself."
        raise DataError(f"images must lie in [0, 1], got values from {low:.4g} to {high:.4g}.", hint)


def _checked_labels(labels: Tensor, x: Tensor) -> Tensor:
    if not isinstance(labels, Tensor) or labels.is_floating_point() or labels.dtype == torch.bool:
        kind = labels.dtype if isinstance(labels, Tensor) else type(labels).__name__
        raise DataError(f"labels must be a tensor of integers, got {kind}.")
    if labels.shape != x.shape[:1]:
        raise DataError(f"labels must have shape ({len(x)},), one for each image, got {tuple(labels.shape)}.")
    return labels.detach().to(x.device, torch.int64, copy=True)


def _check_classes(y: Tensor, logits: Tensor) -> None:
    low, high = int(y.min()), int(y.max())
    if low < 0 or high >= logits.shape[1]:
        raise DataError(f"labels must be class numbers from 0 to {logits.shape[1] - 1}, got {low} to {high}.")


def _checked_start(start: Tensor, x: Tensor) -> Tensor:
    if not isinstance(start, Tensor) or start.shape != x.shape or not start.isfinite().all():
        found = f"shape {tuple(start.shape)}" if isinstance(start, Tensor) else type(start).__name__
        raise DataError(f"start must be a finite tensor of shape {tuple(x.shape)}, got {found}.")
    return start.detach().clone().to(x.device)
