"""What a command line changes of a grid file and of its recipes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Overrides:
    """Values by dotted key.

    Attributes:
        grid: That win over the grid file's.
        recipe: That win over every recipe's.
    """

    grid: Mapping[str, Any] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)
