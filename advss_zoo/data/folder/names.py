"""What names say: which files are images, and how those of classes and files are written."""

from __future__ import annotations

import re
import unicodedata

# HEIC among them, so that it is named as something that cannot be read instead of being passed over.
KINDS = "jpg|jpeg|jpe|jfif|png|gif|bmp|tif|tiff|webp|avif|ppm|pgm|pbm|pnm|jp2|tga|heic|heif"
_IMAGE = re.compile(rf".+\.({KINDS})\s*", re.IGNORECASE | re.DOTALL)
_SYSTEMS = ("__macosx", "thumbs.db", "desktop.ini")


def is_image(name: str) -> bool:
    """Does a file's name say that it is an image?"""
    return _IMAGE.fullmatch(name) is not None


def is_hidden(name: str) -> bool:
    """Is this nobody's, but what systems leave in folders and archives?"""
    return name.startswith(".") or name.lower() in _SYSTEMS


def normal(label: str) -> str:
    """One spelling for what looks the same: macOS writes accents apart from their letters."""
    return unicodedata.normalize("NFC", printable(label)).strip() or label


def printable(path: str) -> str:
    """A file's name as text; bytes that are none, which file systems allow, become question marks."""
    return path.encode(errors="replace").decode()
