"""The checkpoint folders of a run."""

from __future__ import annotations

from pathlib import Path

import torch

from advss_zoo.files import write_bytes
from advss_zoo.models.network import Network
from advss_zoo.training.examples import TrainingData
from advss_zoo.training.parents import Inherited
from advss_zoo.training.recipe import Recipe
from advss_zoo.zoo import SEEN, checkpoint, membership
from advss_zoo.zoo.membership import SeenImages
from advss_zoo.zoo.runs import RECIPE


def export(
    out: Path,
    picked: str,
    model: Network,
    recipe: Recipe,
    data: TrainingData,
    *,
    epochs: float,
    inherited: Inherited | None,
    teacher_sha256: str | None,
) -> None:
    """Write the weights that checkpoints of this recipe hold, and where they come from, to the folder `picked`.

    Args:
        out: the folder of the run.
        epochs: for how many the weights were trained.
    """
    seen = [data.seen] if data.seen else []
    if inherited and (out / SEEN).exists():
        seen.append(membership.read(out))
    makes = recipe.objective.makes
    config = checkpoint.Config(
        name=recipe.name,
        tag=recipe.tag,
        kind=makes,
        task=recipe.task,
        scenario=recipe.scenario,
        architecture=recipe.architecture,
        objective=recipe.objective.deployed,
        image_size=recipe.side,
        classes=data.classes if makes == "classifier" else (),
        value_range=data.value_range,
        seen_sha256=SeenImages.of(seen).write(out / picked) if seen else None,
        provenance=checkpoint.Provenance(
            recipe=recipe.full_name,
            recipe_sha256=recipe.sha256,
            profile=recipe.profile,
            data=data.name,
            split=f"train, {len(data.training):,} of {data.available:,} images",
            picked=picked,
            deployed=recipe.deployed,
            norm=recipe.threat and recipe.threat.norm,
            eps=recipe.threat and recipe.threat.eps,
            epochs=epochs,
            parent=inherited and inherited.parent,
            parent_sha256=inherited and inherited.weights_sha256,
            teacher=recipe.teacher and recipe.teacher.model,
            teacher_sha256=teacher_sha256,
        ),
    )
    with torch.device("meta"):
        deployed = recipe.objective.deployed.build(recipe.architecture).state_dict()
    state = model.state_dict()
    checkpoint.save(out / picked, {name: state[name] for name in deployed}, config)
    write_bytes(out / picked / RECIPE, recipe.to_yaml().encode())
