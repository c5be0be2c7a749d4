"""Memory of a process that computes on a CPU: what the C library and oneDNN keep of it."""

from __future__ import annotations

import ctypes
import os
import platform
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

# Of <malloc.h>, the same in every glibc.
_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4

_BATCHES = 100  # after which freed memory is given back
_SECONDS = 1.0  # what a batch takes, for it to be given back at once
_PRODUCTS = 128  # of one shape each; a layer's forward and backward pass takes about twenty
_PRODUCTS_OF_SMALL = 512
_SMALL_MODEL = 50_000_000  # parameters


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


def keep_few_products(parameters: int | None = None) -> None:
    """Have oneDNN keep fewer of the bfloat16 products that it compiles for their shapes.

    It keeps 1,024 for the process, some 0.6 MiB each, and each length of a batch needs its own
    (`findings/torch-bfloat16-on-cpu-keeps-memory-for-every-length.sh`). Beside the products of a large model
    compiling them again is nothing. Of a small one's step it is a fifth, and its lengths come to about 500
    shapes: 600 steps of `make xnli-prompt` took 15 to 16 s with 128 products, 12 with 512 and 11 to 13 with
    1,024, for 1.3, 1.4 and 1.6 GiB (`ONEDNN_PRIMITIVE_CACHE_CAPACITY=128 make xnli-prompt ARGS="--steps 600"`
    on two cores). What the user has set stays. It has an effect before the first product only.

    Args:
        parameters: Of a model that is going to train; None for what only answers, which has fewer shapes.
    """
    small = parameters is not None and parameters < _SMALL_MODEL
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", str(_PRODUCTS_OF_SMALL if small else _PRODUCTS))


def give_back_freed_memory() -> None:
    """Return to the system what is free at this moment; what is needed again costs its page faults once.

    Pretraining xglm-nano without it held 5.8 GB after 1,400 steps, 7.0 GB after 1,970, and went on growing.
    With it every hundred steps it falls back to 3 GB or less each time, and rises to 5.8 GB in between at
    most; steps took no longer.
    """
    if _is_glibc():
        ctypes.CDLL(None).malloc_trim(0)


class FreedMemory:
    """Gives freed memory back after a hundred batches, and after each one that takes over a second.

    What is kept between two large batches of different shapes is a second batch's memory. What giving back
    costs, some page faults, is nothing beside them.
    """

    def __init__(self) -> None:
        """Begin to count."""
        self._batches, self._last = 0, time.monotonic()

    def between(self, batches: Iterable[T]) -> Iterator[T]:
        """The batches, one after the other; freed memory is given back when one has been worked on."""
        for batch in batches:
            yield batch
            self.stepped()

    def stepped(self) -> None:
        """Take note of a batch."""
        self._batches += 1
        if self._batches >= _BATCHES or time.monotonic() - self._last >= _SECONDS:
            give_back_freed_memory()
            self._batches = 0
        self._last = time.monotonic()


def _is_glibc() -> bool:
    return platform.libc_ver()[0] == "glibc"
