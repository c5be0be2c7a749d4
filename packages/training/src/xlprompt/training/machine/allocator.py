"""The C library's allocator, told to keep what it is given back."""

from __future__ import annotations

import ctypes
import platform

# Of <malloc.h>, the same in every glibc.
_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4

GIVE_BACK_EVERY = 100  # steps of training


def keep_freed_memory() -> bool:
    """Keep freed memory for the next step of training instead of returning it to the system.

    glibc maps every large block anew and unmaps it when it is freed. A training step allocates the same
    activations again and again, and each time the kernel hands out zeroed pages one fault at a time, which
    on two cores takes a quarter of a small model's step (`python experiments/bench/allocator.py`). Batches
    differ in size, so what is kept falls into pieces and grows; `give_back_freed_memory` ends that.

    Returns:
        Whether it took effect; on systems without glibc it does nothing.
    """
    if not _is_glibc():
        return False
    mallopt = ctypes.CDLL(None).mallopt
    never_trim = mallopt(_M_TRIM_THRESHOLD, -1)
    never_map = mallopt(_M_MMAP_MAX, 0)
    return bool(never_trim and never_map)


def give_back_freed_memory() -> None:
    """Return to the system what is free at this moment; what is needed again costs its page faults once.

    Pretraining xglm-nano without it held 5.8 GB after 1,400 steps, 7.0 GB after 1,970, and went on growing.
    With it every hundred steps it falls back to 3 GB or less each time, and rises to 5.8 GB in between at
    most; steps took no longer.
    """
    if _is_glibc():
        ctypes.CDLL(None).malloc_trim(0)


def _is_glibc() -> bool:
    return platform.libc_ver()[0] == "glibc"
