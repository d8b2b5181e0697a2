"""What concerns a process as a whole. The command line sets it, and no function of the library does."""

from __future__ import annotations

import ctypes
import mmap
import os
import sys
import time
from pathlib import Path

# Parameters of mallopt(3): what the heap keeps when it is freed, what it takes from the system beside what is needed,
# and how large blocks are that do not come from it. -1 is no limit; 32 MB is the greatest value of the last.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
_LARGEST, _USUAL_PAD, _WIDE_PAD = 32 << 20, 128 << 10, 2**31 - 1
_LOOKS, _BETWEEN_LOOKS = 4, 0.005  # seconds


def cores() -> int:
    """Return the number of cores that this process may use: of the machine, or of its share in a container."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        return min(allowed, max(1, int(quota) // int(period)))
    except (OSError, ValueError):  # another system, or no quota ("max")
        return allowed


def running_elsewhere() -> int:
    """Return how many threads of others want a core now; 0 where that is not known (outside Linux)."""
    counts = []
    for _ in range(_LOOKS):  # the least of several: what runs for a moment is in nobody's way
        try:
            running, _ = Path("/proc/loadavg").read_text(encoding="ascii").split()[3].split("/")
        except (OSError, ValueError, IndexError):
            return 0
        counts.append(int(running) - 1)
        time.sleep(_BETWEEN_LOOKS)
    return min(counts)


def share_cores() -> int | None:
    """Leave the cores that others use to them: return how many threads torch is to have, None: as many as it likes.

    Threads wait for each other hundreds of times in a forward pass. Where one of them waits for a core that another
    process has, all wait with it, and one alone would be faster: beside one busy process on two cores an epoch of
    training took twice its CPU time on two threads (docs/speed.md). So there are as many as this process has a share
    of the cores. If they are still more than the free cores, they sleep while they wait instead of spinning
    as they do by default; OpenMP reads that when torch is imported, so this has to be called before. What the user set
    stays.
    """
    chosen, most, others = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0], cores(), running_elsewhere()
    threads = int(chosen) if chosen.isdecimal() else max(1, most * most // (most + others))
    if threads > 1 and threads + others > (os.cpu_count() or 1):
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    return None if chosen or not others else threads


def keep_freed_memory() -> None:
    """Keep freed memory for the rest of this process, in large pages; without effect unless the C library is glibc.

    glibc gives large blocks back to the system as soon as they are free, so the activations of every forward pass on a
    CPU are paged in anew. Pages are of 4 kB, and a processor loses much time on looking up where they are, a virtual
    one most. With p1f4.mini on one thread of an Intel Xeon (a virtual machine, busy neighbours) forward and backward
    take 2.7 to 4.7 ms an image, 2.5 to 3.8 with memory kept, and 2.1 to 2.2 with it in large pages (four runs of
    `benchmarks/choices.py p1f4.mini --only memory --threads 1` in turns with the code before). Not a bit of the results
    changes.
    """
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(_TRIM_THRESHOLD, -1)
        libc.mallopt(_MMAP_THRESHOLD, _LARGEST)
        _grow_in_large_pages(libc)


def _grow_in_large_pages(libc: ctypes.CDLL) -> None:
    """Let the heap grow by 2 GB, of which nothing is used yet, and have these in pages of 2 MB.

    Most systems give such pages to those who ask for them alone (`madvise` in
    /sys/kernel/mm/transparent_hugepage/enabled). Where they give none, or not so much memory, all stays as it is.
    """
    libc.sbrk.restype = libc.malloc.restype = ctypes.c_void_p
    before = libc.sbrk(0)
    libc.mallopt(_TOP_PAD, _WIDE_PAD)
    libc.free(ctypes.c_void_p(libc.malloc(ctypes.c_size_t(_LARGEST // 2))))
    libc.mallopt(_TOP_PAD, _USUAL_PAD)  # so that later a little is not refused because this much is
    first, end = before + -before % mmap.PAGESIZE, libc.sbrk(0)
    if first < end:
        libc.madvise(ctypes.c_void_p(first), ctypes.c_size_t(end - first), mmap.MADV_HUGEPAGE)
