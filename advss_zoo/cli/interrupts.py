"""Ctrl-C where an exception would do harm."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import NoReturn

from advss_zoo.errors import AdvssError
from advss_zoo.process import keep_freed_memory, share_cores

INTERRUPTED = 130
GO_ON = "Run the same command again to continue."


def import_torch() -> None:
    """Import torch such that Ctrl-C ends the process there and then, and set what concerns the process.

    A KeyboardInterrupt raised while torch sets up its C++ side aborts the process with a core dump, or comes out as
    some other error; and there is nothing yet that would have to be cleaned up.

    Raises:
        AdvssError: the current folder has been deleted, where torch ends the process.
    """
    try:
        Path.cwd()
    except OSError as error:
        raise AdvssError("The current folder no longer exists.", "Change to another one: cd") from error
    before = signal.signal(signal.SIGINT, _leave)
    try:
        threads = share_cores()
        import torch

        if threads:
            torch.set_num_threads(threads)
        keep_freed_memory()
    finally:
        signal.signal(signal.SIGINT, before)


def _leave(*_: object) -> NoReturn:
    os.write(2, f"\nInterrupted. {GO_ON}\n".encode())
    os._exit(INTERRUPTED)
