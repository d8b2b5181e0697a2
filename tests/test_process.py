"""What the command line sets for its process: memory and threads."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from advss_zoo import process

FAULTS = """
import resource, sys
import numpy as np
from advss_zoo.process import keep_freed_memory

if sys.argv[1] == "kept":
    keep_freed_memory()

def use():
    for _ in range(20):
        blocks = [np.ones(2**20, np.float32) for _ in range(4)]  # 4 MB each

use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
use()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="for glibc")
def test_freed_memory_is_not_paged_in_again():
    def faults(how):
        return int(subprocess.run([sys.executable, "-c", FAULTS, how], check=True, capture_output=True).stdout)

    assert faults("kept") < 100 < faults("left")


LARGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")
LARGE = """
from pathlib import Path
import numpy as np
from advss_zoo.process import keep_freed_memory

keep_freed_memory()
blocks = [np.ones(2**20, np.float32) for _ in range(16)]  # 4 MB each
for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
    if line.startswith("AnonHugePages:"):
        print(line.split()[1])
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="for glibc")
@pytest.mark.skipif(not LARGE_PAGES.exists() or "[never]" in LARGE_PAGES.read_text(), reason="the system has none")
def test_memory_comes_in_large_pages() -> None:
    found = subprocess.run([sys.executable, "-c", LARGE], check=True, capture_output=True).stdout
    assert int(found) > 32 * 1024, "kB, of 64 MB"


@pytest.mark.parametrize("system", ["win32", "darwin"])
def test_other_systems_are_left_alone(system, monkeypatch):
    monkeypatch.setattr(process.sys, "platform", system)
    monkeypatch.setattr(process.ctypes, "CDLL", None)
    process.keep_freed_memory()


def test_a_c_library_without_it_is_left_alone(monkeypatch):
    monkeypatch.setattr(process.sys, "platform", "linux")
    monkeypatch.setattr(process.ctypes, "CDLL", lambda name: object())
    process.keep_freed_memory()


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_others_are_counted() -> None:
    spin = [sys.executable, "-c", "print(flush=True)\nwhile True: pass"]
    spinning = [subprocess.Popen(spin, stdout=subprocess.PIPE) for _ in range(2)]
    try:
        for other in spinning:
            assert other.stdout is not None
            other.stdout.readline()
        assert process.running_elsewhere() >= 2
    finally:
        for other in spinning:
            other.kill()
            other.communicate()


@pytest.mark.parametrize(
    ("chosen", "others", "threads", "policy"),
    [
        (None, 0, None, None),
        (None, 1, 3, None),  # a core is left to the other
        (None, 4, 2, "PASSIVE"),  # half of the cores are ours, and none is free
        (None, 12, 1, None),
        (None, 100, 1, None),
        ("1", 9, None, None),
        ("2", 2, None, None),
        ("2", 3, None, "PASSIVE"),
        ("4,2", 1, None, "PASSIVE"),
    ],
)
def test_cores_that_others_want_are_left_to_them(
    chosen: str | None, others: int, threads: int | None, policy: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OMP_NUM_THREADS", "OMP_WAIT_POLICY"):
        monkeypatch.setenv(name, "")  # so that it is put back
        monkeypatch.delenv(name)
    if chosen:
        monkeypatch.setenv("OMP_NUM_THREADS", chosen)
    monkeypatch.setattr(process, "cores", lambda: 4)
    monkeypatch.setattr(process.os, "cpu_count", lambda: 4)
    monkeypatch.setattr(process, "running_elsewhere", lambda: others)
    assert process.share_cores() == threads
    assert os.environ.get("OMP_WAIT_POLICY") == policy


def test_a_choice_of_the_users_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(process, "running_elsewhere", lambda: 100)
    process.share_cores()
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"
