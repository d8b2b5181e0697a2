"""Models of timm and torchvision by name, as checkpoint folders: converted once, and kept in the cache."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import parse_qsl

import torch
from huggingface_hub import snapshot_download
from pydantic import ValidationError

from advss_zoo.errors import AdvssError, CheckpointError, UsageError, all_mistakes
from advss_zoo.files import cache_folder
from advss_zoo.models.architecture import Architecture
from advss_zoo.models.backbones import timm, torchvision
from advss_zoo.models.network import Network
from advss_zoo.models.pretrained import LibraryOptions, Pretrained
from advss_zoo.objectives.classification import Classification
from advss_zoo.zoo import CONFIG, checkpoint, hub, snapshot
from advss_zoo.zoo.names import LONGEST_NAME
from advss_zoo.zoo.reference import Reference
from advss_zoo.zoo.sources import CONVERTED

LOADERS: Mapping[str, Callable[[str, LibraryOptions], Pretrained]] = {
    "timm": timm.load,
    "torchvision": torchvision.load,
}
RANDOM = "random"  # the scenario of weights that nobody has trained
CLOSE = 1e-3  # of the largest logit: how far the converted model may be from the library's own


def fetch(reference: Reference) -> Path:
    """Return the checkpoint folder of a model of a library, which is made if it is not in the cache.

    Raises:
        UsageError: the library has no such model, or it is not one that can be taken apart into trunk and classifier.
        CheckpointError: its weights are not on this machine and cannot be downloaded, or contain code.
        AdvssError: the library is not installed.
    """
    place = cache_folder() / CONVERTED / re.sub(r"[^\w.=-]+", "-", reference.text)
    if not (place / CONFIG).is_file():  # which is written last
        _convert(reference, place)
    return place


def layout(reference: Reference) -> tuple[Architecture, dict[str, str]]:
    """Return the record of a model of a library, and how the library names its weights, by our names of them.

    Raises:
        UsageError: it is no model of a library, or as `fetch`.
        AdvssError: as `fetch`.
    """
    if not reference.is_of_library:
        raise UsageError(
            f"{reference} is not a model of a library.", "For example timm:resnet18 or torchvision:vit_b_16"
        )
    name, options = _parsed(reference)
    with _explained(reference):
        loaded = LOADERS[reference.kind](name, options.model_copy(update={"pretrained": False}))
    return loaded.architecture, dict(zip(loaded.state, loaded.model.state_dict(), strict=True))


def _parsed(reference: Reference) -> tuple[str, LibraryOptions]:
    name, _, query = reference.name.partition("?")
    try:
        return name, LibraryOptions.model_validate(dict(parse_qsl(query, keep_blank_values=True)))
    except ValidationError as error:
        raise UsageError(
            f"{reference}: {all_mistakes(error, LibraryOptions.model_fields)}.", "For example ?pretrained=false"
        ) from error


def _convert(reference: Reference, place: Path) -> None:
    name, options = _parsed(reference)
    if reference.kind == "timm" and (name.startswith(timm.HUB) or options.pretrained):
        _check_reachable(reference, timm.repository(name))
    with _explained(reference):
        loaded = LOADERS[reference.kind](name, options)
    classes, count = loaded.classes, loaded.architecture.num_classes
    if classes is None or len(classes) not in (0, count):
        classes = tuple(map(str, range(count)))
    config = checkpoint.Config(
        name=re.sub(r"[^a-z0-9]+", "-", name.rpartition("/")[2].lower())[:LONGEST_NAME].strip("-"),
        tag=reference.kind,
        kind="classifier" if classes else "trunk",
        scenario="pretrained" if options.pretrained else RANDOM,
        architecture=loaded.architecture,
        objective=Classification() if classes else None,
        classes=_distinct(classes),
        image_size=loaded.architecture.image_size,
    )
    _check_same(reference, loaded, checkpoint.build(config, loaded.state))
    checkpoint.save(place, loaded.state, config, precision="full")


def _check_reachable(reference: Reference, repository: str) -> None:
    """Ask the Hub once: timm's client tries for a minute, and says less.

    Raises:
        CheckpointError: it has no such repository, or cannot be reached and the cache does not hold it.
    """
    if not repository:
        return
    address = snapshot.parse_repository(snapshot.PREFIX + repository)
    try:
        hub.look_up(address)
    except hub.UnreachableError as error:
        with suppress(OSError):
            snapshot_download(address.repository, revision=address.revision, local_files_only=True)
            return
        message = f"The weights of {reference} are not on this machine. {error.message}"
        raise CheckpointError(message, _elsewhere(reference)) from error


def _elsewhere(reference: Reference) -> str:
    """How to get weights onto a machine without network."""
    return (
        f"On a machine with network run `advss pull {reference}`, copy the folder that it names, and give that folder; "
        "or take random weights: add ?pretrained=false."
    )


def _distinct(classes: tuple[str, ...]) -> tuple[str, ...]:
    """Number the names that several classes have: images are matched to classes by name."""
    counts = Counter(classes)
    return tuple(f"{name} ({number})" if counts[name] > 1 else name for number, name in enumerate(classes))


def _check_same(reference: Reference, loaded: Pretrained, network: Network) -> None:
    """
    Raises:
        UsageError: our network, built of its record, computes something else than the library's.
    """
    side = loaded.architecture.image_size
    images = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        theirs, ours = loaded.model.eval()(network.normalize(images)), network(images)
    if not (theirs.shape == ours.shape and (theirs - ours).abs().max() <= CLOSE * theirs.abs().max().clamp_min(1)):
        raise UsageError(
            f"{reference} cannot be rebuilt from its name and size, which is not supported.",
            "Write a function that returns it, and name that as package.module:function.",
        )


@contextmanager
def _explained(reference: Reference) -> Iterator[None]:
    """Put what downloads and weights may raise into a sentence."""
    try:
        yield
    except AdvssError:
        raise
    except Exception as error:  # of two libraries, their clients and the network
        reason = " ".join(str(error).split()) or type(error).__name__
        if "weights_only" in reason or "Weights only" in reason:
            raise CheckpointError(
                f"The weights of {reference} cannot be read without running code, which advss-zoo never does.",
                "Ask its authors for safetensors.",
            ) from error
        raise CheckpointError(
            f"The weights of {reference} are not on this machine and cannot be downloaded "
            f"({type(error).__name__}: {reason[:200]}).",
            _elsewhere(reference),
        ) from error
