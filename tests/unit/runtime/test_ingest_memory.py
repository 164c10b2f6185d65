"""What a slice frees is used by the next one: measured in a process of its own, in page faults."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

SCRIPT = """
import gc, resource, sys
import numpy as np
from tokenfuse.runtime.ingest import memory

if sys.argv[1] == "settled":
    assert memory.settle()
    assert gc.get_freeze_count() > 1000

def slice_():
    return [np.ones(bytes_ // 8) for bytes_ in (200_000, 1_000_000, 5_000_000, 20_000_000) for _ in range(2)]

for _ in range(3):
    slice_()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    slice_()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> int:
    return int(
        subprocess.run([sys.executable, "-c", SCRIPT, how], capture_output=True, text=True, check=True).stdout
    )


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
def test_memory_that_a_slice_frees_is_not_faulted_in_again() -> None:
    assert faults("settled") < 1000 < faults("as it is") / 5
