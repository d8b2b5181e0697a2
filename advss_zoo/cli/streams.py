"""Standard streams that were closed, or whose reader has gone."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from advss_zoo.errors import AdvssError

STREAMS = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))


def open_closed() -> None:
    """Give this process the standard streams that it was started without, as by `>&-`.

    Without them Python has None for a stream, and the next file that is opened gets its number: what libraries print
    would be written into a checkpoint.
    """
    for number, (name, mode) in enumerate(STREAMS):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115  # as long as the process


def forget(stream: TextIO) -> None:
    """Let what is left in the buffer of a stream go nowhere, so that it does not fail again when Python exits."""
    with suppress(OSError):  # not a file, in a process that is embedded or tested
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


@contextmanager
def written_to_stdout() -> Iterator[None]:
    """Name stdout where it cannot be written to. A reader who has gone is left to `errors.report`, which is silent.

    Raises:
        AdvssError: the disk that stdout goes to is full, or the like.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        forget(sys.stdout)
        raise AdvssError(f"Cannot write to stdout: {error.strerror}.") from error


@contextmanager
def written_to_stderr() -> Iterator[None]:
    """Carry on where stderr cannot be written to: what is said there is worth less than the work it is about."""
    try:
        yield
    except OSError:
        forget(sys.stderr)
