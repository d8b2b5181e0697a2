"""One evaluation by several processes: each takes whole passes, and whoever finds them all finished joins them.

The processes are those of a launcher (accelerate launch, torchrun). They meet in the folder of the evaluation alone:
what a pass gave is a file there, and who works on a pass holds a lock, which the system takes back from a process that
dies. So verdicts do not depend on how many processes there are, and neither does going on after a kill.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch

from advss_zoo.errors import UsageError
from advss_zoo.evaluation.effort import Effort
from advss_zoo.evaluation.verdicts import Verdicts
from advss_zoo.files import explained, if_there, read_json, write_json

TAKEN = (errno.EACCES, errno.EAGAIN)  # how a system says that another process holds a lock
PAUSE = 0.2  # seconds between two looks at what others have finished


def processes() -> int:
    """How many a launcher has started, this one among them."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def own_device(device: torch.device) -> torch.device:
    """Of several processes on a machine with several GPUs, each has its own."""
    if device.type != "cuda" or device.index is not None or processes() == 1:
        return device
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())


@dataclass(frozen=True)
class Finished:
    """What passes have given, in `folder`: two files for each, named after its first image."""

    folder: Path

    def write(self, first: int, verdicts: Verdicts, effort: Effort) -> None:
        write_json(self._path(first, "json"), effort.to_dict())
        verdicts.write(self._path(first, "npz"))  # the last, and the sign that all is there

    def read(self, first: int) -> tuple[Verdicts, Effort] | None:
        with if_there():  # whoever joins the passes deletes them in the end
            return Verdicts.read(self._path(first, "npz")), Effort.model_validate(read_json(self._path(first, "json")))
        return None

    def _path(self, first: int, suffix: str) -> Path:
        return self.folder / f"{first:08d}.{suffix}"


class Claims:
    """Numbers from 0 on, each held by one process at a time: locks on the bytes of a file in `folder`."""

    def __init__(self, folder: Path) -> None:
        """
        Raises:
            UsageError: this system has no such locks.
        """
        try:
            import fcntl
        except ImportError as error:
            raise UsageError(
                "Several processes cannot share an evaluation on this system.", "Start a single one."
            ) from error
        self._fcntl, self._folder = fcntl, folder
        path = folder / "claims"
        with explained("write", path):
            folder.mkdir(parents=True, exist_ok=True)
            self._file = path.open("ab")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @contextmanager
    def on(self, number: int) -> Iterator[bool]:
        """Whether this process holds `number` now; others have to do without until it is left.

        Raises:
            UsageError: files in this folder cannot be locked.
        """
        mine = self._lock(number, self._fcntl.LOCK_EX | self._fcntl.LOCK_NB)
        try:
            yield mine
        finally:
            if mine:
                self._lock(number, self._fcntl.LOCK_UN)

    @contextmanager
    def last(self, number: int) -> Iterator[None]:
        """Hold `number` as soon as no other process does.

        Raises:
            UsageError: files in this folder cannot be locked.
        """
        self._lock(number, self._fcntl.LOCK_EX)
        try:
            yield
        finally:
            self._lock(number, self._fcntl.LOCK_UN)

    def _lock(self, number: int, how: int) -> bool:
        """Was that possible? If not, another process holds `number`."""
        try:
            self._fcntl.lockf(self._file, how, 1, number)
        except OSError as error:
            if error.errno in TAKEN:
                return False
            raise UsageError(
                f"Several processes cannot share an evaluation in {self._folder}: {error.strerror}.",
                "Choose an --out on a disk of this machine, or start a single process.",
            ) from error
        return True

    def take(self, numbers: Collection[int], is_done: Callable[[int], bool], do: Callable[[int], None]) -> None:
        """Do, one after the other, what is not done and no one else is at; return when all are done."""
        while open_ones := [number for number in numbers if not is_done(number)]:
            for number in open_ones:
                with self.on(number) as mine:
                    if mine and not is_done(number):
                        do(number)
                        break
            else:
                time.sleep(PAUSE)
