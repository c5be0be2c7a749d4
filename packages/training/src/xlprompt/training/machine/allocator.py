"""The C library's allocator, told to keep what it is given back."""

from __future__ import annotations

import ctypes
import platform
import time

# Of <malloc.h>, the same in every glibc.
_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4

_STEPS, _SECONDS = 100, 10.0  # after which freed memory is given back


def keep_freed_memory() -> bool:
    """Keep freed memory for the next step of training instead of returning it to the system.

    glibc maps every large block anew and unmaps it when it is freed. A training step allocates the same
    activations again and again, and each time the kernel hands out zeroed pages one fault at a time, which
    on two cores takes a quarter of a small model's step (`python experiments/bench/allocator.py`). Batches
    differ in size, so what is kept falls into pieces and grows; `FreedMemory` ends that.

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


class FreedMemory:
    """Gives freed memory back after a hundred steps, or ten seconds of them where steps are long.

    Few steps of a large model fill the memory as many of a small one do, and what giving back costs, some
    page faults, is nothing beside them.
    """

    def __init__(self) -> None:
        """Begin to count."""
        self._steps, self._since = 0, time.monotonic()

    def stepped(self) -> None:
        """Take note of a step."""
        self._steps += 1
        if self._steps >= _STEPS or time.monotonic() - self._since >= _SECONDS:
            give_back_freed_memory()
            self._steps, self._since = 0, time.monotonic()


def _is_glibc() -> bool:
    return platform.libc_ver()[0] == "glibc"
