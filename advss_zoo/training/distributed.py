"""The processes that share a run, often only one. HF Accelerate says which there are and lets them communicate.

A step's batch is cut into shares: one a process, or several that a process goes through one after the other
(gradient accumulation). Each share is normalised by itself and the running statistics of batch norm become the mean
over the shares, so that it makes no difference whether processes or accumulation do the cutting.
"""

from __future__ import annotations

import atexit
import warnings
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TypeVar

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from torch import Tensor, nn

from advss_zoo.errors import UsageError
from advss_zoo.models.devices import pick_device

Item = TypeVar("Item")


@dataclass(frozen=True)
class Share:
    """Part of a batch: which of the shares it is, its images, and the weight of its mean loss."""

    number: int
    index: Tensor
    weight: float


class DistributedContext:
    """This process among those of the run."""

    def __init__(self, device: str | torch.device = "cpu", accumulation: int = 1) -> None:
        """
        Args:
            device: as for `pick_device`.
            accumulation: shares that each process goes through in a step.

        Raises:
            UsageError: there is no such device, or this process works on another already.
        """
        self.device = torch.device(pick_device(device))
        # Precision is the recipe's choice; statistics of batch norm are averaged here, not copied from one process.
        self._accelerator = Accelerator(
            device_placement=False,  # Accelerate knows no GPU but the first, where there is one process
            cpu=self.device.type == "cpu",
            mixed_precision="no",
            kwargs_handlers=[DistributedDataParallelKwargs(broadcast_buffers=False)],
        )
        self.is_first: bool = self._accelerator.is_main_process
        found, several = self._accelerator.device, self._accelerator.num_processes > 1
        if found.type != self.device.type or (several and self.device.type == "cuda" and found != self.device):
            raise UsageError(f"Device {device} is not available: this process already uses {found}.")
        self._size, self._rank = self._accelerator.num_processes, self._accelerator.process_index
        self.total = self._size * accumulation  # shares of a batch
        atexit.register(_leave)

    def prepare(self, module: nn.Module) -> nn.Module:
        """Wrap a module so that its gradients are averaged over processes."""
        with warnings.catch_warnings(action="ignore", category=FutureWarning):
            # Newer versions of torch call `broadcast_buffers` something else, older ones know nothing else.
            prepared: nn.Module = self._accelerator.prepare(module)
        return prepared

    def shares(self, module: nn.Module, index: Tensor, statistics: Sequence[Tensor]) -> Iterator[Share]:
        """Yield this process's shares of a batch; one is processed before the next is requested.

        Args:
            module: what `prepare` returned.
            index: (B,) all images of the step.
            statistics: tensors that each share moves in place, from where they are now.
        """
        before = [tensor.clone() for tensor in statistics] if self.total > 1 else []
        moved = [torch.zeros_like(tensor) for tensor in before]
        for number in range(self._rank, self.total, self._size):
            last = number + self._size >= self.total
            for tensor, start in zip(statistics, before, strict=bool(before)):
                tensor.copy_(start)
            with nullcontext() if last else self._accelerator.no_sync(module):
                yield self._share(number, index)
            for change, tensor, start in zip(moved, statistics, before, strict=bool(before)):
                change += tensor - start
        if before:
            # In one exchange. The mean is that of the changes: one of equal numbers may differ from them in a last bit.
            changes = self.sum(torch.cat([change.flatten() for change in moved])) / self.total
            parts = changes.split([change.numel() for change in moved])
            for tensor, start, change in zip(statistics, before, parts, strict=True):
                tensor.copy_(start + change.view_as(tensor))

    def _share(self, number: int, index: Tensor) -> Share:
        part = index[number :: self.total]
        if not len(part):  # the tail of an epoch may have fewer images than there are shares
            return Share(number, index[:1], 0.0)
        # Gradients are averaged over processes and summed over the shares of one.
        return Share(number, part, len(part) / len(index) * self._size)

    def backward(self, loss: Tensor) -> None:
        self._accelerator.backward(loss)

    def mine(self, items: Sequence[Item]) -> Sequence[Item]:
        """Return this process's part of independent pieces of work."""
        return items[self._rank :: self._size]

    def sum(self, value: Tensor) -> Tensor:
        """Sum over processes."""
        return self._accelerator.reduce(value, reduction="sum") if self._size > 1 else value

    def mean(self, value: Tensor) -> Tensor:
        """Average over processes."""
        return self.sum(value) / self._size

    def wait(self) -> None:
        """Wait until all processes are here."""
        self._accelerator.wait_for_everyone()


def _leave() -> None:
    """Take leave of the other processes, or threads that still wait for them abort this one as it ends."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
