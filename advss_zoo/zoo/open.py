"""Opening what a reference means as a `Model`."""

from __future__ import annotations

import hashlib
import importlib
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from advss_zoo.errors import AdvssError, CheckpointError, UsageError
from advss_zoo.models.adapted import check_weights
from advss_zoo.models.devices import pick_device
from advss_zoo.models.ensemble import Ensemble
from advss_zoo.models.identity import weights_sha256
from advss_zoo.models.model import Model
from advss_zoo.threat import ThreatModel
from advss_zoo.zoo import CONFIG, WEIGHTS, checkpoint, ensembles, load, sources
from advss_zoo.zoo.reference import Kind, Reference, parse_reference

LIBRARIES = ("torch", "advss_zoo")  # whose code is not a model's own; results name their versions


def open_model(
    reference: Reference | str | Path, device: str | torch.device = "cpu", output: str | None = None
) -> Model:
    """Open a classifier or an ensemble.

    Args:
        reference: NAME or NAME.TAG (see `list_models`), hf://ORG/REPO@REVISION, the folder of a checkpoint or a run,
            the name of a run in ./runs, an .onnx file, timm:NAME, torchvision:NAME, package.module:factory, or several
            of these joined by +, which are an ensemble (see `zoo.reference`).
        device: where the model goes; "auto" is a GPU if there is one.
        output: the name of the output of an ONNX file that is the logits; None: the one that can be.

    Returns:
        A module in evaluation mode: images (B,3,H,W) in [0,1] to logits (B,K), normalisation inside.

    Raises:
        UsageError: it means no model that classifies, or there is no such device.
        CheckpointError: its weights cannot be had, or are not what they should be.
        AdvssError: a factory fails, or a package is missing.
    """
    found = parse_reference(reference).with_output(output)
    return OPENERS[found.kind](found, device)


def as_ensemble(models: Sequence[Model], name: str | None = None) -> Model:
    """Make one model of several; those whose classes are not known are taken to have the others'.

    Args:
        name: left out: those of the members, joined by +.

    Raises:
        UsageError: they know different classes.
    """
    known = {model.classes: model for model in models if model.classes}
    if len(known) > 1:
        described = "; ".join(f"{model.name} {', '.join(classes)}" for classes, model in known.items() if classes)
        raise UsageError(f"Members of an ensemble must have the same classes: {described}.")
    ranges = {model.value_range for model in models if model.value_range}
    if len(ranges) > 1:
        described = "; ".join(f"{black:g} to {white:g}" for black, white in sorted(ranges))
        raise UsageError(f"Members of an ensemble must have the same range of pixel values: {described}.")
    digests, threats, names = [model.sha256 for model in models], {model.threat for model in models}, _names(models)
    return Model(
        Ensemble([model.network for model in models], names),
        name or "+".join(names),
        ensembles.combined_sha256([digest for digest in digests if digest]) if all(digests) else None,
        classes=next(iter(known), None),
        image_size=next((model.image_size for model in models if model.image_size), None),
        threat=threats.pop() if len(threats) == 1 else None,
        value_range=next(iter(ranges), None),
        folders=tuple(folder for model in models for folder in model.folders),
        differentiable=all(model.differentiable for model in models),
    ).to(models[0].device)


def _names(models: Sequence[Model]) -> list[str]:
    """Of several models; those of one name and different weights are told apart by these."""
    weights = defaultdict(set)
    for model in models:
        weights[model.name].add(model.sha256)
    return [
        f"{model.name} ({model.sha256[:7]})" if model.sha256 and len(weights[model.name]) > 1 else model.name
        for model in models
    ]


def _open_ensemble(reference: Reference, device: str | torch.device) -> Model:
    return as_ensemble([open_model(member, device) for member in reference.members])


def _open_checkpoint(reference: Reference, device: str | torch.device) -> Model:
    """A folder goes by the name in its configuration; a repository of others, which may give itself any, does not."""
    where = pick_device(device)
    if reference.kind == "folder" and reference.path:
        return _from_folder(reference.path, where)
    fetched = sources.fetch(reference)
    model = _from_folder(fetched.path, where)
    model.name = fetched.full_name
    return model


def _from_folder(folder: Path, device: str) -> Model:
    """
    Raises:
        UsageError: it is a pretrained trunk and no classifier.
        CheckpointError: it is not a whole checkpoint.
    """
    if ensembles.is_ensemble(folder):
        known = ensembles.read(folder)
        model = as_ensemble([_from_folder(member, device) for member in load.member_folders(folder)], known.full_name)
        model.temperature = known.temperature
        return model
    network, config = checkpoint.load(folder)
    if config.kind == "trunk":
        raise UsageError(
            f"{config.full_name} is a pretrained trunk, not a classifier.",
            f"Fine-tune it (`parent={folder}` in a recipe), or load it with advss_zoo.load_trunk.",
        )
    made = config.provenance
    return Model(
        network,
        config.full_name,
        config.sha256,
        classes=config.classes,
        image_size=config.image_size,
        mean=config.architecture.mean,
        std=config.architecture.std,
        temperature=config.temperature,
        threat=ThreatModel(made.norm, made.eps) if made and made.norm and made.eps else None,
        value_range=config.value_range,
        folders=(folder,),
    ).to(device)


def _open_file(reference: Reference, device: str | torch.device) -> Model:
    """Say what is missing beside weights alone, or what is wrong with them."""
    assert reference.path
    checkpoint.read_weights(reference.path)
    raise CheckpointError(
        f"{reference} contains weights only, not the configuration of a model.",
        f"Name it {WEIGHTS}, put a {CONFIG} in the same folder and give the folder.",
    )


def _open_onnx(reference: Reference, device: str | torch.device) -> Model:
    from advss_zoo.deploy import onnx_module

    assert reference.path
    return onnx_module.load(reference.path, device, reference.output)


def _open_factory(reference: Reference, device: str | torch.device) -> Model:
    """Call `package.module:factory` without arguments; the folder one stands in is searched first.

    Its sha256 is that of its parameters and buffers, and of the files that its layers and the factory are written in:
    the same weights may come to mean something else.

    Raises:
        UsageError: there is no such function, or it does not return a torch module.
        AdvssError: the module or the function fails, or weights of its module are missing or quantised.
    """
    where, (module_name, _, function_name) = pick_device(device), reference.text.partition(":")
    with _importing_from_here():
        try:
            return _from_factory(_imported(module_name, function_name, reference), reference, module_name).to(where)
        except AdvssError:
            raise
        except SystemExit as error:
            hint = "Parse arguments in a function of it, not when the module is imported."
            raise AdvssError(f"{reference} ended the program (exit status {error.code}).", hint) from error
        except Exception as error:  # a function of the user's own may fail in any way
            what = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
            raise AdvssError(f"{reference} failed: {what}") from error


def _imported(module: str, name: str, reference: Reference) -> Callable[[], object]:
    try:
        factory: Callable[[], object] = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        is_there = isinstance(error, ImportError) and not f"{module}.".startswith(f"{error.name}.")
        hint = f"Install what {module} imports." if is_there else "Write package.module:factory."
        raise UsageError(f"Cannot import {reference.text!r}: {error}.", hint) from error
    return factory


def _from_factory(factory: Callable[[], object], reference: Reference, module: str) -> Model:
    network = factory()
    if isinstance(network, torch.export.ExportedProgram):
        network = network.module()
    if not isinstance(network, nn.Module):
        raise UsageError(f"{reference} returned {type(network).__name__}, not a torch.nn.Module.")
    check_weights(network)
    if isinstance(network, Model):
        return network
    return Model(network, reference.text, _own_sha256(network, [module, factory.__module__]))


@contextmanager
def _importing_from_here() -> Iterator[None]:
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        yield
    finally:
        sys.path.remove(here)


def _own_sha256(model: nn.Module, modules: Iterable[str]) -> str:
    """Of the weights, of the layers as they are printed, and of the files of these modules and the layers' own."""
    printed = re.sub("0x[0-9a-f]+", "", repr(model))  # addresses differ from process to process
    digest = hashlib.sha256(f"{weights_sha256(model)}\n{printed}\n".encode())
    for name in sorted({*modules, *(type(layer).__module__ for layer in model.modules())}):
        file = getattr(sys.modules.get(name), "__file__", None)
        if name.partition(".")[0] not in LIBRARIES and file and Path(file).is_file():
            digest.update(Path(file).read_bytes())
    return digest.hexdigest()


OPENERS: Mapping[Kind, Callable[[Reference, str | torch.device], Model]] = {
    "hub": _open_checkpoint,
    "timm": _open_checkpoint,
    "torchvision": _open_checkpoint,
    "zoo": _open_checkpoint,
    "folder": _open_checkpoint,
    "run": _open_checkpoint,
    "file": _open_file,
    "onnx": _open_onnx,
    "factory": _open_factory,
    "ensemble": _open_ensemble,
}
