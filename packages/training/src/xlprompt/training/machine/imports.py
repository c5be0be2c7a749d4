"""Importing large libraries without collecting garbage, which looks through all of them again and again."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quick_imports() -> Iterator[None]:
    """Within it nothing is collected, and what is there at its end never is: modules live as long as we do.

    Of importing torch and transformers a fifth is collecting, which finds nothing.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_on:
            gc.enable()
