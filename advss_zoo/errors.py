"""Errors that a person caused or can mend: one sentence, and what to type next."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError


class AdvssError(Exception):
    """Something went wrong outside this code: a file, a name, a network. Exit status 1."""

    exit_code = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}" if self.hint else self.message


class UsageError(AdvssError):
    """The request itself was wrong: an unknown name, an eps that is no number. Exit status 2."""

    exit_code = 2


class CheckpointError(AdvssError):
    """A checkpoint folder that cannot be trusted or does not fit."""


class DataError(AdvssError):
    """A data set that is missing, damaged or of the wrong shape."""


def all_mistakes(error: ValidationError) -> str:
    """Everything that pydantic found wrong, each with its place: "epochs: Input should be ...; ..."."""
    found = [(".".join(map(str, item["loc"])), item["msg"]) for item in error.errors()]
    return "; ".join(f"{place}: {mistake}" if place else mistake for place, mistake in found)
