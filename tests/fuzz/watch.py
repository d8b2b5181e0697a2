"""What a parser does beside returning: it must not write, start programs, ask the network, or take long."""

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


def _notice(event: str, arguments: tuple[object, ...]) -> None:
    if _deeds is None:
        return
    if event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITING:
        _deeds.append(f"open for writing {arguments[0]!r}")
    elif event.startswith((*CHANGES, *STARTS)):
        _deeds.append(f"{event}{arguments!r}")


sys.addaudithook(_notice)  # cannot be taken away again, so it looks only while somebody asks


class TooLongError(BaseException):
    """Not an Exception, so that no parser takes it for damaged bytes."""


@contextmanager
def harmless(seconds: int) -> Iterator[None]:
    """Fails if what is done inside takes longer, or does anything but read."""
    global _deeds

    def stop(*_: object) -> None:
        raise TooLongError(f"more than {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    deeds = _deeds = []
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
