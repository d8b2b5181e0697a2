"""Making an ensemble out of finished checkpoints: nothing is trained but its members."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from advss_zoo.errors import AdvssError, UsageError
from advss_zoo.files import explained, write_bytes, write_json
from advss_zoo.training import parents
from advss_zoo.training.recipe import EnsembleRecipe, load_any
from advss_zoo.zoo import CONFIG, checkpoint, ensembles, load
from advss_zoo.zoo.ensembles import MEMBERS, EnsembleConfig, Member
from advss_zoo.zoo.runs import ENSEMBLE, RECIPE


def assemble(recipe: EnsembleRecipe, out: Path, members: Sequence[Path] = ()) -> Path:
    """Copy the members into the checkpoint folder `out`/ensemble, which is returned.

    An ensemble that was there before is replaced as a whole, or not at all; the very same one is left as it is, with
    what has been measured of it.

    Args:
        members: their folders; left out, they are runs beside `out`, or checkpoints of the zoo.

    Raises:
        UsageError: a member is nowhere, is a trunk, or knows other classes than the rest.
        CheckpointError: a member is not whole.
        AdvssError: the folder cannot be written to.
    """
    members = members or [parents.find(member, out.parent) for member in recipe.members]
    configs = [checkpoint.load(member)[1] for member in members]
    if len({config.classes for config in configs}) > 1 or any(config.kind != "classifier" for config in configs):
        described = "; ".join(f"{config.full_name}, a {config.kind}" for config in configs)
        raise UsageError(f"Members of an ensemble must be classifiers with the same classes, got {described}.")
    weights = {(config.full_name, config.sha256) for config in configs}
    if len(weights) > len({config.full_name for config in configs}):
        raise UsageError(
            f"Members with different weights have the same name: {', '.join(config.full_name for config in configs)}.",
            "Train them under different names (name=...).",
        )
    ensemble = EnsembleConfig(
        name=recipe.name,
        tag=recipe.tag,
        scenario=recipe.scenario,
        classes=configs[0].classes,
        members=tuple(Member(name=config.full_name, sha256=str(config.sha256)) for config in configs),
    )
    folder = out / ENSEMBLE
    if _holds(folder, ensemble, recipe):
        return folder
    with explained("write", folder), _replaced(folder) as new:
        for source, config in zip(members, configs, strict=True):
            shutil.copytree(source, new / MEMBERS / config.full_name, dirs_exist_ok=True)
        write_bytes(new / RECIPE, recipe.to_yaml().encode())
        write_json(new / CONFIG, ensemble.model_dump(mode="json"))
    return folder


def _holds(folder: Path, ensemble: EnsembleConfig, recipe: EnsembleRecipe) -> bool:
    """Is it this ensemble already, whole and nothing else, whatever temperature has been fitted since?"""
    try:
        kept = ensembles.read(folder)
        same = kept.model_copy(update={"temperature": ensemble.temperature}) == ensemble
        load.check(folder)
        inside = {path.name for path in (folder / MEMBERS).glob("*")}
        return same and load_any(folder / RECIPE) == recipe and inside == {member.name for member in kept.members}
    except AdvssError:
        return False


@contextmanager
def _replaced(folder: Path) -> Iterator[Path]:
    """A new folder that takes the place of `folder` at the end, or goes if anything fails before."""
    new, old = (folder.with_name(f".{folder.name}.{what}") for what in ("part", "old"))
    try:
        shutil.rmtree(new, ignore_errors=True)  # of a process that was killed
        new.mkdir(parents=True)
        yield new
        if folder.exists():
            shutil.rmtree(old, ignore_errors=True)
            folder.rename(old)
        new.rename(folder)
    finally:
        if old.exists() and not folder.exists():
            old.rename(folder)
        for leftover in (new, old):
            shutil.rmtree(leftover, ignore_errors=True)
