"""`transfer`: which models do the adversarial images of one model fool?

`pgd20` on each member of an ensemble alone; every member and the ensemble classify what it made. So the table of
success rates among any models is `advss eval A+B+C --attack transfer`, Table 4 and Figure 5 of Chen et al. 2020.

All images are attacked, also those that the source gets wrong clean: the paper divides by all, and what the target gets
wrong anyway counts. A rate of the diagonal is 1 - RA of `pgd20`, or less where the attack puts a mistake of its source
right. RA is that of the ensemble under the worst of the sources, image by image: right clean and on the adversarial
images of every member.
"""

from __future__ import annotations

from abc import ABC
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from advss_zoo.errors import UsageError
from advss_zoo.evaluation.checks import check_adversarial, zero_gradients
from advss_zoo.evaluation.details import CLEAN, FROM, MOST_MEMBERS, ZERO_GRADIENT
from advss_zoo.evaluation.passes import Padded
from advss_zoo.evaluation.protocols.base import Settings
from advss_zoo.evaluation.protocols.pgd import PgdProtocol
from advss_zoo.evaluation.record import Record
from advss_zoo.files import slug
from advss_zoo.models.ensemble import Ensemble, log_mean_probability
from advss_zoo.models.model import unwrapped
from advss_zoo.models.outputs import check_finite

LONGEST_PART = 100  # characters of a name in that of a part, which its place tells from others


@dataclass(frozen=True)
class EnsemblePgd(PgdProtocol, ABC):
    """Attacks with the constants of `pgd20` that have to know the members of an ensemble; each begins once."""

    takes: ClassVar[frozenset[str]] = PgdProtocol.takes - {"restarts", "search"}
    version: ClassVar[int] = 1
    attacks_misclassified: ClassVar[bool] = True  # because they leave evidence of every image

    @classmethod
    def create(cls, name: str, settings: Settings) -> Self:
        return replace(super().create("pgd20", settings), name=name)

    def check_model(self, model: nn.Module) -> None:
        super().check_model(model)
        self.ensemble(unwrapped(model))

    def ensemble(self, model: nn.Module) -> Ensemble:
        """Return the ensemble that `model` is, perhaps padded.

        Raises:
            UsageError: it is none, or not one whose members can be told apart.
        """
        found = model.model if isinstance(model, Padded) else model
        if not isinstance(found, Ensemble) or len(found.members) < 2:
            raise UsageError(
                f"{self.name} needs an ensemble of at least two models.",
                "Join models with +, for example `advss eval p1f4+selfie-p3f4`.",
            )
        twice = [name for name in dict.fromkeys(found.names) if found.names.count(name) > 1]
        if twice:
            raise UsageError(f"{' and '.join(twice)} is in the ensemble more than once.", "Name each model once.")
        return found

    def _on(self, member: nn.Module, x: Tensor, y: Tensor, index: Tensor) -> Tensor:
        """`pgd20` on one member alone."""
        return super().attack(Padded(member), x, y, index)

    @staticmethod
    def _part(place: int, name: str) -> str:
        """What a part of the work is called, in file names too: `name` may be anything, and of any length."""
        return f"{place}-{slug(name)[:LONGEST_PART]}"


@dataclass(frozen=True)
class Transfer(EnsemblePgd):
    pattern: ClassVar[str] = "transfer"
    examples: ClassVar[tuple[str, ...]] = ("transfer",)

    def ensemble(self, model: nn.Module) -> Ensemble:
        found = super().ensemble(model)
        if len(found.members) > MOST_MEMBERS:
            raise UsageError(f"{self.name} supports at most {MOST_MEMBERS} members, got {len(found.members)}.")
        return found

    def constants(self) -> dict[str, Any]:
        return super().constants() | {
            "attacked": "each member alone",
            "verdict": "of the ensemble, worst case over the members attacked",
        }

    def attack(self, model: nn.Module, x: Tensor, y: Tensor, index: Tensor, record: Record | None = None) -> Tensor:
        """Return the first of the sources' adversarial images that fools the ensemble; x where none does."""
        record, ensemble = record or Record(), self.ensemble(model)
        members = [Padded(member) for member in ensemble.members]
        record.evidence[CLEAN] = _bits(_wrong(ensemble, x, y)[:, :-1])
        found, fooled = x.clone(), torch.zeros_like(y, dtype=torch.bool)
        for place, (name, member) in enumerate(zip(ensemble.names, ensemble.members, strict=True)):
            compute = partial(self._on, member, x, y, index)
            made = record.part(self._part(place, f"from {name}"), of=index, compute=compute)
            check_adversarial(made, x, self.ball)
            wrong = _wrong(ensemble, made, y)
            record.evidence[FROM + name] = _bits(wrong)
            first = wrong[:, -1] & ~fooled
            found[first] = made[first]
            fooled |= first
        record.evidence[ZERO_GRADIENT] = torch.stack([zero_gradients(member, x, y) for member in members]).any(dim=0)
        return found


class Apart(nn.Module):
    """The members of an ensemble side by side: images (B,C,H,W) to logits (B,M,K)."""

    def __init__(self, ensemble: Ensemble) -> None:
        super().__init__()
        self.ensemble = ensemble

    def forward(self, x: Tensor) -> Tensor:
        return self.ensemble.logits(x)


@torch.no_grad()
def _wrong(ensemble: Ensemble, x: Tensor, y: Tensor) -> Tensor:
    """Who gets which images wrong, bool (B,M+1): the members, then the ensemble."""
    logits: Tensor = Padded(Apart(ensemble))(x)
    check_finite(logits)
    together = torch.cat([logits, log_mean_probability(logits)[:, None]], dim=1)
    return together.argmax(dim=2) != y[:, None]


def _bits(flags: Tensor) -> Tensor:
    """(B,n) as numbers (B,) whose bit k is flag k."""
    return (flags.long() << torch.arange(flags.shape[1], device=flags.device)).sum(dim=1)
