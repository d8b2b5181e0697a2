"""Our pre-activation networks as an attack on a CPU wants them: outputs and their gradient for images, nothing else.

Three things make a step cheaper than through autograd. Batch norms in evaluation mode are folded into the convolutions
beside them; what remains of them, an addition or a ReLU, oneDNN does on the way out of a convolution; and weights are
brought into its own order once, also those of the way back. Each number is that of the network but for rounding, so a
search may follow it, and the network itself has to judge.

The batch norm before a block reads the sum that goes on beside the block, too, so it cannot be folded as it is. With
s > 0, relu(s*h + t) is s*relu(h + t/s): s goes into the convolutions behind it, and h is carried with t/s already
added, which the convolution before it does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, pairwise, zip_longest
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from advss_zoo.models.as_built import as_built, hooked
from advss_zoo.models.backbones.resnetv2 import Head, PreactivationBlock, ResNetV2Architecture, ResNetV2Trunk
from advss_zoo.models.ensemble import Ensemble
from advss_zoo.models.network import Network, Normalize, pooled

# Of gradients, relative to their lengths. Most images have to be within it: where what a ReLU reads is 0 but for
# rounding, the gradients are two different ones, and both are right.
TOLERANCE = 1e-6
CHECKED = 8  # images
LARGEST = 32.0  # that may be carried: with it, sums are rounded more coarsely

_onednn: Any = torch.ops.mkldnn
_aten: Any = torch.ops.aten


def find(model: nn.Module, x: Tensor, dtype: torch.dtype) -> nn.Module | None:
    """Return what gives the logits of `model` and their gradient faster, or None: there is no such.

    Args:
        model: a classifier in evaluation mode. Later changes of its weights are not seen.
        x: images (B,3,H,W) like those to come; on some of them the gradients are compared in float32.
        dtype: what convolutions compute in, float32 or bfloat16.
    """
    members = list(model.members) if type(model) is Ensemble and not hooked(model) else [model]
    if x.dtype != torch.float32 or not all(suits(member, dtype) for member in members):
        return None
    exact, asked = (_together([FusedNetwork(member, kind) for member in members]) for kind in (torch.float32, dtype))
    return asked if _agree(model, exact, x[:CHECKED]) else None


def suits(model: nn.Module, dtype: torch.dtype) -> bool:
    """Tell whether there is a `FusedNetwork` of a model: a network of ours for small images, in float32 on a CPU that
    can compute in `dtype`, whose trunk and classifier are in every part what they were built as.
    """
    if not isinstance(model, Network) or not isinstance(model.architecture, ResNetV2Architecture) or hooked(model):
        return False
    kind, architecture = type(model), model.architecture
    if (kind.forward, kind.features) != (Network.forward, Network.features) or architecture.stem == "imagenet":
        return False
    values = [value for value in chain(model.parameters(), model.buffers()) if value.is_floating_point()]
    return (
        torch.backends.mkldnn.is_available()
        and (dtype == torch.float32 or _onednn._is_mkldnn_bf16_supported())
        and all(value.dtype == torch.float32 and value.device.type == "cpu" for value in values)
        and type(model.normalize) is Normalize
        and as_built(model.trunk, partial(ResNetV2Trunk, architecture))
        and (not isinstance(model.head, Head) or as_built(model.head, partial(Head, architecture)))
    )


def _together(members: Sequence[nn.Module]) -> nn.Module:
    return members[0] if len(members) == 1 else Ensemble(members)


def _agree(model: nn.Module, fused: nn.Module, x: Tensor) -> bool:
    def gradients(network: nn.Module) -> Tensor:
        with torch.enable_grad():
            z = x.detach().requires_grad_()
            return torch.autograd.grad(network(z).log_softmax(dim=1)[:, 0].sum(), z)[0].flatten(1)

    expected = gradients(model)
    off = (gradients(fused) - expected).norm(dim=1)
    return bool((off <= TOLERANCE * expected.norm(dim=1)).float().mean() > 0.5)


class FusedNetwork(nn.Module):
    """`network`, one that `suits`, with the weights and in the mode (evaluation) that it has when this is first called.

    Gradients for images are all that there is of derivatives, and of first order.
    """

    def __init__(self, network: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        assert isinstance(network, Network)
        self._network, self._dtype = network, dtype
        self._trunk: _Path | None = None
        self._all: _Path | None = None

    @property
    def head(self) -> nn.Module:
        return self._network.head

    def features(self, x: Tensor) -> Tensor:
        """Map images (B,3,H,W) in [0,1] to the trunk's features, in float32."""
        self._trunk = self._trunk or _Path(self._network, blocks_of(self._network.trunk), self._dtype, x.shape)
        features: Tensor = _Apply.apply(self._trunk, x)
        return features

    def forward(self, x: Tensor) -> Tensor:
        head = self._network.head
        if not isinstance(head, Head):
            outputs: Tensor = head(self.features(x))
            return outputs
        if self._all is None:
            self._all = _Path(self._network, blocks_of(self._network), self._dtype, x.shape)
        return head.linear(pooled(_Apply.apply(self._all, x)))


def blocks_of(module: nn.Module) -> list[PreactivationBlock]:
    """Return the blocks of a network or of its trunk or head, in their order."""
    return [part for part in module.modules() if isinstance(part, PreactivationBlock)]


class _Apply(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, path: _Path, x: Tensor) -> Tensor:
        sums, seen = path.run(x)
        if context.needs_input_grad[1]:
            context.path, context.seen = path, seen
        return sums.float()

    @staticmethod
    @once_differentiable
    def backward(context: Any, slope: Tensor) -> tuple[None, Tensor]:
        return None, context.path.back(slope, context.seen)


class _Path:
    """Images (B,3,H,W) through stem and blocks to the sums that the last block gives."""

    def __init__(
        self, network: Network, blocks: Sequence[PreactivationBlock], dtype: torch.dtype, shape: Sequence[int]
    ) -> None:
        trunk, before = network.trunk, (1 / network.normalize.std).flatten()
        assert isinstance(trunk, ResNetV2Trunk)
        self._dtype, self._mean = dtype, network.normalize.mean
        sums = _Sums(_nothing(trunk.conv1))
        if trunk.bn1 is None:
            sums = _Sums.wanted(blocks[0], sums.carried)
            self._stem = _Convolution(trunk.conv1, dtype, shape, before=before, bias=sums.carried)
        else:
            norm = _Affine.of(trunk.bn1)
            self._stem = _Convolution(trunk.conv1, dtype, shape, before=before, after=norm.scale, bias=norm.shift)
        self._relu = trunk.bn1 is not None or sums.rectified
        self._chain = Chain(blocks, dtype, self._stem.shape, sums)

    def run(self, x: Tensor) -> tuple[Tensor, _Seen]:
        """Return the sums (B,C,h,w), and what `back` has to know."""
        centred = (x - self._mean).to(self._dtype).contiguous(memory_format=torch.channels_last)
        first = self._stem(centred, relu=self._relu)
        sums, inputs = self._chain.run(first)
        return sums, _Seen(first, inputs)

    def back(self, slope: Tensor, seen: _Seen) -> Tensor:
        """The gradient for images (B,3,H,W) of one for the sums."""
        slope = slope.to(self._dtype).contiguous(memory_format=torch.channels_last)
        found = self._chain.back(slope, seen.inputs)
        if self._relu:
            found = _through_relu(found, seen.first)
        return self._stem.back(found, seen.first).float().contiguous()


@dataclass(frozen=True)
class _Seen:
    first: Tensor  # what the stem gave
    inputs: list[list[Tensor]]  # of the convolutions of each block


class Chain:
    """Blocks of a network that `suits`, one after the other; calling it gives what the last one gives, (B,C,h,w).

    Args:
        shape: of the sums that the first one reads, (B,C,H,W); of others it is only slower.
        reads: what these are; None: those of the network.
    """

    def __init__(
        self,
        blocks: Sequence[PreactivationBlock],
        dtype: torch.dtype,
        shape: Sequence[int],
        reads: _Sums | None = None,
    ) -> None:
        reads = reads or _Sums(torch.zeros_like(blocks[0].bn1.bias))
        self._blocks = list[_Block]()
        for block, following in zip_longest(blocks, blocks[1:]):
            nothing = _nothing(block.layers[-1][1])
            beside = reads.carried if block.shortcut is None else nothing
            gives = _Sums(nothing) if following is None else _Sums.wanted(following, beside)
            self._blocks.append(_Block(block, dtype, shape, reads, gives, bias=gives.carried - beside))
            reads, shape = gives, self._blocks[-1].shape

    def __call__(self, sums: Tensor) -> Tensor:
        return self.run(sums.contiguous(memory_format=torch.channels_last))[0]

    def run(self, sums: Tensor) -> tuple[Tensor, list[list[Tensor]]]:
        """Return what the last block gives, and what `back` has to know."""
        inputs = []
        for block in self._blocks:
            sums, of_block = block(sums)
            inputs.append(of_block)
        return sums, inputs

    def back(self, slope: Tensor, inputs: list[list[Tensor]]) -> Tensor:
        """Return the gradient for what the first block read, of that for what the last one gave."""
        for block, of_block in zip(reversed(self._blocks), reversed(inputs), strict=True):
            slope = block.back(slope, of_block)
        return slope


@dataclass(frozen=True)
class _Sums:
    """What is handed from block to block.

    carried: what is added to the sums of the network, (C,).
    ready: is that the shift of the batch norm of the block that reads them?
    rectified: is it their ReLU, which is all that a block reads whose shortcut is a convolution?
    """

    carried: Tensor
    ready: bool = False
    rectified: bool = False

    @classmethod
    def wanted(cls, block: PreactivationBlock, beside: Tensor) -> _Sums:
        """What a block is best handed, where what comes beside the block before carries this."""
        norm = _Affine.of(block.bn1)
        shift = norm.shift / norm.scale
        if bool((norm.scale > 0).all()) and bool((shift.abs() <= LARGEST).all()):
            return cls(shift, True, block.shortcut is not None)
        return cls(beside)


def _nothing(conv: nn.Conv2d) -> Tensor:
    return conv.weight.new_zeros(conv.out_channels)


@dataclass(frozen=True)
class _Affine:
    """A batch norm in evaluation mode: scale * h + shift, each (C,)."""

    scale: Tensor
    shift: Tensor

    @classmethod
    def of(cls, norm: nn.BatchNorm2d) -> _Affine:
        assert norm.running_mean is not None
        assert norm.running_var is not None
        scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        return cls(scale, norm.bias - norm.running_mean * scale)


class _Convolution:
    """A convolution and its way back from gradients of outputs to those of inputs.

    Args:
        before, after: what inputs and outputs are multiplied by, (C,).
        bias: (C,).
        shape: of the inputs, (B,C,H,W); of others it is only slower.
    """

    def __init__(
        self,
        conv: nn.Conv2d,
        dtype: torch.dtype,
        shape: Sequence[int],
        *,
        before: Tensor | None = None,
        after: Tensor | None = None,
        bias: Tensor | None = None,
    ) -> None:
        weight = conv.weight if before is None else conv.weight * before.view(1, -1, 1, 1)
        weight = (weight if after is None else weight * after.view(-1, 1, 1, 1)).to(dtype)
        self.bias = None if bias is None else bias.to(dtype)
        self.stride, self.padding = list(conv.stride), [int(side) for side in conv.padding]
        sides = [(side - 1) // step + 1 for side, step in zip(shape[2:], self.stride, strict=True)]
        self.shape = [shape[0], len(weight), *sides]
        self._weight = self._packed(weight, self.stride, shape)
        if self.stride == [1, 1]:  # then the way back is a convolution, too
            self._back = self._packed(weight.transpose(0, 1).flip(2, 3), [1, 1], self.shape)
        else:
            self._back = weight.contiguous(memory_format=torch.channels_last)

    def _packed(self, weight: Tensor, stride: list[int], shape: Sequence[int]) -> Tensor:
        packed: Tensor = _onednn._reorder_convolution_weight(weight, self.padding, stride, [1, 1], 1, list(shape))
        return packed

    def __call__(self, x: Tensor, *, relu: bool = False, plus: Tensor | None = None) -> Tensor:
        return self._run(x, self._weight, self.bias, self.stride, relu, plus)

    def back(self, slope: Tensor, x: Tensor, plus: Tensor | None = None) -> Tensor:
        """The gradient for inputs like x, of a gradient for outputs, plus another."""
        if self.stride == [1, 1]:
            return self._run(slope, self._back, None, [1, 1], False, plus)
        found: Tensor = _aten.convolution_backward(
            slope, x, self._back, None, self.stride, self.padding, [1, 1], False, [0, 0], 1, [True, False, False]
        )[0]
        return found if plus is None else found.add_(plus)

    def _run(
        self, x: Tensor, weight: Tensor, bias: Tensor | None, stride: list[int], relu: bool, plus: Tensor | None
    ) -> Tensor:
        where = self.padding, stride, [1, 1], 1
        found: Tensor
        if plus is None:
            found = _onednn._convolution_pointwise(x, weight, bias, *where, "relu" if relu else "none", [], "")
        else:
            last: tuple[Any, ...] = ("relu" if relu else None, [], None)
            found = _onednn._convolution_pointwise.binary(x, plus, weight, bias, *where, "add", None, *last)
        return found


class _Block:
    """A block of the network, from sums to sums.

    Args:
        bias: what its last convolution adds, (C,).
    """

    def __init__(
        self,
        block: PreactivationBlock,
        dtype: torch.dtype,
        shape: Sequence[int],
        reads: _Sums,
        gives: _Sums,
        bias: Tensor,
    ) -> None:
        norm, pairs = _Affine.of(block.bn1), block.layers
        self._rectified, self._relu = reads.rectified, gives.rectified
        self._scale = None if reads.ready else norm.scale.to(dtype).view(1, -1, 1, 1)
        self._shift = (norm.shift - norm.scale * reads.carried).to(dtype).view(1, -1, 1, 1)
        before = norm.scale if reads.ready else None
        self._shortcut = None if block.shortcut is None else _projection(block.shortcut, dtype, shape, before)
        self._convolutions: list[_Convolution] = []
        for (_, conv), (following, _) in pairwise(pairs):
            after = _Affine.of(following)
            made = _Convolution(conv, dtype, shape, before=before, after=after.scale, bias=after.shift)
            self._convolutions.append(made)
            before, shape = None, made.shape
        self._convolutions.append(_Convolution(pairs[-1][1], dtype, shape, bias=bias))
        self.shape = self._convolutions[-1].shape

    def __call__(self, sums: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the next sums, and the inputs of the convolutions."""
        inputs = [sums if self._rectified else self._activated(sums)]
        for convolution in self._convolutions[:-1]:
            inputs.append(convolution(inputs[-1], relu=True))
        beside = sums if self._shortcut is None else self._shortcut(inputs[0])
        return self._convolutions[-1](inputs[-1], relu=self._relu, plus=beside), inputs

    def _activated(self, sums: Tensor) -> Tensor:
        return torch.relu(sums) if self._scale is None else torch.addcmul(self._shift, sums, self._scale).relu_()

    def back(self, slope: Tensor, inputs: list[Tensor]) -> Tensor:
        """The gradient for the sums that it read, of that for the sums that it gave; both before any ReLU."""
        (first, x), *others = zip(self._convolutions, inputs, strict=True)
        found = slope
        for convolution, read in reversed(others):
            found = _through_relu(convolution.back(found, read), read)
        beside = None if self._shortcut is None else self._shortcut.back(slope, x)
        found = _through_relu(first.back(found, x, beside), x)
        if self._shortcut is None:
            return found.add_(slope) if self._scale is None else torch.addcmul(slope, found, self._scale, out=found)
        return found if self._scale is None else found.mul_(self._scale)


def _projection(shortcut: nn.Module, dtype: torch.dtype, shape: Sequence[int], before: Tensor | None) -> _Convolution:
    conv, *norms = shortcut.children()
    assert isinstance(conv, nn.Conv2d)
    if not norms:
        return _Convolution(conv, dtype, shape, before=before)
    norm = _Affine.of(norms[0])  # type: ignore[arg-type]
    return _Convolution(conv, dtype, shape, before=before, after=norm.scale, bias=norm.shift)


def _through_relu(slope: Tensor, output: Tensor) -> Tensor:
    """The gradient for what a ReLU read, of that for its output; in place."""
    found: Tensor = _aten.threshold_backward.grad_input(slope, output, 0, grad_input=slope)
    return found
