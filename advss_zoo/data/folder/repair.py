"""Files whose pixels are sound, though what lies beside them is not: as Pillow takes them."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Iterator

from PIL import Image

PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
OF_PIXELS = (b"IHDR", b"PLTE", b"IDAT", b"IEND")  # chunks without which there is no image
USED = (b"tRNS", b"eXIf")  # others that say what is seen
LONGEST = 2**16  # bytes of these
RIFF, WEBP = b"RIFF", b"WEBP"
IMAGES_OF_WEBP = (b"VP8 ", b"VP8L", b"ANMF")
OF_WEBP = (*IMAGES_OF_WEBP, b"VP8X", b"ALPH", b"ANIM", b"EXIF")
END = b"\xff\xd9"
FILLING = b"\x5a\x33\x99\x0f" * 64  # any bits of an image that is not at its end yet
MARKER = re.compile(rb"\xff+([^\x00\xd0-\xd9\xff])")  # none that stands alone, nor an escaped byte


def repaired(content: bytes, decoded: Callable[[bytes], Image.Image], *, truncated: bool) -> bytes | None:
    """Return the same image as a file that Pillow reads, if there is more to it than to a damaged one.

    PNG and WebP: without chunks that say nothing of pixels; of WebP with the right sizes, too. JPEG: with its end
    marker, if nothing else is missing.

    Args:
        decoded: opens such a file.
        truncated: put an end to a JPEG that was cut off as well.
    """
    if content.startswith(PNG):
        sound = PNG + b"".join(_needed_chunks(content))
        return sound if sound != content else None
    if content.startswith(RIFF) and content[8:12] == WEBP:
        chunks = list(_whole_chunks(content))
        body = WEBP + b"".join(chunks)
        sound = RIFF + struct.pack("<I", len(body)) + body
        return sound if sound != content and any(chunk[:4] in IMAGES_OF_WEBP for chunk in chunks) else None
    if not content.startswith(JPEG):
        return None
    content = content.rstrip(b"\xff")
    return content + END if truncated or _lacks_only_its_end(content, decoded) else None


def _needed_chunks(content: bytes) -> Iterator[bytes]:
    begin = len(PNG)
    while begin + 12 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, begin)
        chunk = content[begin : begin + 12 + length]
        if kind in OF_PIXELS or (kind in USED and length <= LONGEST and chunk[-4:] == _checksum(chunk)):
            yield chunk
        begin += len(chunk)


def _whole_chunks(content: bytes) -> Iterator[bytes]:
    """Those of pixels in a WebP file, without one that is cut off; with the byte that makes lengths even."""
    begin = 12
    while begin + 8 <= len(content):
        kind, length = struct.unpack_from("<4sI", content, begin)
        chunk = content[begin : begin + 8 + length]
        if kind in OF_WEBP and len(chunk) == 8 + length:
            yield chunk + bytes(length % 2)
        begin += 8 + length + length % 2


def _checksum(chunk: bytes) -> bytes:
    return struct.pack(">I", zlib.crc32(chunk[4:-4]))


def _lacks_only_its_end(content: bytes, decoded: Callable[[bytes], Image.Image]) -> bool:
    """Are all scans there, and does it not matter to the pixels what bits come next?"""
    if not _has_all_scans(content):
        return False
    first, second = (decoded(content + more + END).tobytes() for more in (b"", FILLING))
    return first == second


def _has_all_scans(content: bytes) -> bool:
    """Has each coefficient of each component been sent to its last bit?"""
    missing: dict[int, set[int]] = {}
    begin = 2
    while found := MARKER.search(content, begin):
        marker, begin = found[1][0], found.end()
        segment = content[begin + 2 : begin + int.from_bytes(content[begin : begin + 2])]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # a frame
            missing = {component: set(range(64)) for component in segment[6::3]}
        elif marker == 0xDA and segment:  # a scan
            count = segment[0]
            first, last, bits = segment[1 + 2 * count : 4 + 2 * count]
            for component in segment[1 : 1 + 2 * count : 2]:
                if bits & 15 == 0:
                    missing[component] -= set(range(first, last + 1))
        begin += 2 + len(segment)
    return bool(missing) and not any(missing.values())
