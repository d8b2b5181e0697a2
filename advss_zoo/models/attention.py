"""The attention-pooling head of Selfie (Trinh et al. 2019, arXiv 1906.02940), as the paper's authors built it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from advss_zoo.models.precision import at_least_float32


@dataclass(frozen=True)
class TransformerShape:
    """How deep and wide the transformer is; its hidden size is the number of channels of the trunk."""

    layers: int
    heads: int
    feedforward: int


SHAPES = {
    "code": TransformerShape(13, 16, 2048),  # the authors' released network: 109 million parameters at 1024 channels
    "light": TransformerShape(3, 32, 640),  # the configuration of the Selfie paper
    "mini": TransformerShape(3, 4, 128),
}


class AttentionPooling(nn.Module):
    """Which hidden patch belongs where? A vector of the visible patches asks the hidden ones.

    The visible patches are a set without positions. A learnt token collects them in a vector u; u plus the position
    of a hidden patch (a vector for its row plus one for its column) is the query, and its inner products with the
    hidden patches are the logits.
    """

    def __init__(self, channels: int, grid: int, shape: TransformerShape) -> None:
        super().__init__()
        self.grid = grid
        self.layers = nn.ModuleList(_layer(channels, shape) for _ in range(shape.layers))
        self.rows = nn.Parameter(torch.randn(grid, channels))
        self.columns = nn.Parameter(torch.zeros(grid, channels))
        self.token = nn.Parameter(torch.zeros(1, 1, channels))

    def forward(self, patches: Tensor, order: Tensor) -> Tensor:
        """
        Args:
            patches: features of all patches (B, grid*grid, channels).
            order: (B, grid*grid) permutations; the first quarter of each are the hidden positions.

        Returns:
            logits (B, hidden, hidden): which of the hidden patches belongs to which hidden position.
        """
        count = order.shape[1] // 4
        hidden, visible = order[:, :count], order[:, count:]
        rows = torch.arange(len(patches), device=patches.device)[:, None]
        sequence = torch.cat([self.token.to(patches.dtype).expand(len(patches), 1, -1), patches[rows, visible]], dim=1)
        for layer in self.layers:
            sequence = layer(sequence)
        positions = self.rows[hidden // self.grid] + self.columns[hidden % self.grid]
        query = at_least_float32(sequence[:, :1]) + positions
        with torch.autocast(patches.device.type, enabled=False):  # inner products of long vectors need the digits
            return query @ at_least_float32(patches[rows, hidden]).transpose(1, 2)


def _layer(channels: int, shape: TransformerShape) -> nn.TransformerEncoderLayer:
    """Post-norm, GELU in its tanh form, dropout 0.1 on the attention and after both sublayers."""
    layer = nn.TransformerEncoderLayer(
        channels,
        shape.heads,
        shape.feedforward,
        dropout=0.1,
        activation=partial(gelu, approximate="tanh"),
        batch_first=True,
    )
    layer.dropout = nn.Dropout(0)  # torch would drop inside the feed-forward part, too
    nn.init.normal_(layer.self_attn.in_proj_weight, std=math.sqrt(2 / (channels + channels // shape.heads)))
    nn.init.xavier_normal_(layer.self_attn.out_proj.weight)
    return layer
