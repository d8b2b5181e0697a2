"""Which weights a model has."""

from __future__ import annotations

import hashlib
from itertools import chain

import torch
from torch import nn


def weights_sha256(model: nn.Module) -> str:
    """Hash names, types, shapes and values of all parameters and buffers, saved in checkpoints or not."""
    digest = hashlib.sha256()
    for name, tensor in chain(model.named_parameters(), model.named_buffers()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
