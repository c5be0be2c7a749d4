"""Numbers of things in sentences."""

from __future__ import annotations

from collections.abc import Sequence


def how_many(number: int, thing: str, things: str | None = None) -> str:
    """A number and what it counts: `1 thread`, `12,000 rows`.

    Args:
        number: How many.
        thing: One of them.
        things: Several of them, where an s at the end does not do.
    """
    return f"{number:,} {thing if number == 1 else things or f'{thing}s'}"


def first_of(names: Sequence[str], most: int) -> str:
    """Names with commas between them, of many the first `most` and how many more: `a, b and 3 more`."""
    named = ", ".join(names[:most])
    return f"{named} and {len(names) - most} more" if len(names) > most else named
