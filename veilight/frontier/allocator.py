"""What the C library does with memory that a training gives back."""

import ctypes
import sys
from functools import cache

__all__ = ["keep_freed_memory"]

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
LARGEST_KEPT = 1 << 25
"""Bytes; glibc takes no more for blocks that it keeps, and comes to this by itself."""


@cache
def keep_freed_memory() -> bool:
    """Let this process keep the memory of a training step for the next one.

    Dask starts its workers with MALLOC_TRIM_THRESHOLD_ at 64 KiB, which hands every tensor back to
    the system and faults its pages in again in the next step: half of a small training's time.

    Returns:
        Whether the C library could be told: it is glibc.
    """
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and all(
        (mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT), mallopt(M_TRIM_THRESHOLD, 2 * LARGEST_KEPT))
    )
