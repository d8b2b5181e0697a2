"""A pretended GPU: tensors whose data lie in the CPU's memory and whose device is cuda:0.

Inside `pretended_gpu()` a tensor moved to "cuda" refuses what a real one refuses, an operation together with a tensor
of the CPU or `numpy()`, and counts what makes the CPU wait for the GPU: a number read from a tensor, a shape that
depends on values, a copy in either direction. Dividing by a Python number multiplies by its reciprocal, as CUDA does.

It cannot show how kernels round, which of them are missing, what memory they need, or what backward passes do inside:
those run on plain tensors. The tests marked `gpu` are for that.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

from advss_zoo.data import pixels

CUDA = torch.device("cuda:0")
ELSEWHERE = (str(Path(torch.__file__).parent), __file__)  # files that pass on what others ask for
# Functions that return Python values, or tensors whose shape depends on values.
WAITING = {
    "item", "tolist", "__bool__", "__int__", "__float__", "__index__", "__complex__", "__contains__", "__format__",
    "__repr__", "nonzero", "argwhere", "masked_select", "is_nonzero", "equal", "allclose", "unique",
    "unique_consecutive", "bincount", "cpu",
}  # fmt: skip
COPYING = {"tensor", "as_tensor", "asarray", "new_tensor", "from_numpy"}  # make tensors of Python's or numpy's numbers
DIVISIONS = {"div", "div_", "true_divide", "true_divide_", "__truediv__", "__itruediv__", "divide", "divide_"}
FROM_ANYWHERE = {"copy_", "_foreach_copy_", "__setitem__", "index_put_"}  # take a tensor of another device
HANDLED_BY_TORCH = {"_has_compatible_shallow_copy_type": False}


class MixedDevicesError(RuntimeError):
    """An operation has tensors of both devices."""


class GpuTensor(Tensor):
    """A tensor of the pretended GPU."""

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Sequence[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        return PretendedGpu.current.__torch_function__(func, types, args, kwargs)


class PretendedGpu(TorchFunctionMode):
    """What calls of torch do; `waits` counts by file and line, and by what was asked for."""

    current: PretendedGpu

    def __init__(self) -> None:
        super().__init__()
        self.waits: Counter[tuple[str, str]] = Counter()

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        name, kwargs = getattr(func, "__name__", ""), dict(kwargs or {})
        with torch._C.DisableTorchFunction():
            leaves = tree_leaves((args, kwargs))
            here = any(isinstance(leaf, GpuTensor) for leaf in leaves)
            if name in HANDLED_BY_TORCH:
                return HANDLED_BY_TORCH[name]
            if here and (special := getattr(self, f"_{name.strip('_')}_of_gpu", None)):
                return special(func, args, kwargs)
            if name in ("to", "cuda"):
                return self._moved(name, func, args, kwargs)
            if here:
                self._check(name, args, kwargs, leaves)
            there = self._device(name, kwargs, here)
            if here and name in DIVISIONS and isinstance(args[1], int | float) and not kwargs:
                func, args = _by_reciprocal(name, args)
            return (
                tree_map(_put if there else _taken, func(*args, **kwargs)) if here or there else func(*args, **kwargs)
            )

    def _get_of_gpu(self, func: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """An attribute."""
        known = {"device": CUDA, "is_cuda": True, "is_cpu": False}
        attribute = getattr(getattr(func, "__self__", None), "__name__", "")
        return known[attribute] if attribute in known else tree_map(_put, func(*args, **kwargs))

    def _set_of_gpu(self, func: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        return func(*args, **kwargs)

    def _numpy_of_gpu(self, func: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        raise TypeError(f"can't convert cuda:0 device type tensor to numpy ({_place()})")

    _array_of_gpu = _numpy_of_gpu

    def _deepcopy_of_gpu(self, func: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        tensor, memo = args
        if id(tensor) not in memo:
            copied = _put(_taken(tensor).detach().clone()).requires_grad_(tensor.requires_grad)
            if getattr(tensor, "_is_param", False):
                copied._is_param = True
            memo[id(tensor)] = copied
        return memo[id(tensor)]

    def _register_hook_of_gpu(self, func: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        tensor, hook = args

        def put(gradient: Tensor) -> Any:
            with torch._C._EnableTorchFunction():
                return hook(_put(gradient))

        return func(tensor, put)

    def _moved(self, name: str, func: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
        """`to` and `cuda`: the device that is named, and what the call says beside it."""
        tensor, *others = args
        device, rest = kwargs.pop("device", CUDA if name == "cuda" else None), []
        for other in others:
            if isinstance(other, Tensor):
                device = CUDA if isinstance(other, GpuTensor) else "cpu"
                rest.append(other.dtype)
            elif isinstance(other, str | torch.device):
                device = other
            elif isinstance(other, torch.dtype):
                rest.append(other)
        kwargs = {key: value for key, value in kwargs.items() if value is not None and key != "non_blocking"}
        made = func(tensor, *rest, **kwargs) if (rest or kwargs) and name == "to" else tensor
        before = isinstance(tensor, GpuTensor)
        after = before if device is None else torch.device(device).type == "cuda"
        if before != after:
            self._wait("copy to the GPU" if after else "copy from the GPU")
        return _put(made) if after else _taken(made)

    def _device(self, name: str, kwargs: dict[str, Any], here: bool) -> bool:
        """Whether the result lies on the GPU; the call itself makes it on the CPU."""
        if (device := kwargs.pop("device", None)) is None:
            return here and name not in ("tensor", "cpu")
        kwargs["device"] = "cpu"
        there = torch.device(device).type == "cuda"
        if there and name in COPYING:
            self._wait("copy to the GPU")
        return there

    def _check(self, name: str, args: Any, kwargs: Mapping[str, Any], leaves: Sequence[Any]) -> None:
        """
        Raises:
            MixedDevicesError: tensors of both devices come together, and one of the CPU is more than a number.
        """
        if name in WAITING:
            self._wait(name)
        if name in ("__getitem__", "__setitem__"):
            self._check_index(name, *args)
        elif (name == "repeat_interleave" and any(isinstance(other, GpuTensor) for other in args[1:])) or (
            name == "where" and len(args) == 1
        ):
            self._wait(name)
        elif name == "copy_" and isinstance(args[0], GpuTensor) != isinstance(args[1], GpuTensor):
            self._wait("copy between devices")
        if name in FROM_ANYWHERE or name == "__getitem__":
            return
        for leaf in leaves:
            if isinstance(leaf, Tensor) and not isinstance(leaf, GpuTensor) and (leaf.ndim or name in ("cat", "stack")):
                self._refuse(f"{name}: a tensor of shape {tuple(leaf.shape)} is on the CPU")

    def _check_index(self, name: str, tensor: Tensor, index: Any, value: Any = None) -> None:
        for part in index if isinstance(index, tuple) else (index,):
            if isinstance(part, slice):
                if any(isinstance(bound, GpuTensor) for bound in (part.start, part.stop, part.step)):
                    self._wait("bounds of a slice")
            elif isinstance(part, GpuTensor):
                if not isinstance(tensor, GpuTensor):
                    self._refuse("a tensor of the CPU is indexed by one of the GPU")
                if part.dtype in (torch.bool, torch.uint8) and (name == "__getitem__" or isinstance(value, Tensor)):
                    self._wait("a mask as an index")
            elif isinstance(part, Tensor) and part.ndim and isinstance(tensor, GpuTensor):
                self._wait("copy of an index to the GPU")
        if isinstance(value, Tensor) and value.ndim and isinstance(value, GpuTensor) != isinstance(tensor, GpuTensor):
            self._refuse("values are assigned to a tensor of the other device")

    def _wait(self, what: str) -> None:
        self.waits[what, _place()] += 1

    def _refuse(self, what: str) -> None:
        raise MixedDevicesError(f"Expected all tensors to be on the same device: {what} ({_place()})")


def _put(value: Any) -> Any:
    return value.as_subclass(GpuTensor) if isinstance(value, Tensor) and not isinstance(value, GpuTensor) else value


def _taken(value: Any) -> Any:
    return value.as_subclass(Tensor) if isinstance(value, GpuTensor) else value


def _by_reciprocal(name: str, args: Any) -> tuple[Callable[..., Any], Any]:
    """The product that CUDA computes for a quotient, in the precision of the numbers."""
    tensor, number, *rest = args
    dtype = tensor.dtype if tensor.is_floating_point() else torch.get_default_dtype()
    inverse = (torch.ones((), dtype=dtype) / number).item()
    in_place = name.endswith("_") and name not in ("__truediv__",)
    return (torch.Tensor.mul_ if in_place else torch.mul), (tensor if in_place else tensor.to(dtype), inverse, *rest)


def _place() -> str:
    """The file and line that asked for it."""
    frame = sys._getframe(1)
    while frame.f_back and frame.f_code.co_filename.startswith(ELSEWHERE):
        frame = frame.f_back
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"


@contextmanager
def pretended_gpu() -> Iterator[PretendedGpu]:
    """Let torch have a GPU, "cuda:0", inside."""
    autocast, fork_rng = torch.autocast.__init__, torch.random.fork_rng

    def on_cpu(self: Any, device_type: str, *args: Any, **kwargs: Any) -> None:
        autocast(self, "cpu" if device_type == "cuda" else device_type, *args, **kwargs)

    replaced = [
        patch.object(torch.autocast, "__init__", on_cpu),
        patch.object(torch.random, "fork_rng", lambda devices=(), *args, **kwargs: fork_rng([], *args, **kwargs)),
        patch.object(torch.cuda, "is_available", lambda: True),
        patch.object(torch.cuda, "device_count", lambda: 1),
        patch.object(torch.cuda, "get_device_name", lambda device=None: "pretended"),
        patch.object(torch.cuda, "is_bf16_supported", lambda including_emulation=True: True),
        patch.object(torch.cuda, "_exchange_device", lambda index: 0),
        patch.object(torch.cuda, "_maybe_exchange_device", lambda index: 0),
        patch.object(torch.cuda, "current_device", lambda: 0),
    ]
    before = torch.__future__.get_overwrite_module_params_on_conversion()
    # Modules keep their parameters when they are moved, and these would go on to be tensors of the CPU.
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    PretendedGpu.current = PretendedGpu()
    try:
        with ExitStack() as stack:
            for each in replaced:
                stack.enter_context(each)
            with PretendedGpu.current:
                yield PretendedGpu.current
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(before)
        pixels.levels.cache_clear()
