"""Memory that is freed stays with the process.

glibc gives large blocks back to the system as soon as they are free, so the activations of every forward pass on a CPU
are paged in anew. With p1f4.mini on two cores of an AMD EPYC (Zen 4) a forward pass takes 0.56 ms an image, 0.39 with
memory kept; forward and backward 0.97 and 0.92 (`benchmarks/choices.py p1f4.mini --only memory --threads 2`). Not a bit
of the results changes. It concerns the whole process, so the command line asks for it, and no function of the library
does.
"""

from __future__ import annotations

import ctypes
import sys

# Parameters of mallopt(3). Blocks up to the second limit, which is the greatest that glibc takes, come from the heap,
# and the heap shrinks only when so much of it is free.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = (-1, 2**31 - 1), (-3, 32 << 20)


def keep_freed_memory() -> None:
    """Keep freed memory for the rest of this process; without effect unless the C library is glibc."""
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(*_TRIM_THRESHOLD)
        mallopt(*_MMAP_THRESHOLD)
