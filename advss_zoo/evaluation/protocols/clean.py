"""`clean`: accuracy on the images as they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from torch import Tensor, nn

from advss_zoo.evaluation.protocols.base import Gradient, Protocol, Settings
from advss_zoo.evaluation.record import Record


@dataclass(frozen=True)
class Clean(Protocol):
    pattern: ClassVar[str] = "clean"
    examples: ClassVar[tuple[str, ...]] = ("clean",)
    gradient: ClassVar[Gradient] = "unused"
    makes_images: ClassVar[bool] = False

    name: str = "clean"
    seed: int = 0

    @classmethod
    def create(cls, name: str, settings: Settings) -> Self:
        return cls()

    def attack(self, model: nn.Module, x: Tensor, y: Tensor, index: Tensor, record: Record | None = None) -> None:
        return None
