"""Jigsaw (Noroozi and Favaro 2016; Carlucci et al. 2019, arXiv 1903.06864): in which order are the pieces?"""

from __future__ import annotations

from functools import cache
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from advss_zoo.errors import CheckpointError
from advss_zoo.models.architecture import Architecture
from advss_zoo.models.network import Network
from advss_zoo.models.patches import shuffled
from advss_zoo.noise import per_image_uniform
from advss_zoo.objectives.base import Batch, ClassObjective


class Jigsaw(ClassObjective):
    """Class 0 is the image as it is, class k the k-th of a fixed set of random permutations of its pieces.

    The permutations are a function of `permutation_seed`; the network carries them as the buffer
    `head.permutations`, so that a checkpoint says what its classes mean. Weights that carry others are not loaded.
    """

    name: Literal["jigsaw"] = "jigsaw"
    grid: int = Field(4, ge=2, le=16)
    permutations: int = Field(30, ge=1, le=1000)
    # Beyond the equal share of class 0. The released code has 0.1, where JiGen's bias of 0.9 is the other way round.
    unshuffled: float = Field(0.1, ge=0, lt=1)
    permutation_seed: int = Field(22, ge=0, lt=2**32)

    def build(self, architecture: Architecture) -> Network:
        network = architecture.model_copy(update={"num_classes": self.permutations + 1}).classifier()
        network.head.register_buffer("permutations", self.orders().clone())
        network.head.register_load_state_dict_pre_hook(self._check_orders)
        return network

    def transform(self, images: Tensor, labels: Tensor, index: Tensor, seed: int) -> Batch:
        draws = per_image_uniform((len(images), 2), index, seed, images.device)
        kinds = (draws[:, 0] * (self.permutations + 1)).long()
        kinds = torch.where(draws[:, 1] < self.unshuffled, 0, kinds)
        return Batch(shuffled(images, self.orders().to(images.device)[kinds], self.grid), kinds, index)

    def undo(self, views: Tensor, batch: Batch) -> Tensor:
        return shuffled(views, self.orders().to(views.device).argsort(dim=1)[batch.targets], self.grid)

    def _check_orders(self, head: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
        """
        Raises:
            CheckpointError: the classes of the weights are other permutations than those of this objective.
        """
        key = f"{prefix}permutations"
        if key in state and not torch.equal(state[key].cpu(), self.orders()):
            raise CheckpointError(
                f"{key} in the weights differs from the permutations of permutation_seed {self.permutation_seed}."
            )

    def orders(self) -> Tensor:
        """Return the order of the pieces for each class, (permutations + 1, grid*grid); the first is the identity."""
        return _orders(self.grid**2, self.permutations, self.permutation_seed)


@cache
def _orders(pieces: int, count: int, seed: int) -> Tensor:
    # RandomState's stream is frozen by numpy, so a seed means the same permutations in every version.
    random = np.random.RandomState(seed)
    orders = [np.arange(pieces), *(random.permutation(pieces) for _ in range(count))]
    return torch.from_numpy(np.stack(orders).astype(np.int64))
