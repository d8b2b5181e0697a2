"""`ensemble-worst`: an ensemble under the union of the attacks that suit it.

An image is robust if the ensemble is right clean and under each of these, all with the constants of `pgd20` and the
same start:

- `log-mean-probability`: cross-entropy of the ensemble's output, which is what `pgd20` attacks;
- `mean-logits`: cross-entropy of the mean of the members' logits;
- `sum-of-losses`: the sum of the members' cross-entropies, in which no confident member silences the others;
- `mean-probability`: cross-entropy of the averaged probabilities, as if these were logits. That is the loss of whoever
  attacks an ensemble that returns probabilities, such as RobustBench's. The prediction is the same; the loss passes a
  second softmax, in which gradients die;
- `transfer from NAME`: `pgd20` on one member alone.

Whatever loss found an image, it counts if the ensemble's own prediction is wrong, so all of them belong to the union.

Images that are misclassified clean are not attacked. All others are, by every attack, so that each is known alone;
the attacks run on fewer images than a pass holds, in multiples of 8 (see `passes`), as those of AutoAttack do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from advss_zoo.attacks.ascent import ascend
from advss_zoo.attacks.checks import predict
from advss_zoo.attacks.search import Search
from advss_zoo.evaluation.checks import check_adversarial, zero_gradients
from advss_zoo.evaluation.details import PART, ZERO_GRADIENT
from advss_zoo.evaluation.passes import Padded
from advss_zoo.evaluation.protocols.transfer import Apart, EnsemblePgd
from advss_zoo.evaluation.record import Record
from advss_zoo.models.ensemble import Ensemble, log_mean_probability

# Members' logits (B,M,K) and labels (B,) to the sum of the images' losses.
EnsembleLoss = Callable[[Tensor, Tensor], Tensor]
# Images, labels and indices to adversarial images.
Attack = Callable[[Tensor, Tensor, Tensor], Tensor]
_cross_entropy = partial(F.cross_entropy, reduction="sum")

LOSSES: dict[str, EnsembleLoss] = {
    "log-mean-probability": lambda logits, y: _cross_entropy(log_mean_probability(logits), y),
    "mean-logits": lambda logits, y: _cross_entropy(logits.mean(dim=1), y),
    "sum-of-losses": lambda logits, y: _cross_entropy(logits.flatten(0, 1), y.repeat_interleave(logits.shape[1])),
    "mean-probability": lambda logits, y: _cross_entropy(log_mean_probability(logits).exp(), y),
}


@dataclass(frozen=True)
class EnsembleWorst(EnsemblePgd):
    pattern: ClassVar[str] = "ensemble-worst"
    examples: ClassVar[tuple[str, ...]] = ("ensemble-worst",)

    def constants(self) -> dict[str, Any]:
        return super().constants() | {
            "loss": ", ".join([*LOSSES, "cross-entropy of each member alone"]),
            "verdict": "worst case over the attacks, each on all images that are right clean",
        }

    def attack(self, model: nn.Module, x: Tensor, y: Tensor, index: Tensor, record: Record | None = None) -> Tensor:
        """Return what the first attack to break an image made of it; x where none does or the image is misclassified
        clean.
        """
        record = record or Record()
        right = predict(model, x) == y
        found, standing = x.clone(), right.clone()
        for place, (name, attack) in enumerate(self._attacks(self.ensemble(model)).items()):
            made = x.clone()
            if right.any():
                compute = partial(attack, x[right], y[right], index[right])
                made[right] = record.part(self._part(place, name), of=index[right], compute=compute)
            check_adversarial(made, x, self.ball)
            broken = right & (predict(model, made) != y)
            record.evidence[PART + name] = broken
            first = standing & broken
            found[first] = made[first]
            standing &= ~broken
        record.evidence[ZERO_GRADIENT] = zero_gradients(model, x, y)
        return found

    def _attacks(self, ensemble: Ensemble) -> Mapping[str, Attack]:
        together = {name: partial(self._against, ensemble, loss) for name, loss in LOSSES.items()}
        members = zip(ensemble.names, ensemble.members, strict=True)
        return together | {f"transfer from {name}": partial(self._on, member) for name, member in members}

    def _against(self, ensemble: Ensemble, loss: EnsembleLoss, x: Tensor, y: Tensor, index: Tensor) -> Tensor:
        logits = Search(Padded(Apart(ensemble)), self.search)
        return ascend(
            lambda z: loss(logits(z), y),
            x,
            self.threat.random_start(x, index, self.seed),
            threat=self.threat,
            steps=self.steps,
            step_size=self.step_size,
        )
