"""What people call a checkpoint on the command line. Imports no torch."""

from __future__ import annotations

import os
from pathlib import Path

from advss_zoo.errors import UsageError
from advss_zoo.zoo import sources


def as_path(reference: str) -> Path | None:
    """The path that a reference is; None if it is a name or an address.

    Raises:
        UsageError: it is neither.
    """
    try:
        sources.parts(reference)
    except UsageError:
        if not sources.is_address(reference) and (os.sep in reference or Path(reference).exists()):
            return Path(reference)
        raise
    return None
