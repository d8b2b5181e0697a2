"""`pgdN` and `pgdN-any`: N steps of projected gradient ascent on the cross-entropy from a random start; `pgdN-margin`
and `pgdN-margin-any` on the margin of logits (Carlini and Wagner 2017), which saturated probabilities do not flatten.

Which iterate counts is what tells pgdN and pgdN-any apart, and what the literature's "PGD-20" leaves open. `pgd20`
takes the last one, as the paper does (Chen et al. 2020, section 4.1); `pgd20-any` any of the 20, which is the stronger
attack.

Images that are misclassified clean count as broken whatever an attack does, so they are not attacked (up to version 1
they were, and their attacked_prediction was what came out of that; no accuracy depends on it).

What makes an RA doubtful is evidence, of the first start: that the first step left an image where it was, because there
is no gradient to follow; and that the loss was no higher at the last step than at the first.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor, nn

from advss_zoo.attacks.ascent import checked, default_step, step, with_restarts
from advss_zoo.attacks.checks import differ
from advss_zoo.attacks.losses import LOSSES
from advss_zoo.attacks.search import Precision, describe
from advss_zoo.errors import UsageError
from advss_zoo.evaluation.ball import DEFAULT_EPS, Ball
from advss_zoo.evaluation.details import NO_RISE, ZERO_GRADIENT
from advss_zoo.evaluation.passes import search
from advss_zoo.evaluation.protocols.base import Gradient, Protocol, Settings
from advss_zoo.evaluation.record import Record
from advss_zoo.texts import format_eps
from advss_zoo.threat import Loss, Projection, ThreatModel


@dataclass(frozen=True)
class Found:
    """What the steps from one start made of images (B,C,H,W), which of them the first step left where they were (B,),
    and the losses (B,) at the points that the first and the last step set out from."""

    images: Tensor
    unmoved: Tensor
    loss_at_first: Tensor
    loss_at_last: Tensor


@dataclass(frozen=True)
class PgdProtocol(Protocol):
    """The last iterate. Of several restarts, an image is broken if the last iterate of any breaks it."""

    pattern: ClassVar[str] = r"pgd[1-9][0-9]{0,5}(-margin)?"
    examples: ClassVar[tuple[str, ...]] = ("pgd20", "pgd20-margin")
    gradient: ClassVar[Gradient] = "needed"
    version: ClassVar[int] = 2
    takes: ClassVar[frozenset[str]] = frozenset({"norm", "eps", "step_size", "restarts", "search"})
    attacks_misclassified: ClassVar[bool] = False
    iterate: ClassVar[Literal["last", "any"]] = "last"

    name: str
    steps: int
    threat: ThreatModel
    step_size: float
    restarts: int = 1
    seed: int = 0
    search: Precision = "fp32"

    @classmethod
    def create(cls, name: str, settings: Settings) -> Self:
        if settings.norm == "l1":
            raise UsageError(f"{name} does not support the norm l1.", "Choose linf or l2, or --attack autoattack.")
        steps = int(name.removeprefix("pgd").partition("-")[0])
        eps = DEFAULT_EPS[settings.norm] if settings.eps is None else settings.eps
        size = default_step(settings.norm, eps, steps) if settings.step_size is None else settings.step_size
        threat = ThreatModel(settings.norm, eps)
        return cls(name, steps, threat, size, settings.restarts, settings.seed, settings.search)

    @property
    def loss(self) -> str:
        return "margin" if "-margin" in self.name else "cross-entropy"

    @property
    def ball(self) -> Ball:
        return Ball(self.threat.norm, self.threat.eps)

    @property
    def passes(self) -> float:
        return 1.0 + self.steps * self.restarts

    def constants(self) -> dict[str, Any]:
        return super().constants() | {
            "norm": self.threat.norm,
            "eps": self.threat.eps,
            "steps": self.steps,
            "step_size": self.step_size,
            "start": "uniform in the ball, not clipped to the box",
            "loss": self.loss,
            "iterate": self.iterate,
            "restarts": self.restarts,
            "search": self.search,
            "seed": self.seed,
        }

    def _differs(self) -> list[str]:
        differs = super()._differs()
        if self.step_size != default_step(self.threat.norm, self.threat.eps, self.steps):
            differs.append(f"step {format_eps(self.step_size)}")
        if self.restarts != 1:
            differs.append(f"{self.restarts} restarts")
        return [*differs, *describe(self.search)]

    def attack(self, model: nn.Module, x: Tensor, y: Tensor, index: Tensor, record: Record | None = None) -> Tensor:
        record = record or Record()
        if not len(x):
            record.evidence |= {ZERO_GRADIENT: torch.zeros_like(y), NO_RISE: torch.zeros_like(y)}
            return x

        def attempt(rows: Tensor, offset: int) -> Tensor:
            here = x[rows]
            start = self.threat.random_start(here, index[rows], self.seed + offset)
            led = self._search(model, here, y[rows], start)
            if not offset:
                record.evidence |= {
                    ZERO_GRADIENT: led.unmoved,
                    NO_RISE: (led.loss_at_last <= led.loss_at_first) & (self.steps > 1),
                }
            return led.images

        return with_restarts(attempt, model, y, self.restarts)

    def _search(self, model: nn.Module, x: Tensor, y: Tensor, start: Tensor) -> Found:
        network, losses = search(model, self.search), torch.empty(0)

        def loss(z: Tensor) -> Tensor:
            nonlocal losses
            logits = network(z)
            each = LOSSES[self.loss](logits, y)
            losses = each.detach()
            return each.sum()

        project = self.threat.projection(x)
        found, unmoved = self._first_step(loss, start, project)
        at_first = losses
        for _ in range(self.steps - 1):
            found = step(loss, found, self.threat, project, self.step_size)
        return Found(checked(found), unmoved, at_first, losses)

    def _first_step(self, loss: Loss, start: Tensor, project: Projection) -> tuple[Tensor, Tensor]:
        """Where it leads (B,C,H,W), and which images it leaves where the start is, but for the projection, (B,)."""
        after = step(loss, start, self.threat, project, self.step_size)
        return after, ~differ(after, project(start))


@dataclass(frozen=True)
class PgdAny(PgdProtocol):
    """An image is broken if any iterate of any restart is misclassified; the first such iterate is kept.

    The start is none of them: it is not clipped to the box.
    """

    pattern: ClassVar[str] = PgdProtocol.pattern + "-any"
    examples: ClassVar[tuple[str, ...]] = ("pgd20-any",)
    iterate: ClassVar[Literal["last", "any"]] = "any"

    def _search(self, model: nn.Module, x: Tensor, y: Tensor, start: Tensor) -> Found:
        network, losses = search(model, self.search), torch.empty(0)
        right = torch.ones_like(y, dtype=torch.bool)

        def loss(z: Tensor, y: Tensor) -> Tensor:
            """Also notes who is right at z: the next step needs this forward pass anyway."""
            nonlocal right, losses
            logits = network.verified_logits(z, y)
            each = LOSSES[self.loss](logits, y)
            right, losses = logits.argmax(dim=1) == y, each.detach()
            return each.sum()

        found, unmoved = self._first_step(partial(loss, y=y), start, self.threat.projection(x))
        at_first, at_last = losses, losses.clone()
        standing = torch.arange(len(x), device=x.device)  # a broken image stays as it is, and leaves the batch
        for _ in range(self.steps - 1):
            project = self.threat.projection(x[standing])
            after = step(partial(loss, y=y[standing]), found[standing], self.threat, project, self.step_size)
            at_last[standing] = losses
            standing, after = standing[right], after[right]
            if not len(standing):
                break
            found[standing] = after
        return Found(checked(found), unmoved, at_first, at_last)
