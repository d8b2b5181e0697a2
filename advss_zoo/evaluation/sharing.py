"""One evaluation by several processes: each takes whole passes, and whoever finds them all finished joins them.

The processes are those of a launcher (accelerate launch, torchrun). They meet in the folder of the evaluation alone:
what a pass gave is a file there, and who works on a pass holds a lock, which the system takes back from a process that
dies. So verdicts do not depend on how many processes there are, and neither does going on after a kill.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from advss_zoo.evaluation.effort import Effort
from advss_zoo.evaluation.verdicts import Verdicts
from advss_zoo.files import held, ignore_missing, read_json, write_json

PAUSE = 0.2  # seconds between two looks at what others have finished


@dataclass(frozen=True)
class Finished:
    """What passes have given, in `folder`: two files for each, named after its first image."""

    folder: Path

    def write(self, first: int, verdicts: Verdicts, effort: Effort) -> None:
        write_json(self._path(first, "json"), effort.model_dump())
        verdicts.write(self._path(first, "npz"))  # the last, and the sign that all is there

    def read(self, first: int) -> tuple[Verdicts, Effort] | None:
        with ignore_missing():  # whoever joins the passes deletes them in the end
            return Verdicts.read(self._path(first, "npz")), Effort.model_validate(read_json(self._path(first, "json")))
        return None

    def firsts(self) -> set[int]:
        """Return the first image of each pass that has given something, by the names of the files alone."""
        return {int(path.stem) for path in self.folder.glob("*.npz") if path.stem.isdecimal()}

    def _path(self, first: int, suffix: str) -> Path:
        return self.folder / f"{first:08d}.{suffix}"


def take(folder: Path, numbers: Collection[int], is_done: Callable[[int], bool], do: Callable[[int], None]) -> None:
    """Do the tasks that are neither done nor held by another process; return when all are done.

    Args:
        folder: where the processes meet, with a lock for each number.
        is_done: asked of a number once this process holds its lock: once of each, whoever does it.
    """
    open_ones = dict.fromkeys(numbers)
    while open_ones:
        for number in open_ones:
            with held(folder / f"{number:08d}.lock") as mine:
                if mine:
                    if not is_done(number):
                        do(number)
                    break
        else:
            time.sleep(PAUSE)
            continue
        del open_ones[number]
