"""In what precision an attack looks for adversarial images. What it finds is judged in float32 whatever it is.

Half precision makes a step cheaper and its gradient coarser, so an attack takes another path, as it does from another
start. A claim of success never rests on it: wherever the network errs in half precision, it is asked again in float32
before an attack may stop at that image.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from advss_zoo.models.precision import at_least_float32

Precision = Literal["fp32", "bf16"]
DTYPES: dict[Precision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16}
Network = Callable[[Tensor], Tensor]


def describe(precision: Precision) -> list[str]:
    """Describe what differs from the default, for a label: nothing, or "bf16 search"."""
    return [] if precision == "fp32" else [f"{precision} search"]


@dataclass(frozen=True)
class Search:
    """A network in the precision of a search; calling it gives logits (B,K), never in half precision.

    Args:
        network: images (B,C,H,W) to logits (B,K).
        fused: what a search may follow in place of it, in its precision (see `models.fused`).
    """

    network: Network
    precision: Precision = "fp32"
    fused: Network | None = None

    def __call__(self, x: Tensor) -> Tensor:
        if self.fused is not None:
            return self.fused(x)
        if self.precision == "fp32":
            return at_least_float32(self.network(x))
        with torch.autocast(x.device.type, torch.bfloat16), _HeadsInFloat32():
            return at_least_float32(self.network(x))

    def verified_logits(self, x: Tensor, y: Tensor, among: Tensor | None = None) -> Tensor:
        """Return logits that are those of the network in float32 where x is misclassified.

        Args:
            y: labels (B,).
            among: bool (B,), the images whose errors count; None: all.

        Returns:
            Logits (B,K), whose gradient is that of the search.
        """
        logits = self(x)
        if self.precision == "fp32" and self.fused is None:
            return logits
        wrong = logits.argmax(dim=1) != y
        rows = (wrong if among is None else wrong & among).nonzero().squeeze(1)
        if not len(rows):
            return logits
        with torch.no_grad():
            exact = at_least_float32(self.network(x[rows]))
        slope = logits[rows]
        return logits.index_copy(0, rows, exact + (slope - slope.detach()))


class _HeadsInFloat32(TorchFunctionMode):
    """Within autocast, linear maps of one vector an image (B,F) in float32: they make logits out of features.

    They cost next to nothing, and bfloat16 would leave steps of 1/64 between logits of 2 to 4. With p1f4.mini the error
    of a margin is 0.0040 instead of 0.0054, and that of its change under a small square 0.0024 instead of 0.0051
    (`benchmarks/choices.py p1f4.mini --only heads --images 64`).
    """

    def __torch_function__(
        self, function: Any, types: Any, arguments: tuple[Any, ...] = (), settings: dict[str, Any] | None = None
    ) -> Any:
        if function is F.linear and arguments[0].ndim == 2:
            with torch.autocast(arguments[0].device.type, enabled=False):
                wide: Any = [value if value is None else at_least_float32(value) for value in arguments]
                return function(*wide, **(settings or {}))
        return function(*arguments, **(settings or {}))
