"""What is checked of a model's output, whoever asked for it and in whatever library it computes. Imports no torch."""

from __future__ import annotations

from typing import Any, TypeVar

from advss_zoo.errors import AdvssError

MOST_TEMPERATURE = 1e6  # by which logits are divided; beyond it all classes are equally probable anyway

T = TypeVar("T")


def check_logits(output: Any, images: int, kind: type[T], classes: int | None = None) -> T:
    """Return `output` itself if it can be the logits (B,K) of B `images`.

    Args:
        kind: what it has to be: a tensor or an array.
        classes: K, where it is known.

    Raises:
        AdvssError: it is something else.
    """
    shape = tuple(getattr(output, "shape", ())) if isinstance(output, kind) else None
    if shape is None or len(shape) != 2 or shape[0] != images or classes not in (None, shape[1]):
        found = type(output).__name__ if shape is None else f"shape {shape}"
        raise AdvssError(
            f"The model returned {found} for {images} images, expected logits ({images}, {classes or 'classes'})."
        )
    return output


def check_finite(logits: Any) -> None:
    """Check that an output is finite.

    Raises:
        AdvssError: one of them, in a tensor or an array, is not finite.
    """
    if not (abs(logits) < float("inf")).all():  # written so that NaN fails
        raise AdvssError("The model's output is NaN or infinite.", "Its weights may be damaged.")
