"""Errors that a person caused or can mend: one sentence, and what to type next."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails


class AdvssError(Exception):
    """Something went wrong outside this code: a file, a name, a network. Exit status 1."""

    exit_code = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        if not self.hint:
            return self.message
        stop = "" if self.message.endswith((".", "!", "?")) else "."  # it may end with the words of a library
        return f"{self.message}{stop} {self.hint}"


class UsageError(AdvssError):
    """The request itself was wrong: an unknown name, an eps that is no number. Exit status 2."""

    exit_code = 2


class CheckpointError(AdvssError):
    """A checkpoint folder that cannot be trusted or does not fit."""


class DataError(AdvssError):
    """A data set that is missing, damaged or of the wrong shape."""


class ModelWarning(UserWarning):
    """What is done to the input or output of a model of others, so that it takes images and returns logits."""


MENTIONED = 10  # mistakes, before it is said how many more there are
LONGEST = 500  # characters of one: what is wrong may be as long as its author likes


def all_mistakes(error: ValidationError, words: Iterable[str] = ()) -> str:
    """List the errors of pydantic with their places: "epochs: Input should be ...; ...".

    Args:
        words: the keys that exist, of which an unknown one brings the nearest.
    """
    found = error.errors()
    # A list whose entries are wrong has them, and is not too short.
    found = [item for item in found if item["type"] != "too_short" or not _has_more(item, found)]
    more = [f"and {len(found) - MENTIONED:,} more"] if len(found) > MENTIONED else []
    return "; ".join([*(_mistake(item, words)[:LONGEST] for item in found[:MENTIONED]), *more])


def _mistake(item: ErrorDetails, words: Iterable[str]) -> str:
    place, message, context = ".".join(map(str, item["loc"])), item["msg"], item.get("ctx", {})
    if item["type"] == "extra_forbidden":
        message = f"unknown key{nearest(str(item['loc'][-1]), words)}"
    elif item["type"] == "union_tag_invalid":
        known = context["expected_tags"].replace("'", "").split(", ")
        key = context["discriminator"].strip("'")
        place = f"{place}.{key}"
        message = f"unknown {key} {context['tag']!r}{nearest(context['tag'], known)}; choose from {', '.join(known)}"
    elif item["type"] == "value_error":
        message = str(context["error"])  # without pydantic's "Value error, "
    elif item["type"] in ("model_type", "model_attributes_type"):
        message = f"must be a map of keys, got {item['input']!r}"
    elif item["type"] in ("tuple_type", "list_type"):
        message = f"must be a list, got {item['input']!r}"
    elif item["type"] == "too_short":
        message = f"must have at least {context['min_length']} {'entry' if context['min_length'] == 1 else 'entries'}"
    elif item["type"] == "literal_error":
        message += nearest(str(item["input"]), re.findall(r"'([^']*)'", context["expected"]))
    return f"{place}: {message}" if place else message


def _has_more(item: ErrorDetails, found: list[ErrorDetails]) -> bool:
    """Tell whether there are mistakes below the place of this one."""
    place = item["loc"]
    return any(len(other["loc"]) > len(place) and other["loc"][: len(place)] == place for other in found)


def nearest(word: str, known: Iterable[str]) -> str:
    """Return " (did you mean epochs?)", or "" without a similar known word."""
    near = difflib.get_close_matches(word[:LONGEST], list(known), n=1)
    return f" (did you mean {near[0]}?)" if near else ""
