"""Memory of a worker: it is kept from step to step where Dask would have it given back."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

# 200 blocks of 1 MiB are 51,200 pages of 4 KiB, or fewer that are larger.
PROGRAM = """
import resource, sys
import numpy as np
from veilight.frontier.allocator import keep_freed_memory
if sys.argv[1] == "kept":
    assert keep_freed_memory()
np.ones(1 << 20, np.uint8)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(200):
    np.ones(1 << 20, np.uint8)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def _faults(how: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, how],
        env={**os.environ, "PYTHONPATH": str(ROOT), "MALLOC_TRIM_THRESHOLD_": "65536"},
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has the setting")
def test_pages_are_not_faulted_in_again_when_a_worker_keeps_its_memory() -> None:
    assert _faults("kept") < 100 < _faults("given back")
