"""`unforeseen-NAME-epsK`: one of the ten attacks of Kang et al. 2019 at its K-th calibrated strength.

`unforeseen-NAME` is all six strengths of one, which make up its UAR, and `unforeseen` all sixty protocols;
`unforeseen-NAME-untargeted` and `unforeseen-untargeted` are the same of the untargeted ones.

As published: towards a random wrong class, 200 steps, the last iterate; an image is robust if it is still classified
correctly, whether or not the target was reached. `unforeseen-NAME-epsK-untargeted` leads away from the label instead;
the strengths were not calibrated for that, so it has no UAR.

Images that are misclassified clean count as broken whatever an attack does, so they are not attacked (in version 1 they
were; no accuracy depends on it).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self, get_args

from torch import Tensor, nn

from advss_zoo.attacks.kang2019 import attacks, find
from advss_zoo.attacks.kang2019.calibration import CIFAR10
from advss_zoo.attacks.kang2019.targets import targeted_loss, untargeted_loss
from advss_zoo.evaluation.ball import Ball, Norm
from advss_zoo.evaluation.protocols.base import Gradient, Protocol, Settings
from advss_zoo.evaluation.record import Record

STEPS = 200
UNTARGETED = "-untargeted"


@dataclass(frozen=True)
class UnforeseenAttack(Protocol):
    """Linf, L2 and L1 are held to their ball of pixels; the others are checked in their own variables by `perturb`."""

    pattern: ClassVar[str] = rf"unforeseen-({'|'.join(attacks())})-eps[1-6]({UNTARGETED})?"
    examples: ClassVar[tuple[str, ...]] = ("unforeseen-fog-eps4", "unforeseen-fog-eps4-untargeted")
    gradient: ClassVar[Gradient] = "needed"
    version: ClassVar[int] = 2
    attacks_misclassified: ClassVar[bool] = False

    name: str
    attack_name: str
    strength: float  # in the attack's own unit
    steps: int = STEPS
    seed: int = 0
    targeted: bool = True

    @classmethod
    def create(cls, name: str, settings: Settings) -> Self:
        attack, _, strength = name.removeprefix("unforeseen-").removesuffix(UNTARGETED).rpartition("-eps")
        targeted = not name.endswith(UNTARGETED)
        return cls(name, attack, CIFAR10[attack].eps[int(strength) - 1], seed=settings.seed, targeted=targeted)

    @classmethod
    def suites(cls) -> Mapping[str, tuple[str, ...]]:
        return _suites("") | _suites(UNTARGETED)

    @property
    def ball(self) -> Ball | None:
        norm: Norm | None = next((norm for norm in get_args(Norm) if norm == self.attack_name), None)
        return None if norm is None else Ball(norm, self.strength / 255)

    @property
    def passes(self) -> float:
        return 1.0 + self.steps

    def for_images(self, shape: Sequence[int]) -> Self:
        find(self.attack_name).check_shape(shape)
        return self

    def _differs(self) -> list[str]:
        return []

    def constants(self) -> dict[str, Any]:
        return super().constants() | {
            "attack": self.attack_name,
            "strength": self.strength,
            "steps": self.steps,
            "step": find(self.attack_name).step_size(self.strength, self.steps),
            "loss": "minus cross-entropy to a random wrong class" if self.targeted else "cross-entropy",
            "iterate": "last",
            "seed": self.seed,
        }

    def attack(self, model: nn.Module, x: Tensor, y: Tensor, index: Tensor, record: Record | None = None) -> Tensor:
        if not len(x):
            return x
        loss = targeted_loss(model, y, index=index, seed=self.seed) if self.targeted else untargeted_loss(model, y)
        return find(self.attack_name).perturb(loss, x, eps=self.strength, index=index, seed=self.seed, steps=self.steps)


def _suites(suffix: str) -> dict[str, tuple[str, ...]]:
    """All attacks whose names end so, together and one by one, each at all its strengths."""
    by_attack = {
        f"unforeseen-{attack}{suffix}": tuple(
            f"unforeseen-{attack}-eps{place}{suffix}" for place in range(1, len(CIFAR10[attack].eps) + 1)
        )
        for attack in attacks()
    }
    return {f"unforeseen{suffix}": tuple(name for names in by_attack.values() for name in names), **by_attack}
