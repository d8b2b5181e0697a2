"""What a reference to a model means. No other module decides that; importing this imports no torch.

| kind | written as | for example |
|---|---|---|
| hub | `hf://ORG/REPO[@REVISION]` | `hf://advss-zoo/p1f4.mini@v0.1.0` |
| zoo | NAME, NAME.TAG of the zoo | `p1f4`, `p1f4.mini` |
| folder | the folder of a checkpoint or a run, or its model.safetensors | `runs/mine.mini`, `./mine` |
| onnx | a path that ends in .onnx | `model.onnx` |
| timm | `timm:NAME`, `timm:hf-hub:ORG/REPO` | `timm:resnet18.a1_in1k`, `timm:resnet18?pretrained=false` |
| torchvision | `torchvision:NAME[:WEIGHTS]` | `torchvision:vit_b_16:IMAGENET1K_V1` |
| file | any other file of weights, which is refused with a reason when it is opened | `weights.pt` |
| ensemble | several references joined by + | `p1f4+my.module:factory` |
| run | the name of a run in ./runs | `mine.mini`, `mine` |
| factory | package.module:function, which returns a torch module | `my.module:factory` |

The first row that fits is what is meant.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal, NoReturn

from advss_zoo.data.folder.names import is_image
from advss_zoo.errors import AdvssError, CheckpointError, UsageError
from advss_zoo.zoo import CONFIG, WEIGHTS, index, names, runs, snapshot

Kind = Literal["hub", "timm", "torchvision", "zoo", "folder", "onnx", "file", "ensemble", "run", "factory"]

ONNX = ".onnx"
OF_WEIGHTS = (".safetensors", ".pt", ".pth", ".bin", ".ckpt", ".pkl")
_OF_LIBRARY = re.compile(r"[\w.:/@-]{1,200}(\?[\w.=&-]{0,200})?", re.ASCII)
_FACTORY = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")


@dataclass(frozen=True)
class Reference:
    """One model, or an ensemble of several.

    Attributes:
        text: as it was written.
        name: of a checkpoint of the zoo without its tag, of a run, ORG/REPO on the Hub, or in another library.
        revision: of a repository on the Hub.
        path: the checkpoint's folder, of a run that which it stands for, or the file.
        members: of an ensemble.
        shadowed: a run or folder of the same name as the checkpoint of the zoo that is meant.
        output: the name of the output of an ONNX file that is the logits; None: the one that can be.
    """

    kind: Kind
    text: str
    name: str = ""
    tag: str | None = None
    revision: str | None = None
    path: Path | None = None
    members: tuple[Reference, ...] = ()
    shadowed: Path | None = None
    output: str | None = None

    def with_output(self, name: str | None) -> Reference:
        """Return the same reference with one output of an ONNX file chosen; None: as it is.

        Raises:
            UsageError: it is not an ONNX file.
        """
        if name is not None and self.kind != "onnx":
            raise UsageError(f"An output can be chosen of an ONNX file only, got {self}.", "Leave out --output.")
        return self if name is None else replace(self, output=name)

    @property
    def is_of_library(self) -> bool:
        """Tell whether another library has the model."""
        return self.kind in ("timm", "torchvision")

    @property
    def parts(self) -> tuple[Reference, ...]:
        """The members of an ensemble, or the one reference itself."""
        return self.members or (self,)

    def __str__(self) -> str:
        return self.text


def parse_reference(reference: Reference | str | Path, *, beside: Path | None = None) -> Reference:
    """Find out what is meant by a text or a path, without loading anything.

    Args:
        reference: a Path is a path, whatever is called like it; a Reference is returned as it is.
        beside: a folder of runs that come first, before the zoo: a recipe's parent is what was just made there.

    Raises:
        UsageError: it means nothing, several things, or a run that is not finished; or is of another kind.
        CheckpointError: it is a path, and nothing is there.
    """
    if isinstance(reference, Reference):
        return reference
    if not isinstance(reference, str | Path):
        raise UsageError(
            f"model must be a torch module or the name of a model, got {type(reference).__name__}.",
            "To predict or export, wrap a module: advss_zoo.Model(module, NAME, classes=..., image_size=N).",
        )
    found = _at(str(reference)) if isinstance(reference, Path) else _meant(reference, beside)
    return found or _refuse(reference)


def means_model(text: str) -> bool:
    """Tell whether a text is meant as a model, perhaps a wrong one, where it may be an image or a folder of such."""
    if is_image(text):
        return False
    try:
        if _meant(text):
            return True
    except AdvssError:  # meant as one, with a mistake in it
        return True
    return not os.path.lexists(text) and names.is_name(text)


def names_in(text: str) -> list[str]:
    """Return the names and paths in a reference, which need not exist yet: a recipe may ask for what is made later."""
    parts = [text] if os.path.lexists(text) else text.split("+")
    return [part for part in parts if not (part.startswith(tuple(_PREFIXES)) or _FACTORY.fullmatch(part))]


def _meant(text: str, beside: Path | None = None) -> Reference | None:
    """What the first way of reading a text that fits gives: the order is the precedence."""
    ways: list[Callable[[str], Reference | None]] = [_prefixed, _of_zoo, _at, partial(_ensemble, beside=beside), _run]
    if beside:
        ways[1:1] = [_at, partial(_run, where=beside)]
    return next((found for way in [*ways, _factory] if (found := way(text))), None)


def _prefixed(text: str) -> Reference | None:
    if "+" in text:
        return None
    return next((parse(text) for prefix, parse in _PREFIXES.items() if text.startswith(prefix)), None)


def _on_hub(text: str) -> Reference:
    address = snapshot.parse_repository(text)
    return Reference("hub", text, address.repository, revision=address.revision)


def _of_library(kind: Literal["timm", "torchvision"], text: str) -> Reference:
    """Its name is what the library calls the model, and the options after it."""
    name = text.removeprefix(f"{kind}:")
    if not _OF_LIBRARY.fullmatch(name):
        raise UsageError(f"{text!r} does not name a model of {kind}.", f"For example {kind}:resnet18?pretrained=false")
    return Reference(kind, text, name)


# Notations that begin with what they are.
_PREFIXES: Mapping[str, Callable[[str], Reference]] = {
    snapshot.PREFIX: _on_hub,
    "timm:": partial(_of_library, "timm"),
    "torchvision:": partial(_of_library, "torchvision"),
}


def _of_zoo(text: str) -> Reference | None:
    if not index.knows(text):
        return None
    entry = index.find(text)
    return Reference("zoo", text, entry.name, entry.tag, shadowed=_shadowed(text))


def _shadowed(text: str) -> Path | None:
    if _holds_checkpoint(Path(text)):
        return Path(text)
    try:
        return runs.find(text)
    except UsageError:  # several, none of which is meant
        return None


def _holds_checkpoint(folder: Path) -> bool:
    return (folder / CONFIG).is_file() or runs.is_run(folder)


def _at(text: str) -> Reference | None:
    """What a path leads to; a folder of anything else than a checkpoint or a run is no model."""
    path = Path(text)
    there = os.path.lexists(text)  # whatever the text, that is no error
    if path.suffix.lower() == ONNX and (there or "+" not in text):
        return Reference("onnx", text, path=path)
    if not there:
        return None
    if path.is_dir():
        return Reference("folder", text, path=runs.checkpoint_in(path)) if _holds_checkpoint(path) else None
    if path.name == WEIGHTS and (path.parent / CONFIG).is_file():
        return Reference("folder", text, path=path.parent)
    return Reference("file", text, path=path) if path.suffix.lower() in OF_WEIGHTS else None


def _ensemble(text: str, beside: Path | None) -> Reference | None:
    if "+" not in text or os.path.lexists(text):
        return None
    return Reference("ensemble", text, members=tuple(parse_reference(part, beside=beside) for part in text.split("+")))


def _run(text: str, where: Path = runs.RUNS) -> Reference | None:
    run = runs.find(text, where)
    return Reference("run", text, run.name, path=runs.checkpoint_in(run)) if run else None


def _factory(text: str) -> Reference | None:
    return Reference("factory", text, text) if _FACTORY.fullmatch(text) else None


def _refuse(reference: str | Path) -> NoReturn:
    text = str(reference)
    if os.path.lexists(text):
        raise UsageError(
            f"{text} is not a checkpoint (a folder with {CONFIG} and {WEIGHTS}), a run or a file of weights.",
            "Give the folder of a checkpoint or a run, or a NAME of the zoo (see `advss list`).",
        )
    if isinstance(reference, Path) or os.sep in text:
        raise CheckpointError(f"{text} does not exist.", "For a checkpoint of the zoo give its NAME, see `advss list`.")
    index.find(text)  # says what comes nearest
    raise AssertionError(f"the zoo knows {text}")
