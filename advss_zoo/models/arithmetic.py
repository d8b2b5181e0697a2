"""float32 as it is meant: for training, and for evaluation the same every time, too."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

_backends: Any = torch.backends
# cuDNN's default for float32 convolutions is TF32, with 10 bits of mantissa. PyTorch has two sets of switches for it.
# Code of others may read the old ones, which raise where the new ones say something else, so both are set.
_PRECISIONS: tuple[Any, ...] = (
    _backends,  # what the others inherit
    _backends.cudnn.conv,
    _backends.cudnn.rnn,
    _backends.cuda.matmul,
    _backends.mkldnn.conv,
    _backends.mkldnn.rnn,
    _backends.mkldnn.matmul,
)


@contextmanager
def ieee_float32() -> Iterator[None]:
    """Compute float32 convolutions and products without TF32 or bfloat16 inside; undone on leaving."""
    convolutions, products = _old_switches()
    precisions = [owner.fp32_precision for owner in _PRECISIONS]
    try:
        _set_old_switches(False, "highest")
        for owner in _PRECISIONS:
            owner.fp32_precision = "ieee"
        yield
    finally:
        _set_old_switches(convolutions, products)  # these move the new ones
        for owner, precision in zip(_PRECISIONS, precisions, strict=True):
            owner.fp32_precision = precision


@contextmanager
def on_threads(count: int | None) -> Iterator[None]:
    """Compute on so many threads of the CPU, on which the order of sums depends; None: on as many as there are."""
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(count or before)
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def exact_arithmetic(device: torch.device) -> Iterator[None]:
    """Forbid reduced precision (autocast included) and kernels that differ between runs; undone on leaving."""
    cudnn = _backends.cudnn
    before = cudnn.benchmark, cudnn.deterministic
    try:
        # Kernels picked by timing, or that add in the order threads arrive, differ from run to run.
        cudnn.benchmark, cudnn.deterministic = False, True
        with ieee_float32(), torch.autocast(device.type, enabled=False):
            yield
    finally:
        cudnn.benchmark, cudnn.deterministic = before


def _old_switches() -> tuple[bool, str]:
    """Of convolutions and of products; PyTorch's defaults where the caller has set the new ones to something else."""
    try:
        return _backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()
    except RuntimeError:
        return True, "highest"


def _set_old_switches(convolutions: bool, products: str) -> None:
    _backends.cudnn.allow_tf32 = convolutions
    torch.set_float32_matmul_precision(products)
