"""What names say: which files are images, and how those of classes and files are written and ordered."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from advss_zoo.errors import UsageError
from advss_zoo.files import read_bytes

Order = Literal["number", "name"]

# HEIC among them, so that it is named as something that cannot be read instead of being passed over.
KINDS = "jpg|jpeg|jpe|jfif|png|gif|bmp|tif|tiff|webp|avif|ppm|pgm|pbm|pnm|jp2|j2k|tga|mpo|apng|heic|heif|hif"
_IMAGE = re.compile(rf".+\.({KINDS})\s*", re.IGNORECASE | re.DOTALL)

# What systems, NAS and archives leave in folders, in lower case. Names with a dot in front are hidden anyway.
SYSTEM = frozenset(
    (
        *("__macosx", "icon\r", "network trash folder", "temporary items"),  # macOS
        *("thumbs.db", "ehthumbs.db", "desktop.ini"),  # Windows
        *("$recycle.bin", "recycler", "system volume information"),  # the same, on every disk
        *("@eadir", "#recycle", "#snapshot", "@tmp", "@sharebin"),  # Synology
        *("@recycle", "@recently-snapshot", "@__thumb", "@transcode"),  # QNAP
        *("lost.dir", "found.000"),  # Android, and what a check of the disk finds
        *("lost+found", "~snapshot", "__pycache__"),  # Linux, NetApp, Python
    )
)

MOST_BYTES = 2**24  # of a file of class names
_NUMBER = re.compile(r"(\D*)(\d+(?:\.\d+)?).*", re.DOTALL)


def is_image(name: str) -> bool:
    """Tell whether a file's name is that of an image."""
    return _IMAGE.fullmatch(name) is not None


def hidden_as(name: str) -> str | None:
    """Name the kind of what systems leave in folders and archives: "@eaDir", "._*"; None for a person's own."""
    if name.lower() in SYSTEM:
        return printable(name)
    if name.startswith("._"):
        return "._*"  # what macOS writes next to every file on other systems' disks
    if name.startswith("."):
        return ".*" if is_image(name) else printable(name)
    return None


def in_order(labels: Iterable[str]) -> tuple[tuple[str, ...], Order]:
    """Order classes by the numbers in their names (9 before 10), where nothing before these differs; else as text.

    Text is what torchvision's ImageFolder orders by, numbers or not.
    """
    names = sorted(set(labels))
    found = [match for name in names if (match := _NUMBER.fullmatch(name))]
    signs = {match[1] for match in found} <= {"", "-", "+"}
    if len(found) < len(names) or not (signs or len({match[1] for match in found}) == 1):
        return tuple(names), "name"
    values = {match[0]: float(match[2]) * (-1 if signs and match[1] == "-" else 1) for match in found}
    return tuple(sorted(names, key=lambda name: (values[name], name))), "number"


def class_names(given: Sequence[str] | str | Path) -> tuple[str, ...]:
    """Return class names: those given, in the text "A,B,C", or in the lines of a file.

    Raises:
        UsageError: there are none, or one is there twice.
        AdvssError: the file cannot be read.
    """
    if isinstance(given, str) and "," in given:
        lines: Sequence[str] = given.split(",")
    elif isinstance(given, str | Path):
        lines = read_bytes(Path(given), MOST_BYTES).decode("utf-8-sig", errors="replace").splitlines()
    else:
        lines = given
    names = tuple(normal(line) for line in lines if line.strip())
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice or not names:
        found = f"name {twice[0]!r} twice" if twice else "contain no names"
        raise UsageError(f"The classes {found}.", "Give every class once, in the order of the model's outputs.")
    return names


def normal(label: str) -> str:
    """Normalise the spelling of a label: macOS writes accents apart from their letters."""
    return unicodedata.normalize("NFC", printable(label)).strip() or label


def printable(path: str) -> str:
    """Return a file's name as valid text; other bytes become question marks."""
    return path.encode(errors="replace").decode()
