"""What concerns a process as a whole. The command line sets it, and no function of the library does."""

from __future__ import annotations

import ctypes
import os
import sys
import time
from pathlib import Path

# Parameters of mallopt(3). Blocks up to the second limit, which is the greatest that glibc takes, come from the heap,
# and the heap shrinks only when so much of it is free.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = (-1, 2**31 - 1), (-3, 32 << 20)
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
    """Keep freed memory for the rest of this process; without effect unless the C library is glibc.

    glibc gives large blocks back to the system as soon as they are free, so the activations of every forward pass on a
    CPU are paged in anew. With p1f4.mini on two cores of an AMD EPYC (Zen 4) a forward pass takes 0.56 ms an image,
    0.39 with memory kept; forward and backward 0.97 and 0.92 (`benchmarks/choices.py p1f4.mini --only memory --threads
    2`). Not a bit of the results changes.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(*_TRIM_THRESHOLD)
        mallopt(*_MMAP_THRESHOLD)
