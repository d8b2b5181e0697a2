"""Finding results and runs below folders."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import TypeVar

from pydantic import ValidationError

from advss_zoo.data.imageset import ImageSet
from advss_zoo.errors import AdvssError, UsageError, all_mistakes
from advss_zoo.evaluation.adversarial import TENSORS_FILE
from advss_zoo.evaluation.results import RESULT_FILE
from advss_zoo.results_page.evidence import Evaluation, LogRecord, cleaned, read
from advss_zoo.texts import visible
from advss_zoo.training import log
from advss_zoo.zoo import CONFIG, index, sources
from advss_zoo.zoo.checkpoint import Config
from advss_zoo.zoo.ensembles import EnsembleConfig
from advss_zoo.zoo.load import read_config
from advss_zoo.zoo.runs import LOG

LONGEST = 400  # characters of why something was left out

T = TypeVar("T")


@dataclass(frozen=True)
class LoggedRun:
    """The log of one training run."""

    name: str
    records: tuple[LogRecord, ...]


@dataclass(frozen=True)
class Findings:
    """Everything a report is made of; `left_out` says what could not be read, and why.

    `images` are test images whose results are among it, beside the data sets that are known by name.
    """

    evaluations: tuple[Evaluation, ...]
    runs: tuple[LoggedRun, ...]
    configs: dict[str, Config | EnsembleConfig]  # by the sha256 of the weights file
    left_out: tuple[str, ...]
    images: tuple[ImageSet, ...] = ()

    def epochs(self, evaluation: Evaluation) -> float | None:
        """Return how long what was evaluated had been trained, if a checkpoint in the folders or the zoo says so."""
        sha256 = evaluation.model.sha256
        config = self.configs.get(sha256 or "")
        if isinstance(config, Config) and config.provenance:
            return config.provenance.epochs
        return next((entry.training.get("epochs") for entry in index.entries() if entry.sha256 == sha256), None)

    def classes(self, evaluation: Evaluation) -> tuple[str, ...]:
        """Return the names of the labels, if a checkpoint in the folders says so."""
        config = self.configs.get(evaluation.model.sha256 or "")
        return tuple(map(visible, config.classes)) if config else ()


def folder_of(text: str) -> Path:
    """Return the folder that a path, or the name of a checkpoint of the zoo, means.

    Raises:
        UsageError: it is neither.
        CheckpointError: the checkpoint is not on this machine.
    """
    if Path(text).is_dir():
        return Path(text)
    try:
        return sources.fetch(text).path
    except UsageError as error:
        raise UsageError(f"{text!r} is not a folder or a checkpoint of the zoo.", error.hint) from error


def collect(folders: Iterable[Path], images: Iterable[ImageSet] = ()) -> Findings:
    """Collect the results and training runs in folders.

    Args:
        images: for the gallery, where they are of no data set that is known by name.

    Raises:
        UsageError: no folder holds a result or the log of a run.
        AdvssError: nothing of what is there can be read.
    """
    results: dict[Path, None] = {}
    logs: dict[Path, str] = {}
    configs: dict[Path, None] = {}
    left_out: list[str] = []
    for folder in folders:
        here, runs = sorted(folder.rglob(RESULT_FILE)), sorted(folder.rglob(LOG))
        if not here and not runs:
            left_out.append(visible(f"{folder} contains no {RESULT_FILE} or {LOG}."))
        results |= dict.fromkeys(here)
        logs |= {path: _name(path.parent, folder) for path in runs}
        configs |= dict.fromkeys(sorted(folder.rglob(CONFIG)))
    if not results and not logs:
        raise UsageError(
            " ".join(left_out) or "No folders were given.",
            "`advss eval --out DIR` writes the former, `advss train --out DIR` the latter.",
        )
    evaluations = list(_readable(results, read, left_out))
    runs_read = list(_readable(logs, lambda path: _run(path, logs[path]), left_out))
    if not evaluations and not runs_read:
        raise AdvssError("The results there cannot be read.", " ".join(left_out))
    read_configs = _readable(configs, lambda path: read_config(path.parent), [])
    known = {config.sha256: config for config in read_configs if config.sha256}
    runs_shown = tuple(run for run in runs_read if run.records)
    return Findings(tuple(_distinct(evaluations)), runs_shown, known, tuple(left_out), tuple(images))


def _name(run: Path, folder: Path) -> str:
    return visible(str(run.relative_to(folder)) if run != folder else run.resolve().name)


def _readable(paths: Iterable[Path], reader: Callable[[Path], T], left_out: list[str]) -> Iterator[T]:
    for path in paths:
        try:
            yield reader(path)
        except AdvssError as error:
            left_out.append(reason(error))


def reason(error: AdvssError) -> str:
    """Explain why something cannot be shown, in safe text: names and contents of files may be anything."""
    return shorten(visible(error.message), LONGEST)


def _run(path: Path, name: str) -> LoggedRun:
    try:
        return LoggedRun(name, tuple(LogRecord.model_validate(record) for record in cleaned(log.read(path))))
    except ValidationError as error:
        raise AdvssError(f"{path} is not a valid training log: {all_mistakes(error)}.") from error
    except (ValueError, RecursionError) as error:
        raise AdvssError(f"{path} is not a valid training log ({error}).") from error


def _distinct(evaluations: Iterable[Evaluation]) -> Iterator[Evaluation]:
    """Each evaluation once, by preference the copy whose adversarial images were kept."""
    seen = set()
    for found in sorted(evaluations, key=lambda e: not (e.folder / TENSORS_FILE).exists()):
        key = found.model.name, found.fingerprint, found.data.name, found.n, found.protocol.label, found.seed
        if key not in seen:
            seen.add(key)
            yield found
