"""The interface of a protocol: a named way to measure, with every constant fixed before the measurement."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from torch import Tensor, nn

from advss_zoo.attacks.threat import Norm, ThreatModel
from advss_zoo.files import slug


@dataclass(frozen=True)
class Settings:
    """What may be asked of any protocol beside its name; None: the protocol's default."""

    norm: Norm = "linf"
    eps: float | None = None
    step_size: float | None = None
    restarts: int = 1
    seed: int = 0


class Protocol(ABC):
    """One way to measure. A subclass in a module of this package is found by its `pattern`; no list names it.

    `seed` determines all that is random; `threat` is what the runner holds adversarial images to (None: nothing).
    """

    pattern: ClassVar[str]  # a regular expression that the whole of a name matches
    examples: ClassVar[tuple[str, ...]]
    needs_gradient: ClassVar[bool]

    name: str
    seed: int
    threat: ThreatModel | None

    @classmethod
    @abstractmethod
    def create(cls, name: str, settings: Settings) -> Self:
        """The protocol that `name`, which `pattern` matches, means under `settings`."""

    @abstractmethod
    def constants(self) -> dict[str, Any]:
        """Everything that determines the verdicts, for the result file; a change of meaning raises "version"."""

    @abstractmethod
    def attack(self, model: nn.Module, x: Tensor, y: Tensor, index: Tensor) -> Tensor | None:
        """Adversarial images (B,C,H,W), or None where there is no attack.

        Args:
            model: in evaluation mode, weights without gradient.
            x: clean images (B,C,H,W) in [0,1].
            y: labels (B,).
            index: (B,) positions in the data set, for random numbers that belong to an image (attacks.noise).
        """

    def label(self) -> str:
        """The name, and in brackets the constants that differ from the default."""
        return self.name

    def slug(self) -> str:
        """The label as the name of a folder; seeds apart."""
        return slug(self.label() + (f" seed {self.seed}" if self.seed else ""))
