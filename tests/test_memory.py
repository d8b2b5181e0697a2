"""Memory that stays with the process."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from advss_zoo import memory

FAULTS = """
import resource, sys
import numpy as np
from advss_zoo.memory import keep_freed_memory

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


@pytest.mark.parametrize("system", ["win32", "darwin"])
def test_other_systems_are_left_alone(system, monkeypatch):
    monkeypatch.setattr(memory.sys, "platform", system)
    monkeypatch.setattr(memory.ctypes, "CDLL", None)
    memory.keep_freed_memory()


def test_a_c_library_without_it_is_left_alone(monkeypatch):
    monkeypatch.setattr(memory.sys, "platform", "linux")
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: object())
    memory.keep_freed_memory()
