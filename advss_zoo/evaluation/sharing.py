"""One evaluation by several processes: each takes whole passes, and whoever finds them all finished joins them.

The processes are those of a launcher (accelerate launch, torchrun). They meet in the folder of the evaluation alone:
what a pass gave is a file there, and who works on a pass holds a lock, which the system takes back from a process that
dies. So verdicts do not depend on how many processes there are, and neither does going on after a kill.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from advss_zoo.evaluation.effort import Effort
from advss_zoo.evaluation.verdicts import Verdicts
from advss_zoo.files import held, ignore_missing, read_json, write_json

PAUSE = 0.2  # seconds between two looks at what others have finished


@dataclass(frozen=True)
class Finished:
    """What passes have given, in `folder`: two files for each, named after the places of its images."""

    folder: Path

    def write(self, rows: range, verdicts: Verdicts, effort: Effort) -> None:
        write_json(self._path(rows, "json"), effort.model_dump())
        verdicts.write(self._path(rows, "npz"))  # the last, and the sign that all is there

    def read(self, rows: range) -> tuple[Verdicts, Effort] | None:
        with ignore_missing():  # whoever joins the passes deletes them in the end
            return Verdicts.read(self._path(rows, "npz")), Effort.model_validate(read_json(self._path(rows, "json")))
        return None

    def among(self, passes: Iterable[range]) -> set[range]:
        """Return those of the passes that have given something, by the names of the files alone."""
        found = {path.name for path in self.folder.glob("*.npz")}
        return {rows for rows in passes if self._path(rows, "npz").name in found}

    def _path(self, rows: range, suffix: str) -> Path:
        return self.folder / f"{rows.start:08d}-{rows.stop:08d}.{suffix}"


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
