"""Adversarial images made on another model, judged by the one that is evaluated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

from torch import Tensor, nn

from advss_zoo.errors import UsageError
from advss_zoo.evaluation.ball import Ball
from advss_zoo.evaluation.passes import Padded
from advss_zoo.evaluation.protocols.base import Gradient, Protocol, Settings
from advss_zoo.evaluation.record import Record
from advss_zoo.models.adapted import adapt
from advss_zoo.models.model import Model, unwrapped
from advss_zoo.models.modes import frozen


@dataclass(frozen=True, eq=False)
class TransferFrom(Protocol):
    """Run the protocol `made_by` on `source`; no name stands for it, so it lies outside the package of protocols."""

    gradient: ClassVar[Gradient] = "unused"
    attacks_misclassified: ClassVar[bool] = False

    source: Model
    made_by: Protocol
    name: str = "transfer-from"
    seed: int = 0

    @classmethod
    def create(cls, name: str, settings: Settings) -> Self:
        raise UsageError("Images made on another model cannot be selected by a name.", "Use `advss claim`.")

    @property
    def ball(self) -> Ball | None:
        return self.made_by.ball

    def constants(self) -> dict[str, Any]:
        made = {"made_by": self.made_by.label(), "made_on": self.source.name, "source_sha256": self.source.sha256}
        return self.made_by.constants() | super().constants() | made

    def label(self) -> str:
        return f"{self.made_by.label()} on {self.source.name}"

    def attack(
        self, model: nn.Module, x: Tensor, y: Tensor, index: Tensor, record: Record | None = None
    ) -> Tensor | None:
        with frozen(unwrapped(self.source)):
            return self.made_by.attack(Padded(adapt(self.source, x)), x, y, index)
