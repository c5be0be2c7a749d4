"""The splits of a task: their names, and the check of one that was given."""

from __future__ import annotations

from typing import Literal, get_args

from xlprompt.data.errors import DataError

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)


def check_split(split: str) -> Split:
    """Return the split, or raise a DataError if there is no such split."""
    for known in SPLITS:
        if split == known:
            return known
    raise DataError(f"unknown split {split!r}", fix=f"Splits: {', '.join(SPLITS)}.")
