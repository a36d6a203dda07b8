"""Freed memory is reused, and the user's own choice stands."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys, torch
from isotune.storage.memory import keep_freed_memory

print(keep_freed_memory() if sys.argv[1] == "keep" else None)
def touch():
    torch.ones(12 << 20)  # 48 MiB
for _ in range(20):
    touch()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    touch()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(mode: str, **environment: str) -> tuple[str, int]:
    """Returns what the call returned, and the page faults of ten tensors of 48 MiB."""
    done = subprocess.run(
        [sys.executable, "-c", FAULTS, mode],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "THP_MEM_ALLOC_ENABLE": "0", **environment},
    )
    returned, count = done.stdout.split()
    return returned, int(count)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="for the GNU C library")
def test_memory_of_freed_tensors_is_used_again() -> None:
    pytest.importorskip("torch")
    returned, kept = faults("keep")
    _, plain = faults("leave")
    assert returned == "True"
    assert kept < plain / 10


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="for the GNU C library")
def test_limits_from_the_environment_stand() -> None:
    pytest.importorskip("torch")
    assert faults("keep", MALLOC_MMAP_THRESHOLD_="65536")[0] == "False"


@pytest.mark.parametrize("own", [True, False])
def test_what_is_imported_first_is_collected_no_more_in_a_process_of_its_own(own: bool):
    program = (
        "import gc\n"
        "from isotune.storage.memory import collection_paused, own_process\n"
        f"if {own}: own_process()\n"
        "with collection_paused(): assert not gc.isenabled()\n"
        "first = gc.get_freeze_count()\n"
        "kept = [[] for _ in range(9)]\n"
        "with collection_paused(): pass\n"
        "print(first > 0, gc.get_freeze_count() <= first, gc.isenabled())"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert ran.stdout.split() == [str(own), "True", "True"]
