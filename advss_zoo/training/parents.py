"""Where fine-tuning begins: the trunk of a pretrained checkpoint, copied tensor by tensor and counted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from advss_zoo.errors import CheckpointError, UsageError
from advss_zoo.models.identity import weights_sha256
from advss_zoo.models.resnetv2 import Network
from advss_zoo.training import recipe
from advss_zoo.zoo import checkpoint, sources
from advss_zoo.zoo.checkpoint import CONFIG

LAST = "last"  # the folder in a run that is there only once the run is finished


@dataclass(frozen=True)
class Inherited:
    """What was copied: how many tensors from which weights, and the sha256 of the trunk before and after."""

    parent: str
    folder: str
    weights_sha256: str
    tensors: int
    trunk_sha256_before: str
    trunk_sha256_after: str


def find(parent: str, runs: Path) -> Path:
    """The checkpoint folder of a parent: a folder as given, a finished run NAME.TAG in `runs`, or the zoo's.

    Raises:
        UsageError: there is none of these.
        CheckpointError: the zoo has it, but not its weights.
    """
    if (Path(parent) / CONFIG).is_file():
        return Path(parent)
    run = runs / parent
    if (run / "recipe.yaml").is_file():
        shipped = run / recipe.load(run / "recipe.yaml").ship
        if (run / LAST / CONFIG).is_file():
            return shipped
    try:
        return sources.fetch(parent).path
    except UsageError as error:
        hint = f"Make it first: advss train {parent}" if parent in recipe.names() else error.hint
        raise UsageError(
            f"The parent {parent!r} is neither a checkpoint of the zoo nor a run in {runs}.", hint
        ) from None


def inherit_trunk(network: Network, folder: Path) -> Inherited:
    """Copy the trunk of a checkpoint, batch-norm statistics included, into the network; nothing else changes.

    Raises:
        CheckpointError: the trunks do not have the same shape, or not every tensor arrived.
    """
    model, config = checkpoint.load(folder)
    target, source = network.trunk.state_dict(), model.trunk.state_dict()
    checkpoint.check_tensors(target, source)
    before = weights_sha256(network.trunk)
    network.trunk.load_state_dict(source, strict=True)
    after = weights_sha256(network.trunk)
    if after != weights_sha256(model.trunk):
        raise CheckpointError(f"The trunk of {folder} did not arrive as it was.")
    assert config.sha256 is not None
    return Inherited(config.full_name, str(folder), config.sha256, len(source), before, after)
