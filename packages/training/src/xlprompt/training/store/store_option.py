"""The option by which a command that is printed finds the store that the one before it was given."""

from __future__ import annotations

import shlex
from pathlib import Path

_DEFAULT = Path("mlruns")


def store_option(store: Path) -> list[str]:
    """The words by which a command takes a store; none for the one that it takes without them."""
    return [] if store == _DEFAULT else ["--mlruns", str(store)]


def in_store(store: Path) -> str:
    """What a command line ends with where the store is another than without it."""
    return "".join(f" {shlex.quote(word)}" for word in store_option(store))
