"""In what precision a run computes; its weights are always single precision."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from advss_zoo.attacks.search import DTYPES
from advss_zoo.models.devices import computes_bfloat16
from advss_zoo.objectives.base import Batch, Objective, Predictor
from advss_zoo.threat import Loss


@dataclass(frozen=True)
class Precision:
    """Calling it gives the context of a forward pass.

    bf16 is float32 where the device has no instructions for bfloat16: emulated, it takes a CPU three times as long.
    """

    name: Literal["fp32", "bf16"]
    device: torch.device

    def __call__(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.dtype == torch.bfloat16)

    @cached_property
    def dtype(self) -> torch.dtype:
        return DTYPES[self.name if computes_bfloat16(self.device) else "fp32"]

    def attack_loss(self, objective: Objective, model: Predictor, batch: Batch) -> Loss:
        """Compute the objective's attack loss in this precision."""
        with self():  # for what is computed once and for all steps
            maximised = objective.attack_loss(model, batch)

        def loss(inputs: Tensor) -> Tensor:
            with self():
                return maximised(inputs)

        return loss
