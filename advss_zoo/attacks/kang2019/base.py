"""The interface of an unforeseen attack, and the one search that serves all of them."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from advss_zoo.attacks.ascent import input_gradient
from advss_zoo.attacks.checks import check_counts
from advss_zoo.attacks.eps import check_eps
from advss_zoo.attacks.kang2019.regions import TOLERANCE, Region
from advss_zoo.errors import AdvssError, UsageError
from advss_zoo.threat import Loss


class Unforeseen(ABC):
    """What an attack can make of one batch: variables, the region they stay in, and the images they stand for.

    A subclass sets `region` when it is made. Everything it draws is a function of seed and image index, and nothing it
    computes for an image depends on the others of the batch.
    """

    name: ClassVar[str]
    multiple: ClassVar[int] = 1  # of which the sides of an image must be
    own_step: ClassVar[float | None] = None  # step of attacks whose eps does not bound their variables

    region: Region

    def __init__(self, x: Tensor, *, eps: float, index: Tensor, seed: int) -> None:
        """
        Args:
            x: clean images (B,3,H,W) in [0,1].
            eps: the strength, in the attack's own published unit.
            index: (B,) positions in the data set.

        Raises:
            UsageError: the attack is not defined for images of this shape.
        """
        self.check_shape(x.shape[1:])
        self.x, self.eps, self.index, self.seed = x, eps, index, seed

    @classmethod
    def check_shape(cls, shape: Sequence[int]) -> None:
        """Check that the attack is defined for images of this shape (C,H,W).

        Raises:
            UsageError: it is not.
        """
        if len(shape) != 3 or shape[0] != 3:
            raise UsageError(f"{cls.name} needs images of shape (3, H, W), got {tuple(shape)}.")
        if any(side % cls.multiple for side in shape[1:]):
            below = max(shape[1:]) // cls.multiple * cls.multiple
            sizes = [str(size) for size in (below, below + cls.multiple) if size]
            raise UsageError(
                f"{cls.name} needs images whose sides are multiples of {cls.multiple}, "
                f"got {'x'.join(map(str, shape[1:]))}.",
                f"Choose --image-size {' or '.join(sizes)}.",
            )

    @abstractmethod
    def start(self) -> Tensor:
        """Return random variables to begin from (B,...); they need not lie in the region."""

    @abstractmethod
    def images(self, v: Tensor) -> Tensor:
        """Return the images (B,3,H,W) that variables v stand for; in [0,1] up to rounding for v in the region."""

    @classmethod
    def step_size(cls, eps: float, steps: int) -> float:
        """Return the published step, in the unit of the variables: eps/sqrt(steps), or one of the attack's own."""
        return eps / math.sqrt(steps) if cls.own_step is None else cls.own_step

    def search(self, loss: Loss, steps: int, step_size: float) -> Tensor:
        """Ascend on the loss for `steps` steps; returns the last variables.

        Raises:
            AdvssError: the loss has no finite gradient, with which the search would stand still unnoticed.
        """
        v = self.start()
        for t in range(steps):
            gradient = input_gradient(lambda variables: loss(self.images(variables)), v)
            if not gradient.isfinite().all():
                raise AdvssError(f"The gradient of the loss is NaN or infinite under {self.name}.")
            v = self.region.advance(v, gradient, t, step_size).detach()
        return v

    @classmethod
    def perturb(
        cls,
        loss: Loss,
        x: Tensor,
        *,
        eps: float,
        index: Tensor,
        seed: int,
        steps: int,
        step_size: float | None = None,
    ) -> Tensor:
        """Return adversarial images (B,3,H,W) in [0,1], detached.

        Args:
            loss: what is maximised, summed over the batch (`targets.targeted_loss` is the published one).
            x: clean images (B,3,H,W) in [0,1].
            eps: the strength, in the attack's own unit as in `calibration`.
            index: (B,) positions in the data set; with `seed` they determine all that is random.
            steps: gradients taken; 200 for the published calibration.
            step_size: left out: the published one. L1 attacks take none (Frank-Wolfe).

        Raises:
            UsageError: a constant makes no sense, or the attack is not defined for images of this shape.
            AdvssError: the gradient is not finite, or the attack left its region, which is a defect of the attack.
        """
        check_counts(steps=steps)
        check_eps(eps, None)
        if step_size is not None:
            check_eps(step_size, None, "step_size")
        attack = cls(x, eps=eps, index=index, seed=seed)
        v = attack.search(loss, steps, cls.step_size(eps, steps) if step_size is None else step_size)
        size = attack.region.size(v)
        with torch.no_grad():
            images = attack.images(v)
        # Both written so that NaN fails.
        if not (size <= 1 + TOLERANCE).all():
            raise AdvssError(f"{cls.name} produced a perturbation of {size.max():.6g} eps.")
        if not ((images - 0.5).abs() <= 0.5 + TOLERANCE).all():
            raise AdvssError(f"{cls.name} produced pixel values outside [0, 1].")
        return images.clamp(0, 1)


def lowest_and_span(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Of each image's map (B,H,W): its minimum and its range, (B,1,1,1). The range of a constant map is tiny, not 0."""
    lowest, highest = maps.amin(dim=(1, 2)), maps.amax(dim=(1, 2))
    return lowest.view(-1, 1, 1, 1), (highest - lowest).clamp_min(1e-12).view(-1, 1, 1, 1)
