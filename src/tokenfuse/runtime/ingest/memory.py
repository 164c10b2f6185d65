"""How this process keeps memory: what a slice frees is used by the next one, and what lives for ever is not looked at.

A slice needs some 100 MB for a moment. glibc gives that back to the kernel when the slice is out, and the next slice
faults every page in again: 2 to 3 us an event, a sixth of all that ingest does. So up to
KEPT_BYTES stay with the process.
"""

from __future__ import annotations

import ctypes
import gc
from typing import Final

KEPT_BYTES: Final = 128 * 1024 * 1024
"""Freed memory at the end of the heap that is not given back."""

FROM_HEAP_BYTES_MAX: Final = 32 * 1024 * 1024
"""Largest block from the heap: glibc's own maximum. A larger one is mapped, and given back when it is freed."""

COLLECT_EVERY: Final = 5_000
"""Objects made and not freed between two collections: cycles are few here, and no record or event is looked at."""

# Numbers of glibc's mallopt(3).
_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3


def settle() -> bool:
    """To be called once, when everything is imported and no record is read.

    Returns:
        Whether the C library is one that can be told (glibc).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_EVERY, *gc.get_threshold()[1:])
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    told = [mallopt(_MMAP_THRESHOLD, FROM_HEAP_BYTES_MAX), mallopt(_TRIM_THRESHOLD, KEPT_BYTES)]
    return all(told)
