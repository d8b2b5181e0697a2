"""`autoattack-sampled`: APGD-CE and APGD-T on every image, FAB-T and Square only on a random sample.

The slow half of AutoAttack seldom breaks what the first half left, and how seldom can be estimated. Before anything is
known of the model, 128 images are drawn at random, or N with `autoattack-sampledN`. Those of them that withstand both
APGDs are a random sample of all that do, and FAB-T and Square run on these alone. Where they break none of m, at most
about 3/m of the survivors would fall to them (95%); `details.sampled` holds the estimate and its exact interval.

The verdict of a survivor that was not drawn says that it withstands the two APGDs, so the result's RA is an upper bound
of that of `autoattack` with the same random numbers. Passes take the images that were drawn first, so that the slow
attacks run on full batches.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from advss_zoo.evaluation.details import SAMPLED
from advss_zoo.evaluation.protocols.autoattack import AutoAttack
from advss_zoo.evaluation.protocols.base import Settings
from advss_zoo.evaluation.record import Record
from advss_zoo.noise import per_image_uniform
from advss_zoo.seeds import derived_seed

DRAWN = 128  # images, of which a fair model leaves about 50


@dataclass(frozen=True)
class SampledAutoAttack(AutoAttack):
    """AutoAttack of whose attacks the last two run on a sample.

    `sample` holds the positions of the images that were drawn; None: `attack` draws among those it is given.
    """

    pattern: ClassVar[str] = r"autoattack-sampled([1-9][0-9]{0,6})?"
    examples: ClassVar[tuple[str, ...]] = ("autoattack-sampled",)
    sampled: ClassVar[tuple[str, ...]] = ("fab-t", "square")

    drawn: int = DRAWN
    sample: frozenset[int] | None = None

    @classmethod
    def create(cls, name: str, settings: Settings) -> Self:
        drawn = int(name.removeprefix("autoattack-sampled") or DRAWN)
        return replace(super().create(name, settings), drawn=drawn)

    def for_index(self, index: Tensor) -> Self:
        return replace(self, sample=frozenset(self._draw(index).tolist()))

    def order(self, index: Tensor) -> Tensor:
        return torch.argsort(self._is_drawn(index), descending=True, stable=True)

    def constants(self) -> dict[str, Any]:
        verdict = "worst case over the attacks, each on the images still standing, the sampled ones on a sample of them"
        return super().constants() | {"verdict": verdict, "drawn": self.drawn}

    def _constants(self, attack: str) -> dict[str, Any]:
        return super()._constants(attack) | ({"sampled": True} if attack in self.sampled else {})

    def attack(self, model: nn.Module, x: Tensor, y: Tensor, index: Tensor, record: Record | None = None) -> Tensor:
        record = record or Record()
        found = super().attack(model, x, y, index, record)
        record.evidence[SAMPLED] = self._is_drawn(index)
        return found

    def _attacked(self, attack: str, index: Tensor) -> Tensor:
        return self._is_drawn(index) if attack in self.sampled else super()._attacked(attack, index)

    def _is_drawn(self, index: Tensor) -> Tensor:
        drawn = self._draw(index) if self.sample is None else torch.tensor(sorted(self.sample), device=index.device)
        return torch.isin(index, drawn)

    def _draw(self, index: Tensor) -> Tensor:
        """Positions of a random sample of these images (N,), which depends on nothing but the seed."""
        lots = per_image_uniform((len(index), 1), index, derived_seed(self.seed, "sample", 0), index.device)
        return index[lots.squeeze(1).argsort(stable=True)[: self.drawn]]
