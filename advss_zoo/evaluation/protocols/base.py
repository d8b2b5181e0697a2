"""The interface of a protocol: a named way to measure, with every constant fixed before the measurement."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal, Self

from torch import Tensor, nn

from advss_zoo.attacks.search import Precision
from advss_zoo.errors import UsageError
from advss_zoo.evaluation.ball import Ball, Norm
from advss_zoo.evaluation.record import Record
from advss_zoo.files import slug
from advss_zoo.models.model import Model

# What a protocol asks of a model: nothing, that it has a gradient with respect to the images, or that this is not 0
# everywhere, because there is nothing else to go by.
Gradient = Literal["unused", "used", "needed"]


@dataclass(frozen=True)
class Settings:
    """What may be asked of a protocol beside its name; None: the protocol's default."""

    norm: Norm = "linf"
    eps: float | None = None
    step_size: float | None = None
    restarts: int = 1
    seed: int = 0
    search: Precision = "fp32"

    def given(self) -> list[str]:
        """Return the names of those that differ from the default; the seed apart, which every protocol takes."""
        default = Settings(seed=self.seed)
        return [field.name for field in fields(self) if getattr(self, field.name) != getattr(default, field.name)]

    def only(self, names: Iterable[str]) -> Settings:
        """Return the seed and these; the others have their default."""
        return Settings(seed=self.seed, **{name: getattr(self, name) for name in names})


class Protocol(ABC):
    """One way to measure. A subclass in a module of this package is found by its `pattern`; no list names it.

    `seed` determines all that is random.
    """

    pattern: ClassVar[str]  # a regular expression that the whole of a name matches
    examples: ClassVar[tuple[str, ...]]
    gradient: ClassVar[Gradient]
    version: ClassVar[int] = 1
    # Which of `Settings` it has, beside the seed.
    takes: ClassVar[frozenset[str]] = frozenset()
    # Whether `attack` is given images that are misclassified clean. Where not, they stay as they are, and the evidence
    # of them is 0.
    attacks_misclassified: ClassVar[bool] = True
    # Whether `attack` makes images; where not, it returns None.
    makes_images: ClassVar[bool] = True
    # Whether its errors can be put in relation to those of another model.
    has_baseline: ClassVar[bool] = False

    name: str
    seed: int

    @classmethod
    @abstractmethod
    def create(cls, name: str, settings: Settings) -> Self:
        """Return the protocol that `name`, which `pattern` matches, means under `settings`.

        Args:
            settings: those that the protocol does not take have their default.

        Raises:
            UsageError: a setting has a value that the protocol cannot use.
        """

    @classmethod
    def suites(cls) -> Mapping[str, tuple[str, ...]]:
        """List the suites, names of several protocols of this family, see `protocols.expand`."""
        return {}

    @property
    def ball(self) -> Ball | None:
        """What the runner holds adversarial images to; None: nothing."""
        return None

    @property
    def passes(self) -> float:
        """Count the forward and backward passes that an image takes at most, roughly; an image that is broken early
        takes fewer.
        """
        return 1.0

    def for_classes(self, classes: int) -> Self:
        """Return this protocol for models of this number of classes.

        Raises:
            UsageError: it cannot be run on so few.
        """
        return self

    def for_index(self, index: Tensor) -> Self:
        """Return this protocol for the images at these positions (N,) of the data."""
        return self

    def order(self, index: Tensor) -> Tensor | None:
        """Return in which order passes take the images at these positions (N,), as places (N,); None: as they lie."""
        return None

    def check_model(self, model: nn.Module) -> None:
        """Refuse a model that it cannot be run on; it is asked before other protocols have run for hours.

        Raises:
            UsageError: it follows gradients, and the model has none.
        """
        if self.gradient != "unused" and isinstance(model, Model) and not model.differentiable:
            raise UsageError(
                f"{self.name} needs gradients, which {model.name} does not have.",
                "Use --attack clean, square or corruptions, or evaluate the original checkpoint.",
            )

    def for_images(self, shape: Sequence[int]) -> Self:
        """Return this protocol for images of this shape (C,H,W).

        Raises:
            UsageError: it cannot be run on them.
        """
        return self

    def constants(self) -> dict[str, Any]:
        """Return everything that determines the verdicts, for the result file; a change of meaning raises "version"."""
        return {"name": self.name, "label": self.label(), "version": self.version}

    @abstractmethod
    def attack(
        self, model: nn.Module, x: Tensor, y: Tensor, index: Tensor, record: Record | None = None
    ) -> Tensor | None:
        """Return adversarial images (B,C,H,W), or None without an attack.

        Args:
            model: in evaluation mode, weights without gradient.
            x: clean images (B,C,H,W) in [0,1].
            y: labels (B,).
            index: (B,) positions in the data set, for random numbers that belong to an image (advss_zoo.noise).
            record: takes finished parts of long work, and evidence beside the predictions.
        """

    def label(self) -> str:
        """Return the name, and in brackets the constants that differ from the default."""
        differs = self._differs()
        return f"{self.name} ({', '.join(differs)})" if differs else self.name

    def _differs(self) -> list[str]:
        return [] if self.ball is None else self.ball.describe()

    def slug(self) -> str:
        """Return the label as the name of a folder; seeds apart."""
        return slug(self.label() + (f" seed {self.seed}" if self.seed else ""))
