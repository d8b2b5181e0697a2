"""Evaluation: a model, images, a protocol; out come verdicts and a result.

The verdicts depend on these three alone: not on how many images are attacked at once (random numbers belong to images;
see `passes`), how often verdicts are written, how many processes share the work (see `sharing`) or interruptions (see
`store`).
"""

from __future__ import annotations

import math
import shlex
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from advss_zoo.attacks.checks import predict
from advss_zoo.data.imageset import ImageSet
from advss_zoo.data.pixels import in_unit_range
from advss_zoo.errors import UsageError
from advss_zoo.evaluation import protocols
from advss_zoo.evaluation.checks import (
    check_adversarial,
    check_gradient,
    check_model,
    count_classes,
    warn_of_other_inputs,
)
from advss_zoo.evaluation.details import RIGHT_8BIT
from advss_zoo.evaluation.effort import Effort
from advss_zoo.evaluation.images import Arrays, Images, as_images
from advss_zoo.evaluation.passes import MULTIPLE, Padded, images_per_pass
from advss_zoo.evaluation.protocols import Protocol
from advss_zoo.evaluation.record import Record
from advss_zoo.evaluation.results import Result
from advss_zoo.evaluation.schema import EvaluatedModel, Experiment
from advss_zoo.evaluation.sharing import take
from advss_zoo.evaluation.store import Store
from advss_zoo.evaluation.verdicts import Integers, Verdicts
from advss_zoo.files import plain
from advss_zoo.models.adapted import adapt, check_weights, said_of
from advss_zoo.models.arithmetic import exact_arithmetic
from advss_zoo.models.devices import current, pick_device, processes
from advss_zoo.models.draws import MeanOfDraws
from advss_zoo.models.identity import weights_sha256
from advss_zoo.models.model import Model, unwrapped
from advss_zoo.models.modes import frozen

LOOK_EVERY = 1.0  # seconds between looks at how far other processes are
SAVE_EVERY = 30.0  # seconds between writing the verdicts so far: what a kill can cost, beside parts of long passes

# Called with the images done, their total, and which part of a pass is begun ("" between passes).
Progress = Callable[[int, int, str], None]


def evaluate(
    model: nn.Module,
    data: ImageSet | Images | Arrays,
    protocol: Protocol | str,
    *,
    out: Path | None = None,
    device: str | torch.device = "cpu",
    progress: Progress | None = None,
    command: str | None = None,
    save_adversarial: bool = False,
    quantize: bool = False,
    eot: int | None = None,
    batch_size: int | None = None,
) -> Result:
    """Measure one protocol on one model: what `advss_zoo.evaluate` runs for each of its protocols.

    Args:
        model: images (B,C,H,W) in [0,1] to logits (B,K), normalisation inside; is moved to `device`, evaluated in eval
            mode, and left in the mode it was in. The result names a `Model` by its name and sha256, any other module by
            its class.
        data: an ImageSet, or (images, labels): uint8 or float in [0,1] of shape (N,C,H,W), and class numbers (N,).
        protocol: for example "pgd20", or what `protocols.parse` returns.
        out: a folder for result.json and verdicts.npz. The same call goes on where an interrupted one stopped, and
            returns the result of a finished one.
        progress: called with the images done, their total, and the part of the work that is begun.
        command: how the result says it was made; left out: this process's command line.
        save_adversarial: keep the adversarial images in `out`, too (see `adversarial`).
        quantize: also measure the accuracy on adversarial images rounded to 8 bit, for the result's details.
        eot: measure the mean of so many draws of a random model, see `MeanOfDraws`; the result's constants and label
            say so.

    Raises:
        UsageError: the protocol is unknown, the classes do not fit, `out` holds another evaluation, or another process
            is at this one.
        DataError: the images or labels are of the wrong kind.
        AdvssError: the model is random, fails or gives NaN; it gives an attack no gradient to follow; the attack left
            its threat model; a file cannot be written.
    """
    if isinstance(protocol, str):
        protocol = protocols.parse(protocol)
    if save_adversarial and out is None:
        raise UsageError("Saving adversarial images needs a folder.", "Give one: out=...")
    protocol.check_model(model)
    check_weights(model)
    device = torch.device(pick_device(device))
    network, images = unwrapped(model.to(device)), as_images(data)
    with frozen(network), current(device), exact_arithmetic(device):
        x, _, _ = images.batch(range(min(MULTIPLE, len(images))), device)
        adapted = adapt(model, x, images.classes)
        measured = adapted if eot is None else MeanOfDraws(adapted, eot)
        protocol.check_model(measured)
        told = progress or (lambda done, total, part: None)
        step = batch_size or images_per_pass(x.shape[2], x.shape[3], device.type)
        work = _Work(Padded(measured, first=x), images, protocol, device, told, quantize, eot, step).fitted(x)
        experiment = work.experiment(model, weights_sha256(network))
        store = None if out is None else Store(Path(out), experiment, work.images if save_adversarial else None)
        if store and (result := work.known(store)):
            return result
        with ExitStack() as until_the_end:
            if store:
                if processes() > 1:
                    work.share(store)
                until_the_end.enter_context(store.alone(wait=processes() > 1))
                if result := work.known(store):  # another process has just finished
                    return result
            verdicts, effort = work.measure(store)
            order = work.images.order
            verdicts = verdicts if order is None else verdicts.at(np.argsort(order))
            result = Result.from_verdicts(
                verdicts,
                seed=protocol.seed,
                command=command_line() if command is None else command,
                date=datetime.now(UTC).isoformat(timespec="seconds"),
                **dict(effort),
                **dict(experiment),
            )
            if store:
                store.finish(result, verdicts)
    return result


def command_line() -> str:
    """Return what this process was started with."""
    program = Path(sys.argv[0])
    return shlex.join(["advss" if program.parent.name == "advss_zoo" else program.name, *sys.argv[1:]])


@dataclass(frozen=True)
class _Work:
    """What is measured, and how; `model` is frozen."""

    model: Padded
    images: Images
    protocol: Protocol
    device: torch.device
    progress: Progress
    quantize: bool
    eot: int | None
    step: int  # images of a pass

    def fitted(self, x: Tensor) -> _Work:
        """Fit the protocol to the images x and the classes of the data; where these are not known, to the logits."""
        classes = self.images.classes
        if classes is None:
            classes = count_classes(self.model, x)
        index = torch.from_numpy(self.images.index)
        protocol = self.protocol.for_classes(classes).for_images(x.shape[1:]).for_index(index)
        order = protocol.order(index)
        images = self.images if order is None else replace(self.images, order=order.numpy())
        return replace(self, protocol=protocol, images=images)

    def experiment(self, model: nn.Module, weights: str) -> Experiment:
        """Return the parts of a result that are known beforehand."""
        name, sha256 = (model.name, model.sha256) if isinstance(model, Model) else (type(model).__name__, None)
        said = said_of(self.model.model)
        adapted = {"adapted": said} if said else {}
        evaluated = EvaluatedModel(name=plain(name), sha256=sha256, weights_sha256=weights, **adapted)
        constants = self.protocol.constants() | ({"quantize": True} if self.quantize else {})
        if self.eot is not None:
            constants |= {"eot": self.eot, "label": f"{self.protocol.label()}, {self.eot} draws"}
        return Experiment.of(evaluated, self.images.facts, constants)

    def known(self, store: Store) -> Result | None:
        """Return the result, if the work is done already."""
        if result := store.result():
            self.progress(len(self.images), len(self.images), "")
        return result

    def share(self, store: Store) -> None:
        """Go through passes that no other process is at; return when all are finished, by whomever."""
        verdicts, _ = store.resume(self.images)
        done, total = 0 if verdicts is None else len(verdicts), len(self.images)
        passes, looked = {rows.start: rows for rows in self._passes(done)}, -math.inf
        seen: set[range] = set()
        joined = False

        def is_finished(first: int) -> bool:
            nonlocal joined
            if joined or store.finished(passes[first]):
                return True
            joined = store.result() is not None  # then what the passes have given is deleted
            return joined

        def report(part: str = "") -> None:
            nonlocal looked
            if time.monotonic() - looked >= LOOK_EVERY:
                seen.update(store.finished_among(passes.values()))
                looked = time.monotonic()
            self.progress(done + sum(map(len, seen)), total, part)

        def do(first: int) -> None:
            store.finish_pass(passes[first], *self._pass(passes[first], store, report))
            seen.add(passes[first])
            report()

        report()
        self._check(done)
        store.claim()
        take(store.shared, passes, is_finished, do)

    def measure(self, store: Store | None) -> tuple[Verdicts, Effort]:
        """Return the verdicts on all images, and what they took: those in the store, and after them the missing."""
        verdicts, effort = store.resume(self.images) if store else (None, Effort())
        parts = [] if verdicts is None else [verdicts]
        done, total = sum(map(len, parts)), len(self.images)
        passes, saved = self._passes(done), time.monotonic()
        shared = store.finished_among(passes) if store else set()
        if len(shared) < len(passes):
            self.progress(done, total, "")
        self._check(done)
        if store:
            store.claim()
        for rows in passes:
            announce = partial(self.progress, rows.start, total)
            more, took = (store and store.finished(rows)) or self._pass(rows, store, announce)
            parts.append(more)
            effort += took
            if store and (rows.stop == total or time.monotonic() - saved >= SAVE_EVERY):
                parts = [Verdicts.joined(parts)]
                store.save(parts[0], effort)
                saved = time.monotonic()
            if rows not in shared:
                self.progress(rows.stop, total, "")
        return Verdicts.joined(parts), effort + Effort.here(0.0, self.device)  # which all may have been done before

    def _passes(self, done: int) -> list[range]:
        """The rows of each pass after the first `done` images."""
        total = len(self.images)
        return [range(first, min(first + self.step, total)) for first in range(done, total, self.step)]

    def _check(self, done: int) -> None:
        """Look at a few images, the same for every size of passes, of those that are left."""
        rows = range(done, len(self.images))[: images_per_pass(*self.images.pixels.shape[2:])]
        if not rows:
            return
        x, y, _ = self.images.batch(rows, self.device)
        logits = check_model(self.model, x, self.images, differentiable=self.protocol.gradient != "unused")
        if rows.start == 0:  # later there may be a few images only
            warn_of_other_inputs(self.model, logits, x, y)
            if self.protocol.gradient == "needed":
                check_gradient(self.model, x, y)

    def _pass(self, rows: range, store: Store | None, announce: Callable[[str], None]) -> tuple[Verdicts, Effort]:
        """`_judged`, by halves where memory does not suffice for all at once."""
        try:
            return self._judged(rows, store, announce)
        except RuntimeError as error:
            from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size  # slow to import

            if len(rows) <= MULTIPLE or not should_reduce_batch_size(error):
                raise
        clear_device_cache(garbage_collection=True)
        half = math.ceil(len(rows) / 2 / MULTIPLE) * MULTIPLE
        parts, efforts = zip(*(self._pass(part, store, announce) for part in (rows[:half], rows[half:])), strict=True)
        return Verdicts.joined(list(parts)), sum(efforts, Effort())

    def _judged(self, rows: range, store: Store | None, announce: Callable[[str], None]) -> tuple[Verdicts, Effort]:
        """The verdicts on the images at `rows`, and what they took."""
        started = time.perf_counter()
        x, y, index = self.images.batch(rows, self.device)
        record = Record(store.parts(rows.start) if store else None, announce)
        clean = predict(self.model, x)
        adversarial = self._attack(x, y, index, clean == y, record)
        attacked = None
        if adversarial is not None:
            if self.protocol.ball is not None:
                check_adversarial(adversarial, x, self.protocol.ball)
            attacked = predict(self.model, adversarial)
            if self.quantize:
                rounded = in_unit_range((adversarial * 255).round().byte())
                record.evidence[RIGHT_8BIT] = predict(self.model, rounded) == y
            if store:
                store.keep(rows.start, adversarial, attacked)
        verdicts = Verdicts(
            _integers(index),
            _integers(y),
            _integers(clean),
            None if attacked is None else _integers(attacked),
            {name: _integers(tensor).astype(np.int8) for name, tensor in record.evidence.items()},
        )
        return verdicts, record.effort + Effort.here(time.perf_counter() - started, self.device)

    def _attack(self, x: Tensor, y: Tensor, index: Tensor, right: Tensor, record: Record) -> Tensor | None:
        """What the protocol makes of the images of a pass, of which `right` (B,) are classified correctly."""
        if self.protocol.attacks_misclassified:
            return self.protocol.attack(self.model, x, y, index, record)
        adversarial = x.clone()
        rows = right.nonzero().squeeze(1)
        made = self.protocol.attack(self.model, x[rows], y[rows], index[rows], record)
        assert made is not None
        adversarial[rows] = made
        for name, found in record.evidence.items():
            record.evidence[name] = found.new_zeros(len(x)).index_copy(0, rows, found)
        return adversarial


def _integers(tensor: Tensor) -> Integers:
    return tensor.cpu().numpy().astype(np.int32)
