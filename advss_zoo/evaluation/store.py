"""The folder of an evaluation, from its first verdict to its result, over any number of interruptions.

While the work lasts it holds `verdicts.npz`, the verdicts so far, and `progress.json`, which says whose they are and
what they took; at the end `result.json` takes the place of the latter. Beside them lies what is not verdicts yet, in
`unfinished-...`: the finished parts of passes, whole passes of several processes (see `sharing`), and adversarial
images that are to be kept. That folder is named after the evaluation, so nothing in it is ever taken for another's.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import Tensor

from advss_zoo.errors import AdvssError, UsageError
from advss_zoo.evaluation.adversarial import ROBUSTBENCH_FILE, TENSORS_FILE, AdversarialFile
from advss_zoo.evaluation.effort import Effort
from advss_zoo.evaluation.images import Images
from advss_zoo.evaluation.results import RESULT_FILE, VERDICTS_FILE, Result, check
from advss_zoo.evaluation.schema import Experiment
from advss_zoo.evaluation.sharing import Finished
from advss_zoo.evaluation.verdicts import Verdicts
from advss_zoo.files import explained, held, ignore_missing, read_json, remove_leftovers, write_json

PROGRESS_FILE = "progress.json"
LOCK_FILE = ".lock"
OWN_FILES = RESULT_FILE, VERDICTS_FILE, PROGRESS_FILE, TENSORS_FILE, ROBUSTBENCH_FILE


@dataclass(frozen=True)
class Store:
    """The folder at `path`, of the evaluation that makes `experiment`.

    `attacked`: the images whose adversarial versions it is to hold at the end, too; None: of none.
    """

    path: Path
    experiment: Experiment
    attacked: Images | None = None

    def result(self) -> Result | None:
        """Return the result, if the work is done already.

        Raises:
            UsageError: the folder holds another evaluation's, or one whose adversarial images were not kept.
            AdvssError: the result is not that of the verdicts beside it.
        """
        path = self.path / RESULT_FILE
        if not path.exists():
            return None
        self._check_owner(Result.read(path).experiment)
        result = check(path)
        kept = result.ra is None or (self.path / TENSORS_FILE).exists()
        if self.attacked and not kept:
            raise UsageError(f"{self.path} holds a finished evaluation without adversarial images.", self._way_out)
        self._tidy()
        return result

    def resume(self, images: Images) -> tuple[Verdicts | None, Effort]:
        """Return the verdicts so far, if there are any, and what they took.

        Raises:
            UsageError: the folder holds another evaluation's, or adversarial images of it were not kept.
            AdvssError: the verdicts are damaged.
        """
        path, progress = self.path / VERDICTS_FILE, None
        with ignore_missing():
            progress = read_json(self.path / PROGRESS_FILE)
            self._check_owner(_experiment(progress))
        if not path.exists():
            return None, Effort()
        if progress is None:
            if result := self.result():  # another process has just finished
                return result.verdicts.at(images.places), Effort(seconds=result.seconds, device=result.device)
            raise UsageError(f"{self.path / PROGRESS_FILE} is missing, so {path} cannot be resumed.", self._way_out)
        found = Verdicts.read(path)
        if _are_on(found, images, np.arange(len(images))) and len(found) == len(images):
            found = found.at(images.places)  # a kill in `finish`
        if not _are_on(found, images, images.places):
            raise AdvssError(f"{path} holds verdicts on other images.", self._way_out)
        if self._adversarial and not self._adversarial.holds(found):
            raise UsageError(f"{self.path} holds an unfinished evaluation without adversarial images.", self._way_out)
        return found, Effort.model_validate(progress)

    def claim(self) -> None:
        """Say whose the folder is while there are no verdicts: parts and passes in it may be the work of hours."""
        if not (self.path / VERDICTS_FILE).exists():
            self._write_progress(Effort())

    def parts(self, first: int) -> Path:
        """Return how the files begin that keep the finished parts of the pass from image `first` on."""
        return self._unfinished / "parts" / f"{first:08d}"

    def finished(self, rows: range) -> tuple[Verdicts, Effort] | None:
        """Return what a pass has given in a process that shared the work, and what it took."""
        found = Finished(self.shared).read(rows)
        kept = found is None or not self._adversarial or self._adversarial.holds(found[0], rows.start)
        return found if kept else None

    def finished_among(self, passes: Iterable[range]) -> set[range]:
        """Return the passes that `finished` is likely to find, by one look at the folder."""
        return Finished(self.shared).among(passes)

    def finish_pass(self, rows: range, verdicts: Verdicts, effort: Effort) -> None:
        """Keep, for whoever joins them, what a pass has given."""
        self._flush()
        Finished(self.shared).write(rows, verdicts, effort)

    @contextmanager
    def alone(self, *, wait: bool) -> Iterator[None]:
        """Hold the evaluation as the only process; while several make passes of it, none does.

        Args:
            wait: until no other process holds it.

        Raises:
            UsageError: another process holds it.
        """
        path = self.path / LOCK_FILE
        with held(path, wait=wait) as mine:
            if not mine:
                raise UsageError(
                    f"Another process is evaluating in {self.path}.", "Wait for it, or choose another --out."
                )
            try:
                yield
            finally:
                with suppress(OSError):  # Windows does not delete open files
                    path.unlink()

    @property
    def shared(self) -> Path:
        """Where processes that share the work meet."""
        return self._unfinished / "shared"

    def keep(self, first: int, adversarial: Tensor, predictions: Tensor) -> None:
        """Take the adversarial images of the pass from image `first` on, if they are to be kept."""
        if self._adversarial:
            self._adversarial.write(first, adversarial, predictions)

    def save(self, verdicts: Verdicts, effort: Effort) -> None:
        """Write the verdicts of all passes so far, whose parts are then no longer needed."""
        # In this order: verdicts on disk always have an owner, and their images lie there.
        self._flush()
        self._write_progress(effort)
        verdicts.write(self.path / VERDICTS_FILE)
        _remove(self._unfinished / "parts")

    def _write_progress(self, effort: Effort) -> None:
        write_json(self.path / PROGRESS_FILE, self.experiment.to_dict() | effort.model_dump())

    def finish(self, result: Result, verdicts: Verdicts) -> None:
        """Write the result of these verdicts, which are in the order of the data."""
        if self._adversarial and verdicts.attacked_prediction is not None:
            self._adversarial.publish(self.path, verdicts)
        verdicts.write(self.path / VERDICTS_FILE)
        result.write(self.path / RESULT_FILE)
        self._tidy()

    def _tidy(self) -> None:
        """Delete what is of no more use: of this evaluation alone, for the folder may hold other people's files."""
        with explained("delete", self.path / PROGRESS_FILE):
            (self.path / PROGRESS_FILE).unlink(missing_ok=True)
        for folder in self.path.glob(f"unfinished-{'[0-9a-f]' * 16}"):  # a digest: such names are given here alone
            _remove(folder)
        with explained("delete", self.path):
            remove_leftovers(self.path, *OWN_FILES)

    @property
    def _unfinished(self) -> Path:
        return self.path / f"unfinished-{self.experiment.fingerprint[:16]}"

    @property
    def _adversarial(self) -> AdversarialFile | None:
        return AdversarialFile(self._unfinished / "adversarial.safetensors", self.attacked) if self.attacked else None

    def _flush(self) -> None:
        if self._adversarial:
            self._adversarial.flush()

    def _check_owner(self, found: Experiment | None) -> None:
        if found and found.fingerprint == self.experiment.fingerprint:
            return
        whose = "an unknown evaluation"
        if found:
            whose = f"{found.protocol.label} for {found.model.name} on {found.data.name}"
            whose += f" (other {' and '.join(self.experiment.differences(found))})"
        raise UsageError(f"{self.path} holds results of another evaluation: {whose}.", self._way_out)

    @property
    def _way_out(self) -> str:
        return "Choose another --out, or delete the folder."


def _experiment(progress: Any) -> Experiment | None:
    """What a file of progress is of; None where that cannot be told."""
    try:
        return Experiment.model_validate(progress)
    except ValidationError:
        return None


def _are_on(verdicts: Verdicts, images: Images, places: NDArray[np.int64]) -> bool:
    """Are the verdicts on the first of the images at these places, in that order?"""
    expected = places[: len(verdicts)]
    return np.array_equal(verdicts.index, images.index[expected]) and np.array_equal(
        verdicts.label, images.labels[expected]
    )


def _remove(folder: Path) -> None:
    with explained("delete", folder), suppress(FileNotFoundError):  # another process may be at it, too
        shutil.rmtree(folder)
