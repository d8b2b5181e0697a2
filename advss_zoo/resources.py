"""Where the data that ships with the package lies: in the wheel, or at the top of a source checkout."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
CHECKOUT = PACKAGE.parent


def folder(name: str) -> Path:
    """Return the folder `recipes` or `cards`: inside an installed package, or next to it in a checkout."""
    installed = PACKAGE / name
    return installed if installed.is_dir() else CHECKOUT / name
