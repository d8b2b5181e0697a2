"""A network at images that differ from ones it remembers in a small window: what the window cannot reach is kept.

A 3x3 convolution carries a change one pixel further, so the first blocks of a residual network see a window of 4x4
pixels as one of 6x6, 8x8 and so on. They are computed on what changes alone, and from the block on in which that would
be most of the image everything is. Each number is the same sum as in the whole network.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from advss_zoo.models import fused
from advss_zoo.models.as_built import as_built, hooked
from advss_zoo.models.backbones.resnetv2 import Head, PreactivationBlock, ResNetV2
from advss_zoo.models.ensemble import Ensemble, log_mean_probability

# The share of positions up to which a block is computed in part; there a position costs more.
MOST = 0.6

Span = tuple[int, int]  # from, to (exclusive)


@dataclass(frozen=True)
class Window:
    """A rectangle of positions."""

    rows: Span
    columns: Span

    def of(self, x: Tensor) -> Tensor:
        """Return the part (B,C,h,w) of x (B,C,H,W), a view."""
        return x[:, :, slice(*self.rows), slice(*self.columns)]

    def within(self, outer: Window) -> Window:
        """Return the same positions counted from the corner of `outer`, as far as they lie in it."""
        spans = zip((self.rows, self.columns), (outer.rows, outer.columns), strict=True)
        rows, columns = ((max(a, lo) - lo, min(b, hi) - lo) for (a, b), (lo, hi) in spans)
        return Window(rows, columns)


@dataclass(frozen=True)
class Patch:
    """New values (B,C,h,w) in a window."""

    values: Tensor
    window: Window

    def onto(self, x: Tensor) -> Tensor:
        """Return x (B,C,H,W) with the new values."""
        x = x.clone()
        self.window.of(x).copy_(self.values)
        return x

    def seen_in(self, window: Window, x: Tensor) -> Tensor:
        """Return what `window` of x (B,C,H,W) holds with the new values."""
        part = window.of(x).clone()
        self.window.within(window).of(part).copy_(window.within(self.window).of(self.values))
        return part


class Local:
    """`model` where images differ from those of x (B,3,H,W) in windows of up to `size` pixels a side.

    Args:
        model: in evaluation mode, one that `suits`.
    """

    def __init__(self, model: ResNetV2, x: Tensor, size: int) -> None:
        assert isinstance(model.head, Head)
        self._model, self._linear, self.size = model, model.head.linear, size
        blocks = fused.blocks_of(model)
        z = model.normalize(x)
        h, reach = self._stem(model.trunk.conv1(z)), _reach(size, model.trunk.conv1)
        # What is remembered: the input of every convolution that is computed in part, and at last that of the rest.
        self._memory, place = [z, h], 0
        while place < len(blocks) and reach**2 <= MOST * h.shape[2] * h.shape[3]:
            block, first = blocks[place], h
            for bn, conv in block.layers:
                h, reach = conv(torch.relu(bn(h))), _reach(reach, conv)
                self._memory.append(h)
            h = self._memory[-1] = _shortcut(block, first) + h
            place += 1
        self._near, rest = blocks[:place], blocks[place:]
        whole = rest and fused.suits(model, h.dtype)
        self._rest = fused.Chain(rest, h.dtype, h.shape) if whole else nn.Sequential(*rest)
        self._patches: list[Patch] = []

    def __call__(self, values: Tensor, window: Window) -> Tensor:
        """Logits of the images that are remembered, with these values (B,3,h,w) in `window`."""
        memory, trunk = iter(self._memory), self._model.trunk
        patch = Patch(self._model.normalize(values), window)
        self._patches = [patch]
        patch = _convolved(trunk.conv1, next(memory), patch)
        patch = Patch(self._stem(patch.values), patch.window)
        for block in self._near:
            inputs, changes = [next(memory) for _ in block.layers], [patch]
            for (bn, conv), before in zip(block.layers, inputs, strict=True):
                changes.append(_convolved(conv, before, changes[-1], bn))
            *inner, last = changes
            self._patches += inner
            shortcut = _shortcut_in(block, inputs[0], inner[0], last.window)
            patch = Patch(shortcut + last.values, last.window)
        self._patches.append(patch)
        features = self._rest(patch.onto(next(memory)))
        logits: Tensor = self._linear(features.mean(dim=(2, 3)))
        return logits

    def keep(self, rows: Tensor) -> None:
        """Remember of the images at `rows` what they were at the last call."""
        for patch, remembered in zip(self._patches, self._memory, strict=True):
            patch.window.of(remembered)[rows] = patch.values[rows]

    def _stem(self, h: Tensor) -> Tensor:
        bn = self._model.trunk.bn1
        return h if bn is None else torch.relu(bn(h))


class LocalEnsemble:
    """The same for an ensemble."""

    def __init__(self, ensemble: Ensemble, x: Tensor, size: int) -> None:
        self.size = size
        self._members = [remember(member, x, size) for member in ensemble.members]

    def __call__(self, values: Tensor, window: Window) -> Tensor:
        return log_mean_probability(torch.stack([member(values, window) for member in self._members], dim=1))

    def keep(self, rows: Tensor) -> None:
        for member in self._members:
            member.keep(rows)


def suits(model: nn.Module) -> bool:
    """Tell whether parts of the network can be computed, or of each member of an ensemble."""
    if type(model) is Ensemble:
        return not hooked(model) and all(map(suits, model.members))
    if type(model) is not ResNetV2 or model.architecture.stem == "imagenet":
        return False
    return as_built(model, partial(ResNetV2, model.architecture))


def remember(model: nn.Module, x: Tensor, size: int) -> Local | LocalEnsemble:
    """Return `Local` for a network that `suits`, or `LocalEnsemble` for an ensemble."""
    if isinstance(model, Ensemble):
        return LocalEnsemble(model, x, size)
    assert isinstance(model, ResNetV2)
    return Local(model, x, size)


def _reach(length: int, conv: nn.Conv2d) -> int:
    """How long a span of outputs, at most, so long a span of inputs has an effect on."""
    return (length + conv.kernel_size[0] - 2) // conv.stride[0] + 1


def _shortcut(block: PreactivationBlock, x: Tensor) -> Tensor:
    if block.shortcut is None:
        return x
    shortcut: Tensor = block.shortcut(torch.relu(block.bn1(x)))
    return shortcut


def _shortcut_in(block: PreactivationBlock, x: Tensor, patch: Patch, window: Window) -> Tensor:
    """What the shortcut gives in `window`, with the patch in its input x (B,C,H,W)."""
    stride = 1 if block.shortcut is None else block.shortcut[0].stride[0]  # type: ignore[index]
    rows, columns = ((lo * stride, (hi - 1) * stride + 1) for lo, hi in (window.rows, window.columns))
    return _shortcut(block, patch.seen_in(Window(rows, columns), x))


def _convolved(conv: nn.Conv2d, x: Tensor, patch: Patch, bn: nn.BatchNorm2d | None = None) -> Patch:
    """What the patch in x (B,C,H,W) changes in conv(x), or in conv(relu(bn(x)))."""
    spans, needed, filled = zip(
        *(
            _spans(conv, span, length)
            for span, length in zip((patch.window.rows, patch.window.columns), x.shape[2:], strict=True)
        ),
        strict=True,
    )
    part = patch.seen_in(Window(*needed), x)
    if bn is not None:
        part = torch.relu(bn(part))
    part = F.pad(part, (*filled[1], *filled[0]))
    return Patch(F.conv2d(part, conv.weight, conv.bias, conv.stride), Window(*spans))


def _spans(conv: nn.Conv2d, span: Span, length: int) -> tuple[Span, Span, Span]:
    """Along one axis: which outputs the inputs in `span` have an effect on, which inputs these take, and how many zeros
    before and after those."""
    size, stride, padding = conv.kernel_size[0], conv.stride[0], int(conv.padding[0])
    first = max(0, -(-(span[0] + padding - size + 1) // stride))
    last = min((length + 2 * padding - size) // stride, (span[1] - 1 + padding) // stride)
    begin, end = first * stride - padding, last * stride - padding + size
    return (first, last + 1), (max(begin, 0), min(end, length)), (max(-begin, 0), max(end - length, 0))
