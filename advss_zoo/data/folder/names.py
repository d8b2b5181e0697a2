"""What names say: which files are images, and how those of classes and files are written."""

from __future__ import annotations

import re
import unicodedata

# HEIC among them, so that it is named as something that cannot be read instead of being passed over.
KINDS = "jpg|jpeg|jpe|jfif|png|gif|bmp|tif|tiff|webp|avif|ppm|pgm|pbm|pnm|jp2|tga|heic|heif"
_IMAGE = re.compile(rf".+\.({KINDS})\s*", re.IGNORECASE | re.DOTALL)
_SYSTEMS = ("__macosx", "thumbs.db", "desktop.ini")


def is_image(name: str) -> bool:
    """Tell whether a file's name is that of an image."""
    return _IMAGE.fullmatch(name) is not None


def is_hidden(name: str) -> bool:
    """Tell whether a file is one that systems leave in folders and archives."""
    return name.startswith(".") or name.lower() in _SYSTEMS


def normal(label: str) -> str:
    """Normalise the spelling of a label: macOS writes accents apart from their letters."""
    return unicodedata.normalize("NFC", printable(label)).strip() or label


def printable(path: str) -> str:
    """Return a file's name as valid text; other bytes become question marks."""
    return path.encode(errors="replace").decode()
