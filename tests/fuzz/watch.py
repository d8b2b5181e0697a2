"""What a parser does beside returning: it must not write, start programs, ask the network, or take long.

What it must not do does not happen either: a test that finds a hole must not leave one in the machine.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate", "shutil.")
STARTS = ("subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.fork", "socket.connect", "pickle.find_class")

_deeds: list[str] | None = None
_allowed: Path | None = None


class HarmError(BaseException):
    """Raised in place of the deed. Not an Exception, so that no parser takes it for damaged bytes."""


def _notice(event: str, arguments: tuple[object, ...]) -> None:
    if _deeds is None:
        return
    if event == "open":
        path, _, flags = arguments
        opened = isinstance(path, int)  # before, which was an event of its own
        harm = not opened and isinstance(flags, int) and bool(flags & WRITING) and not _is_allowed(path)
    elif event.startswith(CHANGES):
        harm = not all(_is_allowed(path) for path in _changed(event, arguments))
    else:
        harm = event.startswith(STARTS)
    if harm:
        _deeds.append(f"{event}{arguments!r}")
        raise HarmError(_deeds[-1])


def _changed(event: str, arguments: tuple[object, ...]) -> list[object]:
    """The paths of an event. What a symbolic link says counts from where it lies."""
    paths = [argument for argument in arguments if isinstance(argument, str | bytes | os.PathLike)]
    if event == "os.symlink":
        target, link = map(os.fsdecode, paths)
        return [Path(link).parent / target, link]
    return list(paths)


def _is_allowed(path: object) -> bool:
    if _allowed is None or not isinstance(path, str | bytes | os.PathLike):
        return False
    whole = os.path.abspath(os.fsdecode(path))  # noqa: PTH100  where links lead is asked when they are made
    return Path(whole).is_relative_to(_allowed)


sys.addaudithook(_notice)  # cannot be taken away again, so it looks only while somebody asks


class TooLongError(BaseException):
    """Not an Exception, so that no parser takes it for damaged bytes."""


@contextmanager
def harmless(seconds: int, allowed: Path | None = None) -> Iterator[None]:
    """Fails if what is done inside takes longer, or does anything but read, and write into the folder `allowed`."""
    global _deeds, _allowed

    def stop(*_: object) -> None:
        raise TooLongError(f"more than {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    deeds = _deeds = []
    _allowed = allowed
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
        _deeds = None
    assert deeds == []


def tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
