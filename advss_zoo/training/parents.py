"""Where fine-tuning begins: the trunk of a pretrained checkpoint, copied tensor by tensor and counted."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from advss_zoo.errors import AdvssError, CheckpointError, UsageError
from advss_zoo.files import read_json, write_json
from advss_zoo.models.identity import weights_sha256
from advss_zoo.models.network import Network
from advss_zoo.training import recipe
from advss_zoo.zoo import checkpoint, ensembles, load, runs, sources
from advss_zoo.zoo.reference import parse_reference

PARENT = "parent.json"  # in the folder of a run: of which weights the trunk was inherited


@dataclass(frozen=True)
class Inherited:
    """What was copied: how many tensors from which weights, and the sha256 of the trunk before and after."""

    parent: str
    folder: str
    weights_sha256: str
    tensors: int
    trunk_sha256_before: str
    trunk_sha256_after: str

    def check_unchanged(self, network: Network) -> None:
        """Check that the frozen trunk is unchanged.

        Raises:
            AdvssError: the trunk of the network, which was to be frozen, has moved.
        """
        if weights_sha256(network.trunk) != self.trunk_sha256_after:
            raise AdvssError("The frozen trunk changed during training; this is a bug.")


def inherit(made: recipe.Recipe, network: Network, out: Path, *, resumed: bool, keep: bool) -> Inherited | None:
    """Start from the trunk of the recipe's parent, if it has one; PARENT in `out` says what was copied, SEEN which
    images that has seen.

    Args:
        resumed: the run goes on with weights of its own, and needs its parent no more.
        keep: write these files.
    """
    if made.parent is None:
        return None
    if resumed:
        return Inherited(**read_json(out / PARENT))
    folder = find(made.parent, out.parent, made.profile)
    inherited = inherit_trunk(network, folder)
    if keep:
        write_json(out / PARENT, asdict(inherited))
        if seen := load.seen_by([folder]):
            seen.write(out)
    return inherited


def find(name: str, beside: Path, profile: str | None = None) -> Path:
    """Return the checkpoint folder of a recipe's parent or member.

    A run of that name in `beside` comes before the zoo: who makes a chain of recipes means what was just made.

    Args:
        profile: where it is found by name, its own recipe must have had this profile.

    Raises:
        UsageError: there is none of these, or the run is not finished, or it was made with another profile.
        CheckpointError: the zoo has it, but not its weights.
    """
    option = " profile=paper" if profile == "paper" else ""
    try:
        reference = parse_reference(name, beside=beside)
    except UsageError as error:
        if runs.find(name, beside) or runs.find(name):  # there is one, which is not finished
            raise
        hint = f"Train it first: advss train {name}{option}" if name in recipe.names() else error.hint
        raise UsageError(f"Unknown checkpoint {name!r}: it is not in the zoo or in {beside}.", hint) from None
    found = sources.fetch(reference).path
    if reference.kind != "folder" and not ensembles.is_ensemble(found):
        made = checkpoint.read_config(found).provenance
        if profile and made and made.profile != profile:
            raise UsageError(
                f"{found} was trained with the profile {made.profile}, but the recipe has {profile}.",
                f"To start from it anyway, give the folder: parent={found}",
            )
    return found


def inherit_trunk(network: Network, folder: Path) -> Inherited:
    """Copy the trunk of a checkpoint, batch-norm statistics included, into the network; nothing else changes.

    Raises:
        UsageError: it is an ensemble.
        CheckpointError: the trunks differ in build or in how images come to them, or not every tensor arrived.
    """
    if ensembles.is_ensemble(folder):
        raise UsageError(f"{folder} is an ensemble, not a single network with a trunk.", "Choose one of its members.")
    model, config = checkpoint.load(folder)
    mine, theirs = network.architecture, config.architecture
    for key, value in theirs:
        if key not in theirs.apart_from_trunk and getattr(mine, key, None) != value:
            raise CheckpointError(
                f"The trunk of {config.full_name} was trained with {key} {value}, but the recipe has "
                f"{getattr(mine, key, None)}.",
                f"Add architecture.{key}={_written(value)}.",
            )
    target, source = network.trunk.state_dict(), model.trunk.state_dict()
    checkpoint.check_tensors(target, source)
    before = weights_sha256(network.trunk)
    network.trunk.load_state_dict(source, strict=True)
    after = weights_sha256(network.trunk)
    if after != weights_sha256(model.trunk):
        raise CheckpointError(f"The trunk of {folder} was not copied exactly; this is a bug.")
    assert config.sha256 is not None
    return Inherited(config.full_name, str(folder), config.sha256, len(source), before, after)


def _written(value: object) -> str:
    """As an override takes it."""
    return f"[{','.join(map(str, value))}]" if isinstance(value, tuple) else str(value)
