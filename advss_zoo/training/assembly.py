"""Making an ensemble out of finished checkpoints: nothing is trained but its members."""

from __future__ import annotations

import shutil
from pathlib import Path

from advss_zoo.errors import UsageError
from advss_zoo.files import explained, write_atomically, write_json
from advss_zoo.training import parents
from advss_zoo.training.recipe import EnsembleRecipe
from advss_zoo.zoo import CONFIG, checkpoint
from advss_zoo.zoo.ensembles import MEMBERS, EnsembleConfig, Member
from advss_zoo.zoo.runs import ENSEMBLE


def assemble(recipe: EnsembleRecipe, out: Path) -> Path:
    """Copy the members into the checkpoint folder `out`/ensemble, which is returned.

    Members are runs beside `out`, or checkpoints of the zoo.

    Raises:
        UsageError: a member is nowhere, is a trunk, or knows other classes than the rest.
        CheckpointError: a member is not whole.
    """
    members = [parents.find(member, out.parent) for member in recipe.members]
    configs = [checkpoint.load(member)[1] for member in members]
    if len({config.classes for config in configs}) > 1 or any(config.kind != "classifier" for config in configs):
        described = "; ".join(f"{config.full_name}, a {config.kind}" for config in configs)
        raise UsageError(f"Only classifiers of the same classes make an ensemble; found {described}.")
    weights = {(config.full_name, config.sha256) for config in configs}
    if len(weights) > len({config.full_name for config in configs}):
        raise UsageError(
            f"Members with different weights have one name: {', '.join(config.full_name for config in configs)}.",
            "Train them under names of their own (name=...).",
        )
    folder = out / ENSEMBLE
    for source, config in zip(members, configs, strict=True):
        member = folder / MEMBERS / config.full_name
        with explained("write", member):
            shutil.copytree(source, member, dirs_exist_ok=True)
    ensemble = EnsembleConfig(
        name=recipe.name,
        tag=recipe.tag,
        scenario=recipe.scenario,
        classes=configs[0].classes,
        members=tuple(Member(name=config.full_name, sha256=str(config.sha256)) for config in configs),
    )
    write_atomically(folder / "recipe.yaml", lambda file: file.write(recipe.to_yaml().encode()))
    write_json(folder / CONFIG, ensemble.model_dump(mode="json"))
    return folder
