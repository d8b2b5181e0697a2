"""How robust is a model? Protocols on test images, each with a result that others can check."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, overload

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

from advss_zoo.attacks.checks import check_counts
from advss_zoo.attacks.search import Precision
from advss_zoo.data import catalogue
from advss_zoo.data.catalogue import SUBSET
from advss_zoo.data.folder.listing import FolderOptions
from advss_zoo.data.folder.names import class_names
from advss_zoo.data.folder.parts import Part
from advss_zoo.data.folder.prepared import prepare
from advss_zoo.data.imageset import ImageSet
from advss_zoo.data.load import in_order, is_own, load_data
from advss_zoo.errors import DataError, UsageError
from advss_zoo.evaluation.ball import Norm
from advss_zoo.evaluation.images import Arrays, Images, as_images
from advss_zoo.evaluation.protocols import Protocol, parse, parse_all
from advss_zoo.evaluation.protocols.corruptions import find_baseline
from advss_zoo.evaluation.results import Result
from advss_zoo.evaluation.saved import Saved
from advss_zoo.models.devices import pick_device
from advss_zoo.models.model import Model
from advss_zoo.progress import Progress, Reporter, Say, ignore
from advss_zoo.results_page.collect import folder_of
from advss_zoo.texts import listed
from advss_zoo.workflows.measure import measure
from advss_zoo.zoo import load
from advss_zoo.zoo.open import open_model
from advss_zoo.zoo.reference import Reference

AnyModel: TypeAlias = nn.Module | Reference | str | Path
AnyData: TypeAlias = "ImageSet | Arrays | DataLoader[Any] | str | Path"
DEFAULT_PROTOCOL = "pgd20"
SHOWN = 20  # classes that a line lists


@overload
def evaluate(
    model: AnyModel, data: AnyData = ..., protocols: str | Protocol | None = ..., **settings: Any
) -> Result: ...


@overload
def evaluate(
    model: AnyModel, data: AnyData = ..., protocols: Sequence[str | Protocol] = ..., **settings: Any
) -> list[Result]: ...


def evaluate(  # type: ignore[misc]  # the overloads leave its settings unchecked
    model: AnyModel,
    data: AnyData = SUBSET,
    protocols: str | Protocol | Sequence[str | Protocol] | None = None,
    *,
    limit: int | None = None,
    norm: Norm = "linf",
    eps: float | str | None = None,
    step_size: float | str | None = None,
    restarts: int = 1,
    seed: int = 0,
    search: Precision = "fp32",
    quantize: bool = False,
    eot: int | None = None,
    save_adversarial: bool = False,
    adversarial: str | Path | None = None,
    baseline: str | Path | None = None,
    whole: bool = False,
    image_size: int | None = None,
    parts: Mapping[str, Part] | None = None,
    group_by: str | None = None,
    truncated: bool = False,
    classes: Sequence[str] | str | Path | None = None,
    out: str | Path | None = None,
    device: str = "auto",
    batch_size: int | None = None,
    progress: Progress = ignore,
    say: Say = ignore,
    command: str | None = None,
) -> Result | list[Result]:
    """Measure accuracy on clean images and under attack.

    Args:
        model: what `load_model` opens or returned, or any module: images (B,C,H,W) in [0,1] to logits (B,K),
            normalisation inside.
        data: test images: a data set by name, a folder of images, (images, labels) with images (N,C,H,W) as uint8 or
            float in [0,1], an `ImageSet`, or a `DataLoader` of images and labels.
        protocols: such as "pgd20", "autoattack" or "corruptions"; of a list the results are a list. None: "pgd20", or
            none but `adversarial`.
        limit: the first images only.
        norm: of the threat model; this and the next five are for those of the protocols that have them.
        eps: its size in units of pixel values in [0,1], such as 8/255 or "8/255"; None: the protocol's default.
        step_size: of PGD, likewise.
        restarts: random starts of PGD.
        seed: random seed.
        search: precision in which PGD and APGD search; verdicts are in float32.
        quantize: also measure accuracy on the adversarial images rounded to 8 bit.
        eot: for a random model: attack and judge the mean probability of so many draws; the result says so.
        save_adversarial: keep the adversarial images in `out`.
        adversarial: a file of such images, to evaluate this model on.
        baseline: results of another model, a folder or a name of the zoo; corruption errors are relative to them, see
            `Result.baseline`.
        whole: all images of a folder, not only its test images.
        image_size: pixels a side for a folder; None: the model's.
        parts, group_by, truncated: of a folder, as for `finetune`.
        classes: names of the model's outputs in their order, "A,B,C", or a file with one a line; None: those that the
            model knows, else those of the data in their order.
        out: a folder for results, one folder in it for each protocol; None: nothing is written. The same call again
            goes on where it was stopped. A look at test images is noted in runs/test-evaluations.jsonl, too.
        device: "auto": a model that is opened here goes to a GPU if there is one, any other stays where it is.
        batch_size: images that are attacked at once; None: what suits the device. It changes no verdict.
        progress: called with the protocol, "images", images done, images in all, and what is being done.
        say: called with lines of text: what was found in a folder, which images are used.
        command: how results say they were made; None: the command line of this process.

    Raises:
        UsageError: there is no such model, data set or protocol, they do not fit each other, or `out` holds another
            evaluation.
        DataError: the images or labels are of the wrong kind, or cannot be read.
        AdvssError: the model is random, fails or gives NaN, or gives an attack no gradient to follow.
    """
    settings = {"norm": norm, "eps": eps, "step_size": step_size, "restarts": restarts, "seed": seed, "search": search}
    evaluation = PlannedEvaluation.of(
        model,
        data,
        choose(protocols, adversarial, **settings),
        limit=limit,
        quantize=quantize,
        eot=eot,
        save_adversarial=save_adversarial,
        baseline=baseline,
        whole=whole,
        image_size=image_size,
        parts=parts,
        group_by=group_by,
        truncated=truncated,
        classes=classes,
        device=device,
        progress=progress,
        say=say,
    )
    results = evaluation.run(out, batch_size=batch_size, progress=progress, say=say, command=command)
    several = isinstance(protocols, Sequence) and not isinstance(protocols, str)
    return results if several else results[0]


def choose(
    protocols: str | Protocol | Sequence[str | Protocol] | None = None,
    adversarial: str | Path | None = None,
    **settings: Any,
) -> list[Protocol]:
    """Find the protocols that are asked for; `settings` are for those that are given by name.

    Raises:
        UsageError: there is no such protocol, or none that takes a setting.
        DataError: the file of adversarial images is damaged.
    """
    if protocols is None:
        protocols = DEFAULT_PROTOCOL if adversarial is None else ()
    if isinstance(protocols, str):
        found = [parse(protocols, **settings)]
    else:
        asked = protocols if isinstance(protocols, Sequence) else [protocols]
        found = parse_all([each for each in asked if isinstance(each, str)], **settings)
        found += [each for each in asked if not isinstance(each, str)]
    return found if adversarial is None else [*found, Saved.read(Path(adversarial))]


@dataclass(frozen=True)
class PlannedEvaluation:
    """A model, images and protocols that fit each other, before anything is measured.

    Attributes:
        baselines: what a protocol's corruption errors are relative to, by its name.
    """

    model: nn.Module
    images: Images
    protocols: list[Protocol]
    baselines: Mapping[str, Result]
    device: str
    quantize: bool
    save_adversarial: bool
    eot: int | None

    @property
    def name(self) -> str:
        """What results call the model."""
        return _name_of(self.model)

    @classmethod
    def of(
        cls,
        model: AnyModel,
        data: AnyData,
        protocols: list[Protocol],
        *,
        limit: int | None = None,
        quantize: bool = False,
        eot: int | None = None,
        save_adversarial: bool = False,
        baseline: str | Path | None = None,
        whole: bool = False,
        image_size: int | None = None,
        parts: Mapping[str, Part] | None = None,
        group_by: str | None = None,
        truncated: bool = False,
        classes: Sequence[str] | str | Path | None = None,
        device: str = "auto",
        progress: Progress = ignore,
        say: Say = ignore,
    ) -> PlannedEvaluation:
        """Open the model and the images; arguments and errors are those of `evaluate`."""
        _check_options(protocols, quantize, save_adversarial, baseline)
        check_counts(eot=eot, limit=limit)
        folder = None if baseline is None else folder_of(str(baseline))
        asked = _FolderRequest(image_size, whole, FolderOptions(parts or {}, group_by, truncated))
        names = None if classes is None else class_names(classes)
        loaded = _by_name(data, limit, asked, say)
        opened = model if isinstance(model, nn.Module) else open_model(model, device)
        for protocol in protocols:
            protocol.check_model(opened)
        if loaded is None:
            assert isinstance(data, str | Path)
            loaded = _of_folder(Path(data), limit, opened, asked, names, progress, say)
        names = names or (opened.classes if isinstance(opened, Model) else None)
        if isinstance(loaded, ImageSet) and names is not None:
            loaded = in_order(loaded, names)
        elif classes is not None:
            raise UsageError("--classes needs images whose classes have names.", "Leave it out for arrays.")
        images = as_images(loaded)
        if images.classes is not None:
            protocols = [protocol.for_classes(images.classes) for protocol in protocols]
        protocols = [protocol.for_images(images.pixels.shape[1:]) for protocol in protocols]
        compared = [protocol for protocol in protocols if folder and protocol.has_baseline]
        baselines = {protocol.name: find_baseline(folder, protocol, images) for protocol in compared if folder}
        where = _device_of(opened) if device == "auto" or opened is not model else pick_device(device)
        return cls(opened, images, protocols, baselines, where, quantize, save_adversarial, eot)

    def slug(self, protocol: Protocol) -> str:
        """Return the name of the folder of a protocol's result."""
        return protocol.slug() + "-8bit" * self.quantize + (f"-{self.eot}-draws" if self.eot else "")

    def run(
        self,
        out: str | Path | None = None,
        *,
        batch_size: int | None = None,
        progress: Progress = ignore,
        say: Say = ignore,
        command: str | None = None,
    ) -> list[Result]:
        """Measure, a result for each protocol; arguments and errors are those of `evaluate`."""
        check_counts(batch_size=batch_size)
        results = []
        for protocol in self.protocols:
            place = Path(out) / self.slug(protocol) if out else None
            result = measure(
                self.model,
                self.images,
                protocol,
                place,
                device=self.device,
                quantize=self.quantize,
                save_adversarial=self.save_adversarial,
                eot=self.eot,
                batch_size=batch_size,
                progress=progress,
                say=say,
                command=command,
            )
            baseline = self.baselines.get(protocol.name)
            results.append(result.relative_to(baseline) if baseline else result)
        return results


def _check_options(
    protocols: list[Protocol], quantize: bool, save_adversarial: bool, baseline: str | Path | None
) -> None:
    unmade = [protocol.name for protocol in protocols if not protocol.makes_images]
    if quantize and unmade:
        raise UsageError(
            f"--quantize needs adversarial images, which {unmade[0]} does not make.", "Leave out one of the two."
        )
    if save_adversarial and len(unmade) == len(protocols):
        raise UsageError(
            f"--save-adv needs adversarial images, which {unmade[0]} does not make.", "Leave out --save-adv."
        )
    if baseline is not None and not any(protocol.has_baseline for protocol in protocols):
        raise UsageError("--baseline needs the protocol corruptions.", "Add --attack corruptions.")


@dataclass(frozen=True)
class _FolderRequest:
    """What is asked for where the data are a folder."""

    image_size: int | None
    whole: bool
    options: FolderOptions

    @property
    def named(self) -> str | None:
        """One of the options that were given."""
        given = {
            "--whole": self.whole,
            "--image-size": self.image_size,
            "--parts": self.options.parts,
            "--group-by": self.options.group_by,
            "--truncated": self.options.truncated,
        }
        return next((name for name, value in given.items() if value), None)


def _by_name(data: AnyData, limit: int | None, asked: _FolderRequest, say: Say) -> ImageSet | Arrays | None:
    """Load what is asked for, unless it is a folder, whose images depend on the model."""
    own = isinstance(data, Path) or (isinstance(data, str) and is_own(data))
    if not own and asked.named:
        raise UsageError(
            f"{asked.named} needs a folder of images.", f"Leave it out for {data}." if isinstance(data, str) else None
        )
    if own:
        return None
    if isinstance(data, str):
        if data != SUBSET:
            catalogue.find(data)
        images = _first(load_data(data, "test"), limit)
        if data == SUBSET:
            say(
                f"On the first {len(images):,} test images of CIFAR-10 (n = {len(images):,}). "
                "For all 10,000: `advss data get cifar10`, then add `--data cifar10`."
            )
        return images
    if isinstance(data, ImageSet):
        return _first(data, limit)
    pair = _gathered(data, limit) if isinstance(data, DataLoader) else data
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        raise DataError(
            f"data must be a data set's name, a folder, (images, labels), an ImageSet or a DataLoader, "
            f"got {type(pair).__name__}.",
            "Give a Dataset of torch as DataLoader(dataset, batch_size=64).",
        )
    return pair[0][:limit], pair[1][:limit]


def _of_folder(
    folder: Path,
    limit: int | None,
    model: nn.Module,
    asked: _FolderRequest,
    classes: Sequence[str] | None,
    progress: Progress,
    say: Say,
) -> ImageSet:
    """Load the test images of a folder in the size that the model takes."""
    known = model if isinstance(model, Model) else None
    side = asked.image_size or (known.image_size if known else None)
    if side is None:
        raise UsageError(f"The image size of {_name_of(model)} is unknown.", "Add --image-size N.")
    value_range = known.value_range if known else None
    report = Reporter(say, progress)
    prepared = prepare(folder, side, asked.options, whole=asked.whole, value_range=value_range, reporter=report)
    images = prepared.load("test")
    for line in prepared.summary.reading():
        say(line)
    if known:
        images = without_seen(images, known, say)
    if not asked.whole and prepared.summary.parts["train"]:
        say(
            f"On the {len(images):,} test images of {folder}, listed in {prepared.images_file}. If the model was not "
            "trained on this folder, add --whole to use all images."
        )
    if prepared.summary.skipped:
        say(f"Skipped: {len(prepared.summary.skipped):,} unreadable files.")
    if classes is None and (known is None or known.classes is None):
        say(
            f"Assuming that the model's outputs are, in this order: {listed(images.classes, SHOWN)}. If they are not, "
            "name them: --classes FILE."
        )
    return _first(images, limit)


def without_seen(images: ImageSet, model: Model, say: Say) -> ImageSet:
    """Leave out images that trained a model or chose its epoch, where it is known which those are.

    Raises:
        DataError: none is left.
    """
    seen = load.seen_by(model.folders)
    if seen is None or images.sha256 is None:
        return images
    trained, validated = seen.which(images.sha256)
    left_out = trained | validated
    if not left_out.any():
        return images
    counts = f"{trained.sum():,} trained this model, {validated.sum():,} chose its epoch"
    if left_out.all():
        raise DataError(f"All {len(images):,} images of {images.name} have been seen: {counts}.", "Give other images.")
    say(f"{left_out.sum():,} of {len(images):,} images were left out: {counts}.")
    return images.take(np.flatnonzero(~left_out))


def _first(images: ImageSet, limit: int | None) -> ImageSet:
    if limit is None:
        return images
    if limit > len(images):
        raise UsageError(f"--limit is {limit:,}, but {images.name} has {len(images):,} test images.")
    return images.first(limit)


def _gathered(loader: DataLoader[Any], limit: int | None) -> Arrays:
    """Read the batches of a loader, of which no more than are needed."""
    batches, count = [], 0
    for batch in loader:
        if not isinstance(batch, tuple | list) or len(batch) < 2:
            raise DataError(f"The DataLoader gives {type(batch).__name__}, expected batches of images and labels.")
        images, labels, *_ = batch
        batches.append((images, labels))
        count += len(labels)
        if limit and count >= limit:
            break
    if not batches:
        return torch.empty(0, 3, 1, 1), torch.empty(0, dtype=torch.int64)
    images, labels = zip(*batches, strict=True)
    return torch.cat(images), torch.cat(labels)


def _name_of(model: nn.Module) -> str:
    return model.name if isinstance(model, Model) else type(model).__name__


def _device_of(model: nn.Module) -> str:
    if isinstance(model, Model):
        return str(model.device)
    tensors = itertools.chain(model.parameters(), model.buffers())
    return str(next((tensor.device for tensor in tensors), "cpu"))
