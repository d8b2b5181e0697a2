"""What an ONNX file of ours says of itself, in its `metadata_props`: texts under the names of the fields below."""

from __future__ import annotations

import json
import re
import sys
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from advss_zoo.data.folder.values import MOST as MOST_VALUE
from advss_zoo.errors import CheckpointError
from advss_zoo.models.outputs import MOST_TEMPERATURE

MARK = "advss_version"  # the key by which a file is known to be ours
Norm = Literal["linf", "l2"]
NORMS: tuple[Norm, ...] = ("linf", "l2")
MOST_PIXELS = 4096  # a side, as in a checkpoint's configuration
LONGEST = 1_000  # characters of a name
# What steers a terminal, is no text, or turns the direction of text (Unicode's Bidi_Control). All else may be in the
# name of a class: blanks of every kind, and what joins an emoji or a Persian word.
STEERING = ("Cc", "Cs")
TURNING = frozenset(map(chr, (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))))


@dataclass(frozen=True)
class Metadata:
    """`classes` are in the order of the logits, `sha256` is of the weights: of a checkpoint's file, else of the values.

    `norm` and `eps` say which perturbations it was trained to withstand; None where that is not known. Probabilities
    are softmax(logits / temperature). `value_range` are the values that are 0 and 1, of images with more than 8 bits.
    """

    name: str
    sha256: str
    classes: tuple[str, ...]
    image_size: int
    advss_version: str
    norm: Norm | None = None
    eps: float | None = None
    temperature: float = 1.0
    value_range: tuple[float, float] | None = None

    def to_props(self) -> dict[str, str]:
        props = {
            "name": self.name,
            "sha256": self.sha256,
            "classes": json.dumps(self.classes, ensure_ascii=False),
            "image_size": str(self.image_size),
            MARK: self.advss_version,
        }
        known = {} if self.eps is None else {"norm": str(self.norm), "eps": repr(self.eps)}
        if self.value_range:
            known["value_range"] = json.dumps(self.value_range)
        return {**props, **known, "temperature": repr(self.temperature)}

    @classmethod
    def from_props(cls, props: Mapping[str, str]) -> Self:
        """Parse the metadata of an ONNX file.

        Raises:
            CheckpointError: a text is missing, or is not what its name says.
        """
        try:
            return cls(
                name=_name(props["name"]),
                sha256=_matching(r"[0-9a-f]{64}", props["sha256"]),
                classes=_classes(json.loads(props["classes"])),
                image_size=_image_size(props["image_size"]),
                advss_version=_name(props[MARK]),
                norm=_norm(props["norm"]) if "eps" in props else None,
                eps=_positive(props["eps"]) if "eps" in props else None,
                temperature=_positive(props.get("temperature", "1"), MOST_TEMPERATURE),
                value_range=_value_range(json.loads(props["value_range"])) if "value_range" in props else None,
            )
        except KeyError as error:
            raise CheckpointError(f"Metadata key {error} is missing.") from error
        except (ValueError, RecursionError) as error:
            raise CheckpointError(f"Metadata is invalid: {str(error)[:LONGEST]}.") from error


def is_name(text: str) -> bool:
    """Tell whether a text can be a name in an ONNX file."""
    harmless = not any(unicodedata.category(each) in STEERING or each in TURNING for each in text)
    return 0 < len(text) <= LONGEST and harmless


def _name(text: str) -> str:
    if not is_name(text):
        raise ValueError(f"{text[:50]!r} is not a valid name")
    return text


def _matching(pattern: str, text: str) -> str:
    if not re.fullmatch(pattern, text):
        raise ValueError(f"{text[:50]!r} is not a sha256")
    return text


def _classes(found: Any) -> tuple[str, ...]:
    if not isinstance(found, list) or not found or not all(isinstance(label, str) for label in found):
        raise ValueError("classes must be a list of names")
    return tuple(map(_name, found))


def _value_range(found: Any) -> tuple[float, float]:
    if not isinstance(found, list) or len(found) != 2 or not all(type(value) in (int, float) for value in found):
        raise ValueError("value_range must be two numbers")
    black, white = found
    if not -MOST_VALUE <= black < white <= MOST_VALUE:  # written so that NaN fails
        raise ValueError("value_range must be two rising numbers")
    return float(black), float(white)


def _image_size(text: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,3}", text) or int(text) > MOST_PIXELS:
        raise ValueError(f"image_size must be 1 to {MOST_PIXELS}, got {text[:50]!r}")
    return int(text)


def _norm(text: str) -> Norm:
    for known in NORMS:
        if text == known:
            return known
    raise ValueError(f"unknown norm {text[:50]!r}; choose from {', '.join(NORMS)}")


def _positive(text: str, most: float = sys.float_info.max) -> float:
    value = float(text)
    if not 0 < value <= most:  # written so that NaN fails
        raise ValueError(f"{text[:50]!r} is not a positive number")
    return value
