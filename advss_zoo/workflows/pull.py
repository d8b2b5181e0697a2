"""A checkpoint on this machine, verified."""

from __future__ import annotations

from pathlib import Path

from advss_zoo.zoo import ensembles, sources
from advss_zoo.zoo.reference import Reference, parse_reference
from advss_zoo.zoo.sources import Fetched


def pull(reference: Reference | str | Path) -> Fetched:
    """Fetch the folder of a checkpoint, from the Hugging Face Hub where it does not come with the package.

    Every file is verified, and kept for use without a network.

    Args:
        reference: a checkpoint, as `load_model` takes it.

    Returns:
        Its `full_name`, the `path` of the folder, the `sha256` of the weights, and the `source`.

    Raises:
        UsageError: there is no such checkpoint, or it is an ensemble put together on the spot.
        CheckpointError: it cannot be had, or is not what it should be.
    """
    reference = parse_reference(reference)
    fetched = sources.fetch(reference)
    if reference.kind != "zoo" or ensembles.is_ensemble(fetched.path):
        # Nobody has vouched for a repository that is not the zoo's: do its weights fit its configuration? Members of
        # an ensemble that lie elsewhere are fetched for it.
        from advss_zoo.zoo import load

        load.check(fetched.path)
    return fetched
