"""HEIC photographs, by the package pillow-heif if it is installed."""

from __future__ import annotations

import importlib.util
import io

from PIL import Image

MISSING = "install pillow-heif (pip install 'advss-zoo[heif]')"
BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


def is_installed() -> bool:
    """Tell whether pillow-heif is."""
    return importlib.util.find_spec("pillow_heif") is not None


def is_heif(content: bytes) -> bool:
    """Tell whether a file is HEIC or HEIF; AVIF, which Pillow reads, is not."""
    return content[4:8] == b"ftyp" and content[8:12] in BRANDS and b"avif" not in content[8:64]


def opened(content: bytes) -> Image.Image | None:
    """Open a HEIC file; None without pillow-heif."""
    try:
        from pillow_heif import HeifImageFile
    except ImportError:
        return None
    image: Image.Image = HeifImageFile(io.BytesIO(content))  # not registered with Pillow: others in the process use it
    return image
