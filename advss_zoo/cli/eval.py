"""`advss eval`: how robust is a model? Every evaluation is resumable and leaves a result that others can check."""

from __future__ import annotations

import json as json_module
import re
import shlex
import sys
from contextlib import redirect_stdout
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from advss_zoo.cli.interrupts import import_torch
from advss_zoo.cli.options import (
    BatchSizeOption,
    DeviceOption,
    JsonOption,
    LimitOption,
    OutOption,
    examples,
    pick_device,
)
from advss_zoo.cli.output import out, percent, rate_text
from advss_zoo.errors import UsageError
from advss_zoo.files import explained

if TYPE_CHECKING:
    from advss_zoo.data.imageset import ImageSet
    from advss_zoo.evaluation.protocols import Protocol
    from advss_zoo.evaluation.results import Result
    from advss_zoo.zoo.load import Loaded

EXAMPLES = examples(
    "advss eval",
    "advss eval p1f4.mini --attack clean,pgd20 --limit 200",
    "advss eval p1f4.mini --attack autoattack --limit 64",
    "advss eval p1f4.mini+p1f3.mini --data cifar10",
    "advss eval p1f4 --norm l2 --eps 0.5 --restarts 5",
    "advss eval --model mypackage.models:build --json",
    "advss eval --model runs/p1f4.mini/average",
)
SUBSET = "cifar10-1k"
RUNS = Path("runs")


def command(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="A checkpoint, or an ensemble A+B; left out: the zoo's default."),
    ] = None,
    attack: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PROTOCOL",
            help="clean, pgdN, pgdN-any, autoattack, or one of its attacks: apgd-ce, apgd-t, apgd-dlr, fab-t, square; "
            "several at once; left out: pgd20.",
        ),
    ] = None,
    data: Annotated[
        str, typer.Option(metavar="DATA", help="cifar10, cifar10-1k or cifar100: the test images.")
    ] = SUBSET,
    limit: LimitOption = None,
    norm: Annotated[
        Literal["linf", "l2", "l1"],
        typer.Option(help="How perturbations are measured; l1 for autoattack and its attacks."),
    ] = "linf",
    eps: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="Size of perturbations; left out: 8/255, with l2 0.5, with l1 12."),
    ] = None,
    step_size: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="Size of a step of pgdN; left out: 2/255, with l2 2.5 eps / N."),
    ] = None,
    restarts: Annotated[
        int, typer.Option(metavar="N", min=1, help="Random starts of pgdN; the worst of them counts.")
    ] = 1,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Seed of all that is random.")] = 0,
    quantize: Annotated[
        bool, typer.Option("--quantize", help="Also measure RA on the adversarial images rounded to 8 bit.")
    ] = False,
    save_adversarial: Annotated[
        bool, typer.Option("--save-adv", help="Keep the adversarial images, as safetensors and as RobustBench asks.")
    ] = False,
    batch_size: BatchSizeOption = 256,
    device: DeviceOption = "auto",
    model: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="Your own: package.module:factory, a .safetensors file or a folder."),
    ] = None,
    folder: OutOption = None,
    json: JsonOption = False,
) -> None:
    """Measure how robust a model is.

    TA, the accuracy on clean images, and RA, on attacked ones, are in percent, RA with its 95% interval. The same
    command again goes on where it was stopped. Results go to runs/eval/ unless --out says otherwise: for every
    protocol a result.json and the verdict on each image.
    """
    out.json = json
    if name is not None and model is not None:
        raise UsageError("Both NAME and --model say what to evaluate.", "Give one of them.")
    if model is None:
        name = _checked_name(name)
    _check_data(data)
    protocols = _protocols(attack or ["pgd20"], norm=norm, eps=eps, step_size=step_size, restarts=restarts, seed=seed)
    images = _images(data, limit)
    protocols = [protocol.for_classes(len(images.classes)) for protocol in protocols]
    where = pick_device(device)
    results = {}
    with redirect_stdout(sys.stderr):  # whatever a model of the user's own prints, it is not our data
        loaded = _load(name, model, where)
        base = folder or RUNS / "eval" / _slug(f"{loaded.full_name}-{images.name}" + (f"-{limit}" if limit else ""))
        for protocol in protocols:
            place = base / (protocol.slug() + ("-8bit" if quantize else ""))
            results[place] = measure(
                loaded,
                images,
                protocol,
                place,
                batch_size=batch_size,
                device=where,
                quantize=quantize,
                save_adversarial=save_adversarial,
            )
    _show(results, images, base)


def _checked_name(name: str | None) -> str:
    """The name to load; a name the zoo does not know is refused before torch is imported."""
    from advss_zoo.zoo import index

    name = index.default_name() if name is None else name
    for member in name.split("+"):
        index.find(member)
    return name


def _check_data(data: str) -> None:
    from advss_zoo.data import catalogue

    if data != SUBSET:
        catalogue.find(data)


def _protocols(attacks: list[str], **constants: Any) -> list[Protocol]:
    """Names given one by one, or several in one value, or as a suite, each once."""
    from advss_zoo.evaluation.eps import parse_eps

    names = [name for value in attacks for name in re.split(r"[,\s]+", value) if name]
    if not names:
        raise UsageError("--attack names no protocol.", "For example: --attack clean,pgd20")
    for key in ("eps", "step_size"):
        if constants[key] is not None:
            constants[key] = parse_eps(constants[key], constants["norm"])
    import_torch()
    from advss_zoo.evaluation import protocols

    members = dict.fromkeys(member for name in names for member in protocols.expand(name))
    return [protocols.parse(name, **constants) for name in members]


def _images(data: str, limit: int | None) -> ImageSet:
    from advss_zoo.data.load import load

    images = load(data, "test")
    if limit is not None:
        if limit > len(images):
            raise UsageError(f"--limit is {limit:,}, but {data} has {len(images):,} test images.")
        images = images.first(limit)
    if data == SUBSET:
        out.hint(
            f"On the first {len(images):,} test images of CIFAR-10 (n = {len(images):,}). "
            "For all 10,000: `advss data get cifar10`, then add `--data cifar10`."
        )
    return images


def _load(name: str | None, model: str | None, device: str) -> Loaded:
    from advss_zoo.zoo import load

    if name is not None:
        return load.resolve(name, device=device)
    assert model is not None
    if ":" in model and not Path(model).exists():
        return load.from_factory(model, device=device)
    return load.from_path(Path(model), device=device)


def measure(
    loaded: Loaded,
    images: ImageSet,
    protocol: Protocol,
    place: Path,
    *,
    batch_size: int,
    device: str,
    quantize: bool = False,
    save_adversarial: bool = False,
) -> Result:
    from advss_zoo.evaluation.results import RESULT_FILE
    from advss_zoo.evaluation.runner import Subject, evaluate

    if not (place / RESULT_FILE).exists():
        _log(loaded, images, protocol, place)
    with out.progress(protocol.label(), "images") as progress:
        return evaluate(
            loaded.model,
            images,
            protocol,
            out=place,
            batch_size=batch_size,
            device=device,
            progress=progress,
            subject=Subject(loaded.full_name, loaded.sha256),
            command=shlex.join(["advss", *sys.argv[1:]]),
            quantize=quantize,
            save_adversarial=save_adversarial,
        )


def _log(loaded: Loaded, images: ImageSet, protocol: Protocol, place: Path) -> None:
    """Note every look at test images: a choice made by looking at them would show here."""
    entry = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "model": loaded.full_name,
        "sha256": loaded.sha256,
        "data": images.name,
        "split": images.split,
        "n": len(images),
        "protocol": protocol.label(),
        "out": str(place),
    }
    path = RUNS / "test-evaluations.jsonl"
    with explained("write", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(json_module.dumps(entry) + "\n")


def _show(results: dict[Path, Result], images: ImageSet, base: Path) -> None:
    from advss_zoo.evaluation.uar import scores as uar_scores

    rows = [
        {
            "model": result.model["name"],
            "data": images.name,
            "n": f"{len(images):,}",
            "protocol": result.protocol["label"],
            "TA": percent(result.ta),
            "RA": percent(result.ra),
            "RA 95%": _interval(result.ra_ci95),
            "images/s": rate_text(result.images_per_second),
        }
        for result in results.values()
    ]
    first = next(iter(results.values()))
    uar = uar_scores(results.values())
    document = {
        "model": first.model,
        "data": first.data,
        "results": [_document(result, place) for place, result in results.items()],
        **({"uar": uar} if uar else {}),
        "out": str(base),
    }
    out.table(rows, document=document)
    for attack, score in uar.items():
        out.hint(f"UAR of {attack}: {percent(score)}")
    for place, result in results.items():
        for line in _remarks(result):
            out.hint(f"{result.protocol['label']}: {line}")
        out.hint(f"Result: {place / 'result.json'}")


def _remarks(result: Result) -> list[str]:
    """What there is to say of a result beside TA and RA."""
    from advss_zoo.evaluation.details import cautions

    details = result.details or {}
    attacks = details.get("attacks", [])
    remarks = []
    if len(attacks) > 1:
        remarks.append("RA " + ", ".join(f"{percent(attack['accuracy'])} after {attack['name']}" for attack in attacks))
    if "ra_8bit" in details:
        remarks.append(f"RA {percent(details['ra_8bit'])} on the adversarial images rounded to 8 bit")
    return remarks + [f"Warning: {sentence}" for sentence in cautions(details)]


def _document(result: Result, place: Path) -> dict[str, Any]:
    """A result without what all results of this command share, and its protocol by name."""
    facts = {key: value for key, value in result.to_json().items() if key not in ("model", "data", "protocol")}
    return {"protocol": result.protocol["name"], "constants": result.protocol, **facts, "out": str(place)}


def _interval(bounds: tuple[float, float] | None) -> str:
    return "" if bounds is None else f"{percent(bounds[0])} to {percent(bounds[1])}"


def _slug(text: str) -> str:
    """A file name: what a person may have named a model never becomes a path."""
    return re.sub(r"[^A-Za-z0-9.+_-]+", "-", text).strip(".-") or "model"
