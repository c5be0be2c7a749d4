"""The C library's allocator, told to keep what it is given back."""

from __future__ import annotations

import ctypes
import platform

# Of <malloc.h>, the same in every glibc.
_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4


def keep_freed_memory() -> bool:
    """Keep freed memory for the next step of training instead of returning it to the system.

    glibc maps every large block anew and unmaps it when it is freed. A training step allocates the same
    activations again and again, and each time the kernel hands out zeroed pages one fault at a time, which
    on two cores takes a quarter of a small model's step (`python experiments/bench/allocator.py`). What is
    kept is what the busiest moment took, so the peak is about the same.

    Returns:
        Whether it took effect; on systems without glibc it does nothing.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    never_trim = mallopt(_M_TRIM_THRESHOLD, -1)
    never_map = mallopt(_M_MMAP_MAX, 0)
    return bool(never_trim and never_map)
