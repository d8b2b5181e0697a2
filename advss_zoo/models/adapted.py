"""Classifiers of others: what they are given, and how their output becomes logits.

`adapt` tries a model on a few images and puts around it what it needs, and nothing if it needs nothing. Evaluation,
attacks, prediction, export and teachers all see a model through it, so that none of them has checks of its own.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any, NamedTuple, overload

import torch
from torch import Tensor, nn

from advss_zoo.errors import AdvssError, ModelWarning
from advss_zoo.models.ensemble import Ensemble
from advss_zoo.models.model import Model, unwrapped
from advss_zoo.models.outputs import check_logits

TRIED = 8  # images; networks round batches of a multiple of 8 alike
ROUNDING = 1e-2  # of a sum of probabilities; half precision is no more exact
LUMA = (0.299, 0.587, 0.114)  # of red, green and blue (ITU-R BT.601), as Pillow converts to "L"
QUANTIZED = ("torch.ao.nn.quantized", "torch.ao.nn.intrinsic.quantized")
SIGMOIDS = "if they are sigmoids, RA may be overestimated: return the logits before them"


class Conversion(NamedTuple):
    """What is done to a model's input or output, and the sentence without a subject that says so."""

    said: str
    apply: Callable[[Any], Any]


class Adapted(nn.Module):
    """Compute logits (B,K) of images (B,C,H,W) in [0,1] by a model that takes or returns something else.

    Attributes:
        said: what is done, a sentence for each step.
    """

    def __init__(
        self, model: Callable[[Tensor], Any], before: Sequence[Conversion], after: Sequence[Conversion], name: str
    ):
        super().__init__()
        self.model, self.before, self.after = model, tuple(before), tuple(after)
        self.said = (*said_of(model), *(f"{name} {step.said}." for step in (*before, *after)))
        self.training = False

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = _through(self.after, self.model(_through(self.before, x)))
        return logits.to(x.device)


@overload
def adapt(model: nn.Module, x: Tensor, classes: int | None = None, name: str = "The model") -> nn.Module: ...


@overload
def adapt(
    model: Callable[[Tensor], Any], x: Tensor, classes: int | None = None, name: str = "The model"
) -> Callable[[Tensor], Any]: ...


def adapt(
    model: Callable[[Tensor], Any], x: Tensor, classes: int | None = None, name: str = "The model"
) -> Callable[[Tensor], Any]:
    """Return a network that gives logits (B,K): the model's own if it does, else that in an `Adapted`.

    What is done is said in a `ModelWarning`. Of an ensemble each member is adapted.

    Args:
        model: a module in evaluation mode, or a function of torch operations.
        x: images (B,C,H,W) in [0,1], of which the first are tried.
        classes: K, where it is known.
        name: what messages call it.

    Raises:
        AdvssError: it fails on such images, or its output is not clearly the logits of classes.
    """
    side = model.image_size if isinstance(model, Model) else None
    network = unwrapped(model) if isinstance(model, nn.Module) else model
    if isinstance(network, Ensemble):
        return _adapt_members(network, x, classes)
    before, output = _try(network, _few(x), side, name)
    after = _to_logits(output, TRIED, x.dtype, classes, name)
    if not before and not after:
        return network
    adapted = Adapted(network, before, after, name)
    for sentence in adapted.said[len(said_of(network)) :]:
        warnings.warn(sentence, ModelWarning, stacklevel=1)  # from one place, so that Python says it once
    return adapted


def said_of(model: Any) -> tuple[str, ...]:
    """Return what was done to adapt a model, or the members of an ensemble: a sentence for each step."""
    if isinstance(model, Ensemble):
        return tuple(chain.from_iterable(map(said_of, model.members)))
    said: tuple[str, ...] = getattr(model, "said", ())
    return said


def check_weights(model: nn.Module) -> None:
    """Check that all weights are there, and are ordinary tensors.

    Raises:
        AdvssError: one has no shape or no values yet, or a layer is quantised.
    """
    for name, tensor in chain(model.named_parameters(), model.named_buffers()):
        if nn.parameter.is_lazy(tensor):
            raise AdvssError(
                f"{name} of the model has no shape yet (a lazy layer).",
                "Call the model once on an image before it is returned.",
            )
        if tensor.is_meta:
            raise AdvssError(
                f"{name} of the model has no values (it is on the device meta).", "Load the weights, with assign=True."
            )
    for name, layer in model.named_modules():
        if type(layer).__module__.startswith(QUANTIZED):
            raise AdvssError(
                f"{name} of the model is quantised ({type(layer).__name__}), which has no gradients and no weights "
                "that can be identified.",
                "Give the model before quantisation, or an ONNX file of it.",
            )


def _adapt_members(ensemble: Ensemble, x: Tensor, classes: int | None) -> Ensemble:
    found = [
        adapt(member, x, classes, f"{name}, a member of the ensemble,")
        for name, member in zip(ensemble.names, ensemble.members, strict=True)
    ]
    if all(one is other for one, other in zip(found, ensemble.members, strict=True)):
        return ensemble
    adapted = Ensemble(found, ensemble.names)
    adapted.training = adapted.members.training = False
    return adapted


def _few(x: Tensor) -> Tensor:
    """Some images and their negatives, which one image alone does not tell from probabilities or logits by chance."""
    half = x.detach()[: TRIED // 2]
    both = torch.cat([half, 1 - half])
    return both[torch.arange(TRIED, device=x.device) % len(both)]


def _try(model: Callable[[Tensor], Any], x: Tensor, side: int | None, name: str) -> tuple[list[Conversion], Any]:
    """What has to be done to images x (B,C,H,W) for the model to take them, and what it then returns."""
    steps: list[Conversion] = []
    try:
        given = x.clone()
        output = _called(model, given)
    except Exception as error:  # a model of the user's own may fail in any way
        refusal = _refusal(x, error, name)
        if not (steps := _fitting(model, x, side)):
            raise refusal from error
        try:
            given = _through(steps, x).clone()
            output = _called(model, given)
        except Exception:
            raise refusal from error
    if not torch.equal(given, _through(steps, x)):
        steps.append(Conversion("changes its input in place; it is given copies", torch.clone))
    return steps, output


def _called(model: Callable[[Tensor], Any], x: Tensor) -> Any:
    with torch.enable_grad():  # some models take gradients themselves
        return model(x)


def _refusal(x: Tensor, error: Exception, name: str) -> AdvssError:
    if isinstance(error, AdvssError):
        return error
    return AdvssError(
        f"{name} fails on images of shape {tuple(x.shape)}: {str(error).partition(chr(10))[0]}",
        "If it takes images of N pixels, return advss_zoo.Model(network, NAME, image_size=N): others are then resized.",
    )


def _fitting(model: Callable[[Tensor], Any], x: Tensor, side: int | None) -> list[Conversion]:
    """What can be done to images x (B,C,H,W) so that they fit a model that fails on them as they are."""
    steps = []
    channels = _channels(model)
    if channels == 1 and x.shape[1] == 3:
        steps.append(Conversion("takes grey images; colours are converted", _grey))
    elif channels == 3 and x.shape[1] == 1:
        steps.append(Conversion("takes images of three channels; grey is repeated", _coloured))
    if side is not None and tuple(x.shape[2:]) != (side, side):
        resize = partial(nn.functional.interpolate, size=(side, side), mode="bilinear", align_corners=False)
        steps.append(Conversion(f"takes images of {side} pixels; those of {x.shape[-1]} are resized", resize))
    tensors = [each for each in model.parameters() if each.is_floating_point()] if isinstance(model, nn.Module) else []
    kinds = {each.dtype for each in tensors}
    places = {each.device for each in tensors}
    if len(kinds) == 1 and kinds != {x.dtype}:
        (dtype,) = kinds
        steps.append(
            Conversion(
                f"computes in {dtype}, to which images are converted".replace("torch.", ""),
                partial(Tensor.to, dtype=dtype),
            )
        )
    if len(places) == 1 and places != {x.device}:
        (place,) = places
        steps.append(Conversion(f"is on {place}; images are moved there", partial(Tensor.to, device=place)))
    return steps


def _channels(model: Callable[[Tensor], Any]) -> int | None:
    """How many channels it takes, where that can be known."""
    if not isinstance(model, nn.Module):
        return None
    first = next((layer for layer in model.modules() if isinstance(layer, nn.Conv2d)), None)
    return first.in_channels if first else getattr(model, "channels", None)


def _grey(x: Tensor) -> Tensor:
    return (x * x.new_tensor(LUMA)[:, None, None]).sum(dim=1, keepdim=True)


def _coloured(x: Tensor) -> Tensor:
    return x.expand(-1, 3, -1, -1)


def _to_logits(output: Any, images: int, dtype: torch.dtype, classes: int | None, name: str) -> list[Conversion]:
    """What has to be done to the output for B images of a dtype for it to be logits (B,K).

    Attacks compute in the precision of the images, but not in half.
    """
    steps = []
    if not isinstance(output, Tensor):
        entry = _entry(output, images, classes, name)
        steps.append(Conversion(f"returns several outputs, of which {entry!r} is used", partial(_taken, entry=entry)))
        output = _taken(output, entry)
    wanted = torch.promote_types(dtype, torch.float32)
    if output.is_floating_point() and output.dtype not in (dtype, wanted):
        said = f"returns {output.dtype}, which is made {wanted}".replace("torch.", "")
        steps.append(Conversion(said, partial(Tensor.to, dtype=wanted)))
        output = output.to(wanted)
    if output.shape in ((images,), (images, 1)) and output.is_floating_point():
        if _between_0_and_1(output):
            raise AdvssError(
                f"{name} returns one number between 0 and 1 per image, which is a probability or a logit.",
                "Return two columns: for a logit z torch.stack([-z / 2, z / 2], 1), for a probability p "
                "torch.stack([1 - p, p], 1).",
            )
        steps.append(Conversion("returns one logit, taken as that of class 1 against class 0", _two))
        return steps
    check_logits(output, images, Tensor)
    if _are_probabilities(output):
        steps.append(Conversion("returns probabilities; their logarithm is taken", _logarithm))
    elif _between_0_and_1(output) and output.min() < output.max():
        steps.append(Conversion(f"returns numbers between 0 and 1 that do not sum to 1; {SIGMOIDS}", _as_it_is))
    return steps


def _entry(output: Any, images: int, classes: int | None, name: str) -> str | int:
    """Which of several outputs are the logits: the one of that name, or the only one that can be.

    Raises:
        AdvssError: none can be, or several.
    """
    entries = _entries(output)
    fitting = {
        key: value
        for key, value in entries.items()
        if isinstance(value, Tensor) and value.is_floating_point() and value.ndim in (1, 2) and len(value) == images
    }
    rows = {key: value for key, value in fitting.items() if value.ndim == 2} or fitting
    known = {key: value for key, value in rows.items() if value.shape[1:] == (classes,)} or rows
    if "logits" in rows:
        return "logits"
    if len(known) == 1:
        return next(iter(known))
    kinds = [tuple(getattr(value, "shape", ())) or type(value).__name__ for value in entries.values()]
    shown = ", ".join(f"{key!r}: {kind}" for key, kind in zip(entries, kinds, strict=True))
    found = f"{type(output).__name__} ({shown})" if entries else type(output).__name__
    raise AdvssError(
        f"{name} returned {found} for {images} images, expected logits ({images}, {classes or 'classes'}).",
        "Return the logits alone, from a wrapper with forward(self, x): return self.model(x)"
        f"[{next(iter(known), 0)!r}]; of an ONNX file choose with --output NAME.",
    )


def _entries(output: Any) -> Mapping[Any, Any]:
    if isinstance(output, Mapping):
        return output
    if hasattr(output, "_asdict"):
        return dict(output._asdict())
    if isinstance(output, tuple | list):
        return dict(enumerate(output))
    return vars(output) if hasattr(output, "logits") else {}


def _taken(output: Any, entry: str | int) -> Any:
    return _entries(output)[entry]


def _between_0_and_1(output: Tensor) -> bool:
    return bool(((output >= 0) & (output <= 1)).all())


def _two(z: Tensor) -> Tensor:
    z = z.reshape(-1, 1)
    return torch.cat([-z / 2, z / 2], dim=1)


def _are_probabilities(output: Tensor) -> bool:
    sums_to_one = (output.sum(dim=1) - 1).abs() < ROUNDING
    return bool((sums_to_one & (output >= 0).all(dim=1)).all())


def _as_it_is(z: Tensor) -> Tensor:
    return z


def _logarithm(p: Tensor) -> Tensor:
    """What is 0 by rounding becomes the least number; what is negative, and no probability, NaN, which is refused."""
    return torch.where(p == 0, torch.finfo(p.dtype).tiny, p).log()


def _through(steps: Sequence[Conversion], value: Any) -> Any:
    for step in steps:
        value = step.apply(value)
    return value
