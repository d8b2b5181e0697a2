"""`advss eval`: how robust is a model? Every evaluation is resumable and leaves a result that others can check."""

from __future__ import annotations

import json as json_module
import re
import shlex
import sys
from collections.abc import Iterable
from contextlib import redirect_stdout
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from advss_zoo.cli.companions import share_among
from advss_zoo.cli.interrupts import import_torch
from advss_zoo.cli.options import (
    BatchSizeOption,
    Device,
    DeviceOption,
    JsonOption,
    LimitOption,
    OutOption,
    examples,
    pick_device,
    say_which,
)
from advss_zoo.cli.output import is_first_process, out, rate_text
from advss_zoo.errors import UsageError
from advss_zoo.texts import percent

if TYPE_CHECKING:
    from advss_zoo.data.imageset import ImageSet
    from advss_zoo.evaluation.protocols import Protocol
    from advss_zoo.evaluation.results import Result
    from advss_zoo.zoo.load import Loaded

EXAMPLES = examples(
    "advss eval",
    "advss eval p1f4.mini --attack clean,pgd20 --limit 200",
    "advss eval p1f4.mini --attack autoattack --limit 64",
    "advss eval p1f4.mini --attack corruptions --limit 200",
    "advss eval p1f4.mini+p1f3.mini --data cifar10",
    "advss eval p1f4+selfie-p3f4 --attack transfer",
    "advss eval p1f4 --norm l2 --eps 0.5 --restarts 5",
    "advss eval --model mypackage.models:build --json",
    "advss eval --model runs/p1f4.mini --data cifar10",
    "advss eval --model model.onnx --attack clean,square",
    "advss eval --model m.onnx --adversarial adv.safetensors",
)
SUBSET = "cifar10-1k"
RUNS = Path("runs")


def command(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME",
            help="A checkpoint, a run in ./runs, hf://ORG/REPO, or an ensemble A+B; left out: the zoo's default.",
        ),
    ] = None,
    attack: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PROTOCOL",
            help="clean, pgdN, pgdN-any, autoattack, or one of its attacks: apgd-ce, apgd-t, apgd-dlr, fab-t, square; "
            "corruptions, or corruptions-archive for the images of CIFAR-10-C or CIFAR-100-C; "
            "unforeseen, or some of its attacks: unforeseen-NAME, unforeseen-NAME-epsK, each also -untargeted; "
            "of an ensemble transfer and ensemble-worst; several at once; left out: pgd20.",
        ),
    ] = None,
    data: Annotated[
        str,
        typer.Option(metavar="DATA", help="The test images of cifar10, cifar10-1k or cifar100, or a folder of images."),
    ] = SUBSET,
    whole: Annotated[
        bool, typer.Option("--whole", help="All images of a folder, not only those set aside from training.")
    ] = False,
    image_size: Annotated[
        int | None,
        typer.Option(metavar="N", min=8, max=4096, help="Pixels a side for a folder; left out: the model's."),
    ] = None,
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
    adversarial: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Judge images that --save-adv kept, whatever model they were made on."),
    ] = None,
    robustbench: Annotated[
        bool,
        typer.Option("--robustbench-json", help="Also write AutoAttack and corruptions as RobustBench's model_info."),
    ] = False,
    search: Annotated[
        Literal["fp32", "bf16"],
        typer.Option(help="Precision in which pgdN and apgd-... look for images; what they find is judged in fp32."),
    ] = "fp32",
    baseline: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="Also the mCE of corruptions against another model: a folder with its result, or its name.",
        ),
    ] = None,
    processes: Annotated[
        int, typer.Option(metavar="N", min=1, help="Processes that share the work: CPU cores, or a GPU each.")
    ] = 1,
    batch_size: BatchSizeOption = 256,
    device: DeviceOption = "auto",
    model: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Your own: package.module:factory, a .safetensors file, a folder, or an .onnx file, for attacks "
            "without gradients.",
        ),
    ] = None,
    folder: OutOption = None,
    json: JsonOption = False,
) -> None:
    """Measure how robust a model is.

    TA, the accuracy on clean images, and RA, on attacked ones, are in percent, RA with its 95% interval. With
    corruptions nobody attacks: "corrupted" is the mean accuracy on 75 corrupted versions of each image. The same
    command again goes on where it was stopped. Results go to runs/eval/ unless --out says otherwise: for every
    protocol a result.json and the verdict on each image.
    """
    out.json = json
    if name is not None and model is not None:
        raise UsageError("Both NAME and --model say what to evaluate.", "Give one of them.")
    if model is None:
        name = _checked_name(name)
    from advss_zoo.data.load import in_order, is_own
    from advss_zoo.report.places import folder_name, pick_of

    _check_data(data)
    share_among(processes)
    protocols = _protocols(
        attack or ([] if adversarial else ["pgd20"]),
        norm=norm,
        eps=eps,
        step_size=step_size,
        restarts=restarts,
        seed=seed,
        search=search,
    )
    if adversarial is not None:
        from advss_zoo.evaluation.saved import Saved

        protocols.append(Saved.read(adversarial))
    if quantize:
        _check_quantize(protocols)
    if save_adversarial and not any(protocol.makes_images for protocol in protocols):
        raise UsageError(f"{protocols[0].name} makes no adversarial images.", "Leave out --save-adv.")
    if robustbench:
        _check_robustbench(protocols, data)
    compared = None if baseline is None else _compared(baseline, protocols)
    _check_gradients(protocols, model)
    images = None if is_own(data) else _images(data, limit)
    results = {}
    with redirect_stdout(sys.stderr):  # whatever a model of the user's own prints, it is not our data
        loaded, where = _load(name, model, device)
        if images is None:
            images = _own_images(Path(data), limit, loaded, image_size, whole)
        if loaded.classes is not None:
            images = in_order(images, loaded.classes)
        protocols = [protocol.for_classes(len(images.classes)) for protocol in protocols]
        for protocol in protocols:
            protocol.check_images(images.images.shape[1:])
        _check_members(protocols, loaded)
        references = {} if compared is None else _baselines(compared, protocols, images)
        base = folder or RUNS / "eval" / folder_name(loaded.full_name, images.name, pick=pick_of(model), limit=limit)
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
    _show(results, images, base, references)
    if robustbench:
        _write_robustbench(results.values(), loaded, base, ours=_is_of_the_zoo(name))


def _check_quantize(protocols: list[Protocol]) -> None:
    for protocol in protocols:
        if not protocol.makes_images:
            raise UsageError(
                f"{protocol.name} makes no adversarial images that --quantize could round.",
                "Leave out one of the two.",
            )


def _check_robustbench(protocols: list[Protocol], data: str) -> None:
    from advss_zoo.evaluation import robustbench

    robustbench.check([protocol.constants() for protocol in protocols], data)


def _is_of_the_zoo(name: str | None) -> bool:
    """Is every part of what was evaluated a checkpoint of the zoo, and neither a run nor a stranger's?"""
    from advss_zoo.zoo import index, sources

    return name is not None and all(map(index.knows, sources.parts(name)))


def _compared(baseline: str, protocols: list[Protocol]) -> Path:
    """The folder of what the corruptions are compared with."""
    from advss_zoo.evaluation.protocols.corruptions import Corrupted
    from advss_zoo.report.html.collect import folder_of

    if not any(isinstance(protocol, Corrupted) for protocol in protocols):
        raise UsageError("--baseline is for corruptions.", "Add --attack corruptions.")
    return folder_of(baseline)


def _baselines(folder: Path, protocols: list[Protocol], images: ImageSet) -> dict[str, Result]:
    """What each protocol is compared with, by its name."""
    from advss_zoo.evaluation.protocols.corruptions import Corrupted, find_baseline

    return {
        protocol.name: find_baseline(folder, protocol, images.content_sha256)
        for protocol in protocols
        if isinstance(protocol, Corrupted)
    }


def _write_robustbench(results: Iterable[Result], loaded: Loaded, base: Path, *, ours: bool) -> None:
    from advss_zoo.evaluation import robustbench

    for result in results:
        if robustbench.takes(result.protocol):
            out.hint(f"For RobustBench: {robustbench.write(result, loaded.model, base, ours=ours)}")


def _checked_name(name: str | None) -> str:
    """The name to load; a name the zoo does not know is refused before torch is imported."""
    from advss_zoo.zoo import index, sources

    name = index.default_name() if name is None else name
    sources.parts(name)
    say_which(name)
    return name


def _check_data(data: str) -> None:
    from advss_zoo.data import catalogue
    from advss_zoo.data.load import is_own

    if data != SUBSET and not is_own(data):
        catalogue.find(data)


def _protocols(attacks: list[str], **constants: Any) -> list[Protocol]:
    """Names given one by one, or several in one value, or as a suite, each once."""
    from advss_zoo.evaluation.eps import parse_eps

    names = [name for value in attacks for name in re.split(r"[,\s]+", value) if name]
    if attacks and not names:
        raise UsageError("--attack names no protocol.", "For example: --attack clean,pgd20")
    for key in ("eps", "step_size"):
        if constants[key] is not None:
            constants[key] = parse_eps(constants[key], constants["norm"])
    import_torch()
    from advss_zoo.evaluation import protocols

    return protocols.parse_all(names, **constants)


def _images(data: str, limit: int | None) -> ImageSet:
    from advss_zoo.data.load import load

    images = _first(load(data, "test"), limit)
    if data == SUBSET:
        out.hint(
            f"On the first {len(images):,} test images of CIFAR-10 (n = {len(images):,}). "
            "For all 10,000: `advss data get cifar10`, then add `--data cifar10`."
        )
    return images


def _first(images: ImageSet, limit: int | None) -> ImageSet:
    if limit is None:
        return images
    if limit > len(images):
        raise UsageError(f"--limit is {limit:,}, but {images.name} has {len(images):,} test images.")
    return images.first(limit)


def _own_images(folder: Path, limit: int | None, loaded: Loaded, image_size: int | None, whole: bool) -> ImageSet:
    """The test images of a folder, as the model knows their classes and their size."""
    from advss_zoo.data.folder.prepared import prepare
    from advss_zoo.data.reporting import Reporter

    side = image_size or loaded.image_size
    if side is None:
        raise UsageError(f"It is not known what size of images {loaded.full_name} takes.", "Add --image-size N.")
    prepared = prepare(folder, side, whole=whole, reporter=Reporter(out.hint, out.progress))
    images = prepared.load("test")
    if not whole and prepared.summary.parts["train"]:
        out.hint(
            f"On the {len(images):,} images of {folder} that are set aside to judge by; {prepared.images_file} says "
            "which. For all images, if the model has seen none of them in training: --whole"
        )
    if prepared.summary.skipped:
        out.hint(f"Skipped: {len(prepared.summary.skipped):,} files that cannot be read.")
    if loaded.classes is None:
        out.hint(f"The model's outputs are taken to be, in this order: {', '.join(images.classes)}.")
    return _first(images, limit)


def _load(name: str | None, model: str | None, device: Device) -> tuple[Loaded, str]:
    """The model, and where it computes."""
    from advss_zoo.deploy.onnx_model import is_onnx
    from advss_zoo.zoo import load

    if model is not None and is_onnx(model):
        from advss_zoo.deploy import onnx_module

        loaded, where = onnx_module.load(Path(model), device)
        out.hint(f"onnxruntime computes on the {'GPU' if where == 'cuda' else 'CPU'}.")
        return loaded, where
    where = pick_device(device)
    if name is not None:
        return load.resolve(name, device=where), where
    assert model is not None
    if ":" in model and not Path(model).exists():
        return load.from_factory(model, device=where), where
    return load.from_path(Path(model), device=where), where


def _check_gradients(protocols: list[Protocol], model: str | None) -> None:
    """
    Raises:
        UsageError: a protocol goes by gradients, which an ONNX file has none of.
    """
    from advss_zoo.deploy.onnx_model import is_onnx

    for protocol in protocols:
        if model is not None and is_onnx(model) and protocol.gradient != "unused":
            raise UsageError(
                f"{protocol.name} follows the gradient of a model, and {model} has none.",
                "Use --attack clean, square or corruptions, or evaluate the checkpoint that the file was made of.",
            )


def _check_members(protocols: list[Protocol], loaded: Loaded) -> None:
    """Refuse what is no ensemble before other protocols have run for hours."""
    from advss_zoo.evaluation.protocols.transfer import EnsemblePgd

    for protocol in protocols:
        if isinstance(protocol, EnsemblePgd):
            protocol.ensemble(loaded.model)


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

    if is_first_process() and not (place / RESULT_FILE).exists():
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
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(json_module.dumps(entry) + "\n")
    except OSError as error:  # the folder one stands in need not be one's own
        out.hint(f"This look at test images is not noted in {path}: {error.strerror}.")


def _show(results: dict[Path, Result], images: ImageSet, base: Path, references: dict[str, Result]) -> None:
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
            **_corrupted(result, results.values()),
            "images/s": rate_text(result.images_per_second),
        }
        for result in results.values()
    ]
    first = next(iter(results.values()))
    uar = uar_scores(results.values())
    mce, undefined = _mean_corruption_errors(results.values(), references)
    document = {
        "model": first.model,
        "data": first.data,
        "results": [_document(result, place) for place, result in results.items()],
        **({"uar": uar} if uar else {}),
        **({"mce": mce} if mce else {}),
        "out": str(base),
    }
    out.table(rows, document=document)
    for attack, score in uar.items():
        out.hint(f"UAR of {attack}: {percent(score)}")
    for name, error in mce.items():
        out.hint(f"{name}: mCE {percent(error)} against {references[name].model['name']}")
    for reason in undefined:
        out.hint(reason)
    for place, result in results.items():
        for line in _remarks(result):
            out.hint(f"{result.protocol['label']}: {line}")
        out.hint(f"Result: {place / 'result.json'}")


def _mean_corruption_errors(
    results: Iterable[Result], references: dict[str, Result]
) -> tuple[dict[str, float], list[str]]:
    """mCE by protocol, as fractions of the error of what each is compared with; and why others have none."""
    from advss_zoo.evaluation.protocols.corruptions import mean_corruption_error

    names = {result.protocol["name"]: result for result in results}
    found, undefined = {}, []
    for name, reference in references.items():
        try:
            found[name] = mean_corruption_error(names[name], reference)
        except UsageError as error:
            undefined.append(f"{name}: {error.message}")
    return found, undefined


def _corrupted(result: Result, among: Iterable[Result]) -> dict[str, str]:
    """The cells for the accuracy on corrupted images, in a table where any result has it."""
    key = "corruption_accuracy"
    if not any(key in (other.details or {}) for other in among):
        return {}
    details = result.details or {}
    return {"corrupted": percent(details.get(key)), "corrupted 95%": _interval(details.get(f"{key}_ci95"))}


def _remarks(result: Result) -> list[str]:
    """What there is to say of a result beside TA and RA."""
    from advss_zoo.evaluation.details import cautions

    details = result.details or {}
    attacks = details.get("attacks", [])
    remarks = []
    if len(attacks) > 1:
        remarks.append("RA " + ", ".join(f"{percent(attack['accuracy'])} after {attack['name']}" for attack in attacks))
    if parts := details.get("parts"):
        remarks.append("RA alone: " + ", ".join(f"{part['name']} {percent(part['accuracy'])}" for part in parts))
    if shown := details.get("transfer"):
        for source, rates in zip(shown["sources"], shown["asr"], strict=True):
            wrong = ", ".join(f"{target} {percent(rate)}" for target, rate in zip(shown["targets"], rates, strict=True))
            remarks.append(f"made on {source}, wrong: {wrong}")
    if "ra_8bit" in details:
        remarks.append(f"RA {percent(details['ra_8bit'])} on the adversarial images rounded to 8 bit")
    if "corruptions" in details:
        remarks.append(_by_severity(result.protocol["corruptions"], details["corruptions"]))
    return remarks + [f"Warning: {sentence}" for sentence in cautions(details, result.n)]


def _by_severity(names: dict[str, list[str]], accuracies: dict[str, list[float]]) -> str:
    """A line for each corruption, 53 characters wide; those that the mean leaves out come last."""
    lines = ["accuracy by severity 1 to 5, and its mean"]
    for name in names["benchmark"] + names["extra"]:
        found = accuracies[name]
        mean = sum(found) / len(found)
        star = "*" * (name in names["extra"])
        lines.append(f"{star + name:>18}" + "".join(f"{100 * value:6.1f}" for value in [*found, mean]))
    return "\n".join([*lines, "* not part of the benchmark, nor of the accuracy above"])


def _document(result: Result, place: Path) -> dict[str, Any]:
    """A result without what all results of this command share, and its protocol by name."""
    facts = {key: value for key, value in result.to_json().items() if key not in ("model", "data", "protocol")}
    return {"protocol": result.protocol["name"], "constants": result.protocol, **facts, "out": str(place)}


def _interval(bounds: tuple[float, float] | None) -> str:
    return "" if bounds is None else f"{percent(bounds[0])} to {percent(bounds[1])}"
