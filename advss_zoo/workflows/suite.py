"""Many models by many protocols in one folder: resumable, shared by processes, compared."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import nn

from advss_zoo import plain_yaml
from advss_zoo.attacks.ascent import input_gradient
from advss_zoo.attacks.search import Precision
from advss_zoo.data.catalogue import SUBSET
from advss_zoo.errors import AdvssError, UsageError, all_mistakes
from advss_zoo.evaluation import protocols
from advss_zoo.evaluation.ball import Norm
from advss_zoo.evaluation.protocols import Protocol
from advss_zoo.evaluation.results import RESULT_FILE, Result
from advss_zoo.evaluation.schema import Part, Text
from advss_zoo.evaluation.sharing import take
from advss_zoo.evaluation.statistics import paired_difference
from advss_zoo.files import read_bytes
from advss_zoo.models.adapted import adapt
from advss_zoo.models.model import Model, unwrapped
from advss_zoo.models.modes import frozen
from advss_zoo.models.network import Network
from advss_zoo.progress import Progress, Say, ignore
from advss_zoo.training import speeds, timing
from advss_zoo.workflows.evaluate import PlannedEvaluation
from advss_zoo.zoo.places import folder_name
from advss_zoo.zoo.runs import RUNS

LOCKS = ".locks"
MOST_NAMES = 1000


class SuiteEvaluation(BaseModel):
    """Protocols on one data set, with the settings of `evaluate`; `models` are some of the suite's, None: all."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    protocols: tuple[Text, ...] = Field(min_length=1, max_length=MOST_NAMES)
    data: Text = SUBSET
    models: tuple[Text, ...] | None = Field(None, min_length=1, max_length=MOST_NAMES)
    limit: int | None = Field(None, ge=1, strict=True)
    norm: Norm = "linf"
    eps: float | Text | None = None
    step_size: float | Text | None = None
    restarts: int = Field(1, ge=1, strict=True)
    seed: int = Field(0, ge=0, strict=True)
    search: Precision = "fp32"
    eot: int | None = Field(None, ge=1, strict=True)

    def parse(self) -> list[Protocol]:
        """
        Raises:
            UsageError: there is no such protocol, or none that takes a setting.
        """
        names = "norm", "eps", "step_size", "restarts", "seed", "search"
        return protocols.parse_all(self.protocols, **{name: getattr(self, name) for name in names})


class SuiteFile(BaseModel):
    """What a suite file says: models, as in `evaluate`, and what is measured of each."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    models: tuple[Text, ...] = Field(min_length=1, max_length=MOST_NAMES)
    evaluations: tuple[SuiteEvaluation, ...] = Field(min_length=1, max_length=MOST_NAMES)

    @classmethod
    def read(cls, path: Path) -> SuiteFile:
        """Read a suite.

        Raises:
            UsageError: the file is not a suite, or names an unknown protocol or a model that it does not list.
            AdvssError: it cannot be read.
        """
        try:
            suite = cls.model_validate(plain_yaml.read(read_bytes(path, plain_yaml.MOST_BYTES)))
        except ValidationError as error:
            words = (*cls.model_fields, *SuiteEvaluation.model_fields)
            raise UsageError(f"{path} is not a suite: {all_mistakes(error, words)}.") from error
        except ValueError as error:
            raise UsageError(f"{path} is not valid YAML: {error}.") from error
        for evaluation in suite.evaluations:
            evaluation.parse()
            for name in set(evaluation.models or ()) - set(suite.models):
                raise UsageError(f"{path}: {name!r} is not among the models.", f"Choose from {', '.join(suite.models)}")
        return suite


@dataclass(frozen=True)
class SuitePart:
    """One protocol on one model and data set; `place` will hold its result.

    Attributes:
        seconds: that it takes at most on a free machine, roughly; 0 if it is done. None: not estimated.
    """

    model: str
    evaluation: SuiteEvaluation
    protocol: Protocol
    place: Path
    images: int
    seconds: float | None = None

    @property
    def is_done(self) -> bool:
        return (self.place / RESULT_FILE).exists()


class PairedDifference(Part):
    """How much more accurate `one` is than `other` on the same images, with a paired 95% interval (Newcombe 1998).

    `metric` is RA where something was attacked, else TA. `real`: the interval does not contain 0.
    """

    data: Text
    protocol: Text
    metric: Text
    one: Text
    other: Text
    difference: float
    low: float
    high: float
    real: bool


@dataclass(frozen=True)
class SuiteResult:
    """The results of a suite in the order of its file, and why others are missing, by "model, protocol on data"."""

    folder: Path
    results: list[Result]
    failures: dict[str, str]

    def compare(self) -> list[PairedDifference]:
        """Compare every two models under the same protocol on the same images."""
        groups: dict[tuple[str, str, str, str], list[Result]] = {}
        for result in self.results:
            data = result.data
            groups.setdefault((data.name, data.content_sha256, data.indices, result.protocol.label), []).append(result)
        return [
            _compare(one, other)
            for results in groups.values()
            for one, other in itertools.combinations(results, 2)
            if one.model.name != other.model.name
        ]


Opened: TypeAlias = Callable[[str, SuiteEvaluation], PlannedEvaluation]


def suite(
    file: str | Path,
    out: str | Path | None = None,
    *,
    device: str = "auto",
    progress: Progress = ignore,
    say: Say = ignore,
    command: str | None = None,
) -> SuiteResult:
    """Run the evaluations of a suite file; finished ones are kept, so the same call goes on where it was stopped.

    Processes that run the same suite in the same folder, on one machine or on several that see it, share the work.
    An evaluation that fails does not stop the others.

    Args:
        file: YAML with `models` and `evaluations`, see `docs/trust.md`.
        out: None: runs/suites/ + the name of the file.
        device: as in `evaluate`; so are `progress`, `say` and `command`.

    Raises:
        UsageError: the file is not a suite, a model cannot be opened or does not suit a protocol, or `out` holds
            results of other weights.
    """
    path = Path(file)
    base = _folder(path, out)
    opened = _opener(device, say)
    parts = list(_parts(SuiteFile.read(path), base, opened))
    failures: dict[int, str] = {}

    def result(part: SuitePart, **told: Any) -> Result:
        planned = replace(opened(part.model, part.evaluation), protocols=[part.protocol])
        (found,) = planned.run(part.place.parent, command=command, **told)
        return found

    def run(number: int) -> None:
        part = parts[number]
        try:
            result(part, progress=lambda label, *more: progress(f"{part.model}, {label}", *more), say=say)
        except AdvssError as error:
            failures[number] = str(error)

    take(base / LOCKS, range(len(parts)), lambda number: number in failures or parts[number].is_done, run)
    # Reading a result also compares whose it is.
    results = [result(part) for number, part in enumerate(parts) if number not in failures]
    return SuiteResult(base, results, {_name(parts[number]): why for number, why in failures.items()})


def plan_suite(file: str | Path, out: str | Path | None = None, *, device: str = "auto") -> list[SuitePart]:
    """Say what `suite` would do, and about how long each part takes at most on a free machine.

    Arguments and errors are those of `suite`.
    """
    path, opened = Path(file), _opener(device, ignore)
    parts = _parts(SuiteFile.read(path), _folder(path, out), opened)
    return [replace(part, seconds=_seconds(opened(part.model, part.evaluation), part)) for part in parts]


def _folder(file: Path, out: str | Path | None) -> Path:
    return RUNS / "suites" / file.stem if out is None else Path(out)


def _opener(device: str, say: Say) -> Opened:
    """A function that opens a model with images; it remembers the last one, and says every line once."""
    heard: set[str] = set()

    def once(line: str) -> None:
        if line not in heard:
            heard.add(line)
            say(line)

    @lru_cache(maxsize=1)
    def opened(model: str, evaluation: SuiteEvaluation) -> PlannedEvaluation:
        return PlannedEvaluation.of(
            model,
            evaluation.data,
            evaluation.parse(),
            limit=evaluation.limit,
            eot=evaluation.eot,
            device=device,
            say=once,
        )

    return opened


def _parts(file: SuiteFile, base: Path, opened: Opened) -> Iterator[SuitePart]:
    """All parts; opening every model first, so that mistakes are found before hours of work."""
    for model in dict.fromkeys(file.models):
        for evaluation in file.evaluations:
            if evaluation.models is not None and model not in evaluation.models:
                continue
            planned = opened(model, evaluation)
            name = folder_name(planned.name, planned.images.name, limit=evaluation.limit)
            for protocol in planned.protocols:
                place = base / name / planned.slug(protocol)
                yield SuitePart(model, evaluation, protocol, place, len(planned.images))


def _name(part: SuitePart) -> str:
    return f"{part.model}, {part.protocol.label()} on {part.evaluation.data}"


def _seconds(planned: PlannedEvaluation, part: SuitePart) -> float:
    if part.is_done:
        return 0.0
    network, device = unwrapped(planned.model), torch.device(planned.device)
    known = None
    shape = planned.images.pixels.shape[1:]
    if isinstance(network, Network) and planned.eot is None:
        named = speeds.evaluation(network.architecture, shape[-1], part.protocol.label())
        known = speeds.recall(named, device)
    if known is None:
        known = part.protocol.passes * _pass_seconds(planned.model, shape, device) * (planned.eot or 1)
    return part.images * known


@lru_cache(maxsize=1)
def _pass_seconds(model: nn.Module, shape: tuple[int, ...], device: torch.device) -> float:
    """Seconds of a forward and backward pass, an image; of a forward pass where there is no gradient."""
    network = adapt(model.to(device), torch.rand(1, *shape, device=device))
    followed = not isinstance(model, Model) or model.differentiable

    def prepare(count: int) -> Callable[[], None]:
        x = torch.rand(count, *shape, device=device)

        def once() -> None:
            with frozen(network):
                made = input_gradient(lambda z: network(z).sum(), x) if followed else network(x)
            made.sum().item()

        return once

    return timing.time_passes(prepare, 64, cpu=time.process_time if timing.runs_alone(device) else None).free


def _compare(one: Result, other: Result) -> PairedDifference:
    attacked = one.ra is not None
    right = [each.verdicts.standing if attacked else each.verdicts.right for each in (one, other)]
    found = paired_difference(*right)
    return PairedDifference(
        data=one.data.name,
        protocol=one.protocol.label,
        metric="RA" if attacked else "TA",
        one=one.model.name,
        other=other.model.name,
        difference=found.value,
        low=found.low,
        high=found.high,
        real=found.exceeds() is not None,
    )
