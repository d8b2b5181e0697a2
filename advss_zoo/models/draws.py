"""A random model as one that can be measured: the mean over draws."""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from advss_zoo.models.adapted import said_of
from advss_zoo.models.ensemble import log_mean_probability
from advss_zoo.seeds import derived_seed


class MeanOfDraws(nn.Module):
    """Return the log of the mean probability (B,K) over several draws of a random model (Athalye et al. 2018).

    Without gradients draw k has the same random numbers every time, so a verdict can be repeated. With gradients they
    depend on the images, too: an attack must not learn the random numbers of the verdict. Random numbers of torch,
    numpy and `random` are covered, and left as they were.
    """

    def __init__(self, model: nn.Module, draws: int) -> None:
        super().__init__()
        self.model, self.draws = model, draws
        self.said = said_of(model)
        self.training = False  # of this wrapper alone

    def forward(self, x: Tensor) -> Tensor:
        followed = torch.is_grad_enabled() and x.requires_grad
        moment = 1 + zlib.crc32(x.detach().cpu().numpy().tobytes()) if followed else 0
        with _restored(x.device):
            return log_mean_probability(torch.stack([self._draw(x, k, moment) for k in range(self.draws)], dim=1))

    def _draw(self, x: Tensor, number: int, moment: int) -> Tensor:
        seed = derived_seed(number, "draw", moment)
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.manual_seed(seed)
        logits: Tensor = self.model(x)
        return logits


@contextmanager
def _restored(device: torch.device) -> Iterator[None]:
    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)
