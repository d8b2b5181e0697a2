"""`autoattack`: the worst case over the attacks of AutoAttack's standard version; and each of its attacks alone.

The attacks run in the authors' order, and each only on images that are still standing: classified correctly, clean and
under all attacks before. An image that an attack breaks leaves it there and then. Neither changes a verdict, since one
break is enough, and both save work. An attack's word is not taken for it: an image counts as broken if what the attack
returned lies in the ball and is misclassified when it goes through the network among its whole pass, as the runner puts
it there again in the end.

Random numbers belong to an image and an attack, or are the same for all images, so neither the size of passes nor an
interruption changes them. Small batches of standing images reach the network in multiples of 8, for the same reason
(see `passes.pad_small_batches`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from advss_zoo.attacks import autoattack_driver as driver
from advss_zoo.attacks.checks import predict
from advss_zoo.attacks.search import Precision, describe
from advss_zoo.evaluation.ball import DEFAULT_EPS, Ball, Norm
from advss_zoo.evaluation.checks import GradientsTaken, zero_gradients
from advss_zoo.evaluation.details import BROKEN_BY, DYNAMIC, UNCONFIRMED, ZERO_GRADIENT
from advss_zoo.evaluation.passes import Padded, pad_small_batches
from advss_zoo.evaluation.protocols.base import Gradient, Protocol, Settings
from advss_zoo.evaluation.record import Record
from advss_zoo.seeds import derived_seed


@dataclass(frozen=True)
class AutoAttack(Protocol):
    """The worst case over the attacks of AutoAttack's standard version.

    In version 1 the targets of an attack ran one after the other; until version 2 random numbers belonged to a pass.
    `classes` stands for any number of them from 10 on; `iterations` are lower in tests alone.
    """

    pattern: ClassVar[str] = "autoattack"
    examples: ClassVar[tuple[str, ...]] = ("autoattack",)
    gradient: ClassVar[Gradient] = "used"
    version: ClassVar[int] = 3
    takes: ClassVar[frozenset[str]] = frozenset({"norm", "eps", "search"})
    sampled: ClassVar[tuple[str, ...]] = ()  # attacks that do not run on every image

    name: str = "autoattack"
    norm: Norm = "linf"
    eps: float = DEFAULT_EPS["linf"]
    seed: int = 0
    search: Precision = "fp32"
    classes: int = 10
    iterations: int = 100
    queries: int = 5000

    @classmethod
    def create(cls, name: str, settings: Settings) -> Self:
        eps = DEFAULT_EPS[settings.norm] if settings.eps is None else settings.eps
        return cls(name, settings.norm, eps, settings.seed, settings.search)

    @property
    def ball(self) -> Ball:
        return Ball(self.norm, self.eps)

    @property
    def attacks(self) -> tuple[str, ...]:
        return driver.suite(self.classes)

    @property
    def passes(self) -> float:
        """A query of Square is a forward pass, a third of one with gradient; FAB takes a gradient for two logits."""
        each = {
            "apgd-t": self.iterations * 9,
            "quick-malt": self.iterations * driver.ATTACKED + 9,
            "fab-t": 2 * self.iterations * 9,
            "square": self.queries / 3,
        }
        return 1.0 + sum(each.get(attack, self.iterations) for attack in self.attacks if attack not in self.sampled)

    def for_classes(self, classes: int) -> Self:
        found = replace(self, classes=max(classes, min(driver.REDUCED)))  # of fewer classes there is no suite
        driver.check_classes(self.name, found.attacks, classes)
        return found

    def constants(self) -> dict[str, Any]:
        return super().constants() | {
            "norm": self.norm,
            "eps": self.eps,
            "attacks": [{"name": attack, **self._constants(attack)} for attack in self.attacks],
            "verdict": "worst case over the attacks, each on the images still standing",
            "implementation": driver.implementation(),
            "search": self.search,
            "seed": self.seed,
        }

    def _constants(self, attack: str) -> dict[str, Any]:
        fixed = driver.constants(attack, self.norm, self.classes, self.iterations, self.queries)
        return fixed | {"search": self._search(attack)}

    def _search(self, attack: str) -> Precision:
        return self.search if attack in driver.IN_HALF_PRECISION else "fp32"

    def _differs(self) -> list[str]:
        reduced = len(self.attacks) > 1 and self.attacks != driver.STANDARD
        return [*["reduced"] * reduced, *super()._differs(), *describe(self.search)]

    def attack(self, model: nn.Module, x: Tensor, y: Tensor, index: Tensor, record: Record | None = None) -> Tensor:
        record = record or Record()
        with GradientsTaken() as taken:
            standing = predict(model, x) == y

        def search(attack: str, rows: Tensor) -> Tensor:
            found, chosen = x.clone(), rows & self._attacked(attack, index)
            if chosen.any():
                compute = partial(self._run, attack, model, x[chosen], y[chosen], index[chosen])
                found[chosen] = record.part(attack, of=index[chosen], compute=compute)
            return found[rows]

        worst = driver.worst_case(self.attacks, search, model, x, y, standing, norm=self.norm, eps=self.eps)
        record.evidence |= {BROKEN_BY: worst.broken_by, UNCONFIRMED: worst.unconfirmed}
        if self.gradient != "unused":
            record.evidence |= {
                ZERO_GRADIENT: zero_gradients(model, x, y),
                DYNAMIC: torch.full_like(y, taken.any),
            }
        return worst.images

    def _attacked(self, attack: str, index: Tensor) -> Tensor:
        """Which images an attack runs on if they are still standing, bool (B,)."""
        return torch.ones_like(index, dtype=torch.bool)

    def _run(self, attack: str, model: nn.Module, x: Tensor, y: Tensor, index: Tensor) -> Tensor:
        """One attack on standing images, which are at `index` of the data."""
        network, precision = pad_small_batches(model), self._search(attack)
        return driver.run(
            attack,
            network,
            x,
            y,
            index,
            norm=self.norm,
            eps=self.eps,
            seed=derived_seed(self.seed, attack, 0),
            constants=driver.constants(attack, self.norm, self.classes, self.iterations, self.queries),
            precision=precision,
            bare=model.model if isinstance(model, Padded) else model,
            fused=network.fused(precision) if isinstance(network, Padded) else None,
        )


@dataclass(frozen=True)
class WhiteBox(AutoAttack):
    """One attack that follows the gradient; here APGD."""

    pattern: ClassVar[str] = "apgd-ce|apgd-margin|apgd-dlr|apgd-t"
    examples: ClassVar[tuple[str, ...]] = ("apgd-ce", "apgd-margin", "apgd-dlr", "apgd-t")
    gradient: ClassVar[Gradient] = "needed"

    @property
    def attacks(self) -> tuple[str, ...]:
        return (self.name,)


@dataclass(frozen=True)
class QuickMalt(WhiteBox):
    """An upper bound that takes a tenth of AutoAttack's passes: APGD towards the classes that MALT ranks first."""

    pattern: ClassVar[str] = "quick-malt"
    examples: ClassVar[tuple[str, ...]] = ("quick-malt",)


@dataclass(frozen=True)
class Fab(WhiteBox):
    """FAB, which searches in float32 alone."""

    pattern: ClassVar[str] = "fab-t"
    examples: ClassVar[tuple[str, ...]] = ("fab-t",)
    takes: ClassVar[frozenset[str]] = WhiteBox.takes - {"search"}


@dataclass(frozen=True)
class BlackBox(Fab):
    """Square, which only looks at logits, in float32 alone too."""

    pattern: ClassVar[str] = "square"
    examples: ClassVar[tuple[str, ...]] = ("square",)
    gradient: ClassVar[Gradient] = "unused"

    def _differs(self) -> list[str]:
        return [*super()._differs(), *[f"{self.queries} queries"] * (self.queries != AutoAttack.queries)]
