"""Weights that others wrote, made into checkpoint folders: the files of Chen et al. and plain state dicts.

A file of `torch.save` is read as weights only, so nothing in it is ever run, and copied strictly: of all the ways in
which such files name the tensors of our networks the one that fits best is taken, and every tensor that is then
missing, left over, misshapen or not finite is refused under its name in the file. Those of pretext tasks are counted
and dropped.

The authors' names and entries are those of github.com/VITA-Group/Adv-SS-Pretraining, `pretraining/` and `finetune/`.
"""

from __future__ import annotations

import os
import re
import statistics
import warnings
import zipfile
from collections import Counter
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from itertools import product
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from advss_zoo.data.catalogue import CIFAR10, CIFAR100
from advss_zoo.errors import AdvssError, CheckpointError, UsageError, all_mistakes
from advss_zoo.files import check_not_pointer, explained, sha256_of, write_json
from advss_zoo.models.architecture import Architecture
from advss_zoo.models.backbones.resnetv2 import ResNetV2Architecture
from advss_zoo.objectives.classification import Classification
from advss_zoo.zoo import CONFIG, WEIGHTS, checkpoint, libraries
from advss_zoo.zoo.checkpoint import Config
from advss_zoo.zoo.names import Name
from advss_zoo.zoo.reference import Reference

RECORD = "import.json"  # beside the config.json: what was imported, from which file
IMPORTED = "imported"  # the tag of checkpoints that are given none, and what their configurations call their scenario

# Learning rates in the authors' Selfie files are numpy scalars; unpickling one makes a number and runs no code.
_scalar = np.float64(0).__reduce__()[0]
NUMBERS: list[Any] = [
    np.dtype,
    *(type(np.dtype(kind)) for kind in ("f4", "f8", "i8")),
    *((_scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
]

# The pretext task of a whole network with so many outputs. One that is a classifier after all comes with its classes.
PRETEXT = {4: "rotation", 31: "jigsaw"}
KNOWN_CLASSES = {len(data.classes): data.classes for data in (CIFAR10, CIFAR100)}


@dataclass(frozen=True)
class Naming:
    """How a file names the tensors of a network, inside of what is wrapped around it."""

    renames: tuple[tuple[str, str], ...]  # beginnings of our names and of the file's; a file has only what begins so
    first_bn: int  # the number of the first batch norm of a block: 1 in our names, 0 in the authors'
    heads: str = r"(?!)"  # a pattern of the tensors that pretext tasks put on a trunk

    def theirs(self, name: str) -> str | None:
        """Return the file's name of a tensor of ours; None if such files do not have it."""
        shift = self.first_bn - 1
        name = re.sub(r"(layer\d\.\d+\.bn)(\d)", lambda found: f"{found[1]}{int(found[2]) + shift}", name)
        return next((new + name.removeprefix(old) for old, new in self.renames if name.startswith(old)), None)

    def is_of_head(self, name: str) -> bool:
        return re.match(self.heads, name) is not None


PLAIN = (("trunk.", ""), ("head.", ""))
BLOCKS = (
    ("trunk.conv1.", "blocks.0."),
    ("trunk.layer", "blocks."),
)  # ensemble pretraining, without a stem's batch norm
OWN = (("trunk.", "trunk."), ("head.", "head."))
NAMINGS = (
    *(Naming(PLAIN, first_bn) for first_bn in (0, 1)),
    *(Naming(BLOCKS, first_bn, heads=rf"(layer4|fc)_({'|'.join(PRETEXT.values())})\.") for first_bn in (0, 1)),
    Naming(OWN, 1, heads=r"head\.(?!layer4\.|linear\.)"),
)
# What is wrapped around a network: several devices, a compiler, a training framework or an average of weights; then
# perhaps a sequence of normalisation and network.
OUTSIDE = r"(?:(?:module|_orig_mod|model|net|network|backbone|ema|ema_model|model_ema|averaged_model)\.)*"
WRAPPERS = rf"{OUTSIDE}(?:1\.{OUTSIDE})?"
PARTS = frozenset({"trunk", "head", "blocks"})  # of a network of ours: not around one
# The entries under which weights are stored; the first that is there counts.
ENTRIES = (
    "P_state",
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "net",
    "network",
    "module",
    "weights",
    "shadow",
)
AVERAGE = r"(?:.*[_.])?ema(?:[_.].*)?"  # the name of an entry, or of a wrapper, with an average of the weights
COUNTERS = frozenset({"n_averaged", "num_updates", "initted", "step"})  # beside the tensors of an average
TRACKED = ".num_batches_tracked"  # of batch norm, which torch before 0.4.1 does not save; evaluation does not use it
ATTENTION = "selfie_state"  # the entry with what turns the vectors of Selfie's visible patches into a query
DEPTHS: tuple[Literal[18, 50], ...] = (18, 50)
# In the stem and in projection shortcuts. The authors' two versions come first, because an ensemble file tells them
# apart only by its shortcuts.
BATCH_NORMS = ((True, True), (False, False), (False, True), (True, False))


@dataclass(frozen=True)
class Imported:
    """What was in a file, and the configuration of the checkpoint that it became."""

    layout: str
    config: Config
    copied: int  # tensors
    dropped: Mapping[str, int]  # tensors, by the part of the file they were in
    initialised: tuple[str, ...]  # tensors of ours that the file does not have
    ignored: tuple[str, ...]  # entries of the file beside its weights
    averaged: bool  # is it the average (EMA) of weights that the file holds, too?
    untracked: int  # counters of batches that the file does not have, set to 0
    normalised: bool  # does the file hold the constants of the normalisation? If not, they are its architecture's

    def to_json(self) -> dict[str, Any]:
        """Return all but the configuration, which is a file of its own."""
        return {key: value for key, value in asdict(self).items() if key != "config"}


def import_file(
    path: Path,
    folder: Path,
    name: Name,
    classes: tuple[str, ...] | None = None,
    architecture: Reference | None = None,
) -> Imported:
    """Make a checkpoint folder of a file of weights.

    Pretraining files become trunks without a head, others classifiers. Weights keep their full precision: what the
    file computed, the checkpoint computes.

    Args:
        path: a state dict that `torch.save` wrote, in the usual wrappers or one of the authors' files; or safetensors.
            Of an average of weights (EMA) beside the weights the average is taken.
        folder: where the checkpoint goes.
        name: what the checkpoint is called.
        classes: names in the order of the logits; left out, those of CIFAR if there are 10 or 100, else numbers.
        architecture: a model of timm or torchvision, whose weights are in the file; left out: a network of our own.

    Raises:
        UsageError: there is a checkpoint in the folder, the classes do not fit the file, or there is no such model.
        CheckpointError: the file cannot be read without running code, or is damaged; or a tensor of it is missing,
            unexpected, misshapen or not finite, and named as in the file.
    """
    if any((folder / file).exists() for file in (CONFIG, WEIGHTS)):
        raise UsageError(f"{folder} already holds a checkpoint.", "Choose another folder with --out.")
    found = _find_weights(path)
    reading = _best_reading(found) if architecture is None else _reading_of(architecture)
    imported, state = _take(found, reading, name, classes)
    checkpoint.save(folder, state, imported.config, precision="full")
    write_json(folder / RECORD, {"file": path.name, "sha256": sha256_of(path), **imported.to_json()})
    return imported


# --- the file -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Found:
    """The weights in a file, and what lies beside them."""

    tensors: Mapping[str, Tensor]
    selfie: bool = False  # is it the network P of Selfie? It is a trunk
    attention: Mapping[str, Tensor] | None = None  # of Selfie, which has it beside the network
    ignored: tuple[str, ...] = ()
    averaged: bool = False
    untracked: frozenset[str] = frozenset()  # which of the tensors are not in the file

    @cached_property
    def wrappers(self) -> str:
        return _wrappers(self.tensors)

    @property
    def constants(self) -> tuple[str, ...]:
        """Mean and std of the normalisation; empty if the file has neither."""
        outside = re.sub(r"(^|\.)1\..*", r"\1", self.wrappers)
        names = (f"{outside}0.mean", f"{outside}0.std")
        return names if any(name in self.tensors for name in names) else ()


def _find_weights(path: Path) -> _Found:
    content = _load(path)
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path} must hold a state dict, got {type(content).__name__}.")
    entry = next((entry for entry in ENTRIES if isinstance(content.get(entry), Mapping)), None)
    average = next((key for key, value in content.items() if _is_average(key) and isinstance(value, Mapping)), None)
    weights = content if entry is None and average is None else content.get(entry, {})
    attention = _only_tensors(path, content[ATTENTION]) if isinstance(content.get(ATTENTION), Mapping) else None
    tensors, averaged = _averaged(_inner(path, weights), _inner(path, content.get(average, {})))
    whole, untracked = _tracked(tensors)
    used = {entry, average, ATTENTION if attention is not None else None}
    ignored = () if weights is content else tuple(str(key) for key in content if key not in used)
    return _Found(whole, entry == "P_state", attention, ignored, averaged, untracked)


def _is_average(name: Any) -> bool:
    return re.fullmatch(AVERAGE, str(name)) is not None


def _inner(path: Path, content: Mapping[Any, Any]) -> dict[str, Tensor]:
    """The tensors of a state dict, which may lie in an entry of its own once more."""
    entry = next((entry for entry in ENTRIES if isinstance(content.get(entry), Mapping)), None)
    return _only_tensors(path, content if entry is None else content[entry])


def _averaged(weights: dict[str, Tensor], average: dict[str, Tensor]) -> tuple[dict[str, Tensor], bool]:
    """The average of weights, under their names, where there is one beside them or under a name of its own among them.

    What it does not have, such as running statistics, is taken from the weights.
    """
    outside = {name: re.match(OUTSIDE, name)[0] for name in weights}  # type: ignore[index]  # it matches nothing, too
    among = {name: weights[name] for name, around in outside.items() if _is_average(around.rstrip("."))}
    average, weights = average or among, {name: each for name, each in weights.items() if name not in among}
    average = {name: each for name, each in average.items() if name.rpartition(".")[2] not in COUNTERS}
    weights = {name: each for name, each in weights.items() if name not in COUNTERS}
    if not average or not weights:
        return average or weights, bool(average)
    before, after = _wrappers(average, OUTSIDE), _wrappers(weights, OUTSIDE)
    return weights | {after + name.removeprefix(before): each for name, each in average.items()}, True


def _tracked(tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], frozenset[str]]:
    """The same with counters of batches, if the file has none at all; and the names of those that were added."""
    norms = [name.removesuffix(".running_var") for name in tensors if name.endswith(".running_var")]
    if any(name.endswith(TRACKED) for name in tensors):
        norms = []
    added = {norm + TRACKED: torch.tensor(0) for norm in norms}
    return tensors | added, frozenset(added)


def _load(path: Path) -> Any:
    if not path.exists():
        raise CheckpointError(f"{path} does not exist.")
    if path.is_dir():
        raise CheckpointError(f"{path} is a folder.", "Give the file that torch.save wrote.")
    with explained("read", path):
        file = path.open("rb")
    try:
        with file, warnings.catch_warnings(action="ignore"), torch.serialization.safe_globals(NUMBERS):
            start = file.read(100)
            check_not_pointer(path, start)
            if start[8:9] == b"{":  # after the size of a header of JSON
                return checkpoint.read_weights(path)
            _check_unpacked(file)
            return torch.load(file, map_location="cpu", weights_only=True)
    except (MemoryError, AdvssError):
        raise
    except Exception as error:  # a damaged file can make the unpickler fail in any way
        raise _refusal(path, error) from error


def _check_unpacked(file: BinaryIO) -> None:
    """A few compressed bytes can unpack to more than fits into memory.

    Raises:
        ValueError: it unpacks to more than it has, which no file does that `torch.save` wrote.
    """
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
        if unpacked > file.seek(0, os.SEEK_END):
            raise ValueError(f"unpacked size {unpacked:,} exceeds the file size")
    file.seek(0)


def _refusal(path: Path, error: Exception) -> CheckpointError:
    """Why torch did not read the file."""
    if code := re.search(r"GLOBAL (\S+)", str(error)):
        return CheckpointError(
            f"{path} cannot be read without running code ({code[1]}), which advss-zoo never does.",
            "With that code installed, save the weights only: torch.save(model.state_dict(), FILE).",
        )
    with path.open("rb") as file:
        start = file.read(100)
    if program := _program(path):
        return CheckpointError(
            f"{path} is a {program[0]} program, which cannot be read without running it; advss-zoo never does that.",
            f"If you trust it, save its weights: torch.save({program[1]}, FILE).",
        )
    if start.lstrip().startswith(b"<"):
        return CheckpointError(f"{path} is a web page, not weights.", "Download the file itself.")
    return CheckpointError(f"{path} is damaged or was not written by torch.save.", "Download or copy it again.")


def _program(path: Path) -> tuple[str, str] | None:
    """The kind of a program of torch, and what its state dict is; None for other files."""
    with suppress(zipfile.BadZipFile, OSError), zipfile.ZipFile(path) as archive:
        inside = {name.partition("/")[2] for name in archive.namelist()}
        if "models/model.json" in inside:
            return "torch.export", f"torch.export.load({str(path)!r}).state_dict"
        if "constants.pkl" in inside:
            return "TorchScript", f"torch.jit.load({str(path)!r}).state_dict()"
    return None


def _only_tensors(path: Path, content: Mapping[Any, Any]) -> dict[str, Tensor]:
    for key, value in content.items():
        if not _is_plain(value):
            raise CheckpointError(
                f"{path} must hold a state dict, but its entry {key} is not a plain tensor.",
                f"Store the state dict as the file itself, or under one of {', '.join(ENTRIES)}.",
            )
    return {str(key): tensor for key, tensor in content.items()}


def _is_plain(value: Any) -> bool:
    return (
        isinstance(value, Tensor)
        and value.is_cpu
        and value.layout == torch.strided
        and not value.is_quantized
        and not value.is_complex()
        and value.nbytes <= value.untyped_storage().nbytes()  # one number can be said to be as many as one likes
    )


def _wrappers(names: Collection[str], pattern: str = WRAPPERS) -> str:
    """What most names begin with, and all of those go on with: people call a network as they like, such as `resnet`."""
    counts = Counter(wrappers for name in names for wrappers in re.findall(f"^{pattern}", name))
    around = max(counts, key=counts.__getitem__, default="")
    inside = [name.removeprefix(around) for name in names if name.startswith(around)]
    first, *others = {name.partition(".")[0] for name in inside} or {""}
    if others or first in PARTS or not first.isidentifier() or len(inside) < 2 or first in inside:
        return around
    around = f"{around}{first}."
    return around + _wrappers([name.removeprefix(f"{first}.") for name in inside], pattern)


# --- its names ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Reading:
    """One way to read the names in a file."""

    naming: Naming
    architecture: Architecture  # of the least size; names do not depend on it
    whole: bool  # a classifier or another network of its shape, not a trunk alone?
    names: Mapping[str, str]  # ours of the tensors that the file should have, and its own inside the wrappers


@cache
def _readings() -> list[_Reading]:
    readings = []
    for naming, depth, (stem, shortcut), whole in product(NAMINGS, DEPTHS, BATCH_NORMS, (False, True)):
        least = ResNetV2Architecture(depth=depth, width=1, stem_bn=stem, shortcut_bn=shortcut, num_classes=2)
        ours = [name for name in _template(least) if whole or name.startswith("trunk.")]
        names = {name: theirs for name in ours if (theirs := naming.theirs(name)) is not None}
        readings.append(_Reading(naming, least, whole, names))
    return readings


@cache
def _template(architecture: Architecture) -> Mapping[str, Tensor]:
    """Names, shapes and types of a classifier's tensors."""
    with torch.device("meta"):
        return architecture.classifier().state_dict()


def _reading_of(reference: Reference) -> _Reading:
    architecture, names = libraries.layout(reference)
    return _Reading(Naming((), 1), architecture, True, names)


def _best_reading(found: _Found) -> _Reading:
    """The one by which the fewest names are missing or left over.

    Raises:
        CheckpointError: by every reading most names are missing.
    """
    inside = [name.removeprefix(found.wrappers) for name in found.tensors]
    networks = {naming: {name for name in inside if not naming.is_of_head(name)} for naming in NAMINGS}
    readings = [reading for reading in _readings() if not (reading.whole and found.selfie)]
    best = min(readings, key=lambda reading: len(networks[reading.naming] ^ {*reading.names.values()}))
    if len(networks[best.naming].intersection(best.names.values())) < len(best.names) / 2:
        raise CheckpointError(
            f"Unknown architecture: the file's tensors are named {', '.join([*found.tensors][:3])}, ...",
            "Of a model of timm or torchvision say which: --architecture timm:NAME. To evaluate any other, use "
            "`advss eval package.module:factory`.",
        )
    return best


# --- its tensors --------------------------------------------------------------------------------------------------


def _take(
    found: _Found, reading: _Reading, name: Name, classes: tuple[str, ...] | None
) -> tuple[Imported, dict[str, Tensor]]:
    """What is to be said of the checkpoint, and its weights, after all of the file has been checked."""
    names = {ours: found.wrappers + theirs for ours, theirs in reading.names.items()}
    architecture = _architecture(found, reading, names)
    config = _config(found, reading, architecture, name, classes)
    if config.kind == "trunk":
        names = {ours: theirs for ours, theirs in names.items() if ours.startswith("trunk.")}
    template = _template(architecture)
    state = {ours: found.tensors[theirs].to(template[ours].dtype, copy=True) for ours, theirs in names.items()}
    left = sorted(found.tensors.keys() - {*names.values(), *found.constants, *found.untracked})
    untracked = len(found.untracked.intersection(names.values()))
    absent = {ours: tensor for ours, tensor in _fresh_stem(architecture).items() if ours not in state}
    layout = f"{config.task} pretraining" if config.task else config.kind
    dropped = dict(Counter(key.removeprefix(found.wrappers).partition(".")[0] for key in left))
    if found.attention is not None:
        dropped[ATTENTION] = len(found.attention)
    imported = Imported(
        layout="ensemble pretraining" if reading.naming.renames is BLOCKS else layout,
        config=config,
        copied=len(state) - untracked,
        dropped=dropped,
        initialised=tuple(absent),
        ignored=found.ignored,
        normalised=bool(found.constants),
        averaged=found.averaged,
        untracked=untracked,
    )
    return imported, state | absent


def _fresh_stem(architecture: Architecture) -> dict[str, Tensor]:
    """The stem's batch norm as it is made, which is what fine-tuning puts on the trunks of ensemble pretraining."""
    if not isinstance(architecture, ResNetV2Architecture) or not architecture.stem_bn:
        return {}
    made = nn.BatchNorm2d(architecture.width).state_dict()
    return {f"trunk.bn1.{key}": tensor for key, tensor in made.items()}


def _architecture(found: _Found, reading: _Reading, names: Mapping[str, str]) -> Architecture:
    """The one that the file's tensors fit.

    Args:
        names: our names of the tensors that the file should have, and its own.

    Raises:
        CheckpointError: a tensor is missing, unexpected, misshapen or not finite, or a std is not positive.
    """
    tensors, constants = found.tensors, found.constants
    architecture = _sized(reading, names, tensors)
    template, is_of_head = _template(architecture), reading.naming.is_of_head
    checkpoint.check_tensors(
        {theirs: template[ours] for ours, theirs in names.items()} | dict.fromkeys(constants, torch.empty(3)),
        {key: tensor for key, tensor in tensors.items() if not is_of_head(key.removeprefix(found.wrappers))},
    )
    if not constants:
        return architecture
    # By way of text, 0.485 in single precision becomes 0.485.
    mean, std = (tuple(float(str(number)) for number in tensors[key].detach().float().numpy()) for key in constants)
    if min(std) <= 0:
        raise CheckpointError(
            f"{constants[1]} of the normalisation must be positive, got {std}.",
            "Check the file: it may be damaged.",
        )
    return architecture.model_copy(update={"mean": mean, "std": std})


def _sized(reading: _Reading, names: Mapping[str, str], tensors: Mapping[str, Tensor]) -> Architecture:
    """The architecture of the size that most tensors agree on, so that one that is misshapen is found out."""
    least = _template(reading.architecture)
    known = {
        ours: tensors[theirs]
        for ours, theirs in names.items()
        if theirs in tensors and tensors[theirs].ndim and least[ours].ndim
    }
    sizes: dict[str, Any] = {}
    if isinstance(reading.architecture, ResNetV2Architecture):
        widths = [len(tensor) // len(least[ours]) for ours, tensor in known.items() if ours.startswith("trunk.")]
        sizes["width"] = statistics.mode(widths or [0])
        if "trunk.conv1.weight" in known and known["trunk.conv1.weight"].shape[2:] == (7, 7):
            sizes["stem"] = "imagenet"
    linear = {names[ours]: tensor for ours, tensor in known.items() if ours.startswith("head.linear.")}
    if linear:
        sizes["num_classes"], *others = {len(tensor) for tensor in linear.values()}
        if others:
            shown = " or ".join(f"{key} {tuple(tensor.shape)}" for key, tensor in linear.items())
            raise CheckpointError(f"The weights do not fit the model; misshapen: {shown}.")
    try:
        return reading.architecture.model_validate(reading.architecture.model_dump(exclude={"num_classes"}) | sizes)
    except ValidationError as error:
        raise CheckpointError(f"The weights do not fit a supported architecture: {all_mistakes(error)}.") from error


def _config(
    found: _Found, reading: _Reading, architecture: Architecture, name: Name, classes: tuple[str, ...] | None
) -> Config:
    count = architecture.num_classes
    ours = isinstance(architecture, ResNetV2Architecture)
    task = _task(found, count if ours and reading.whole and classes is None else None)
    trunk = task is not None or not reading.whole
    if classes is None:
        classes = () if trunk else KNOWN_CLASSES.get(count, tuple(map(str, range(count))))
    elif trunk:
        raise UsageError("The file holds a trunk, which has no classes.", "Leave out --classes.")
    elif len(classes) != count:
        raise UsageError(f"--classes names {len(classes)} classes, but the network in the file has {count}.")
    return Config(
        name=name.name,
        tag=name.tag or IMPORTED,
        kind="trunk" if trunk else "classifier",
        task=task,
        scenario=IMPORTED,
        architecture=architecture,
        objective=None if trunk else Classification(),
        classes=classes,
        image_size=architecture.image_size,
    )


def _task(found: _Found, outputs: int | None) -> str | None:
    """The pretext task, where the file gives it away; `outputs` is None where it cannot be told by their number."""
    if found.selfie:
        return "selfie"
    if f"{found.wrappers}head.permutations" in found.tensors:  # a jigsaw of our own, of any number of permutations
        return "jigsaw"
    return None if outputs is None else PRETEXT.get(outputs)
