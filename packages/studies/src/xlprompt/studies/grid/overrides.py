"""What a command line changes of a grid file and of its recipes, and the command that changes it so."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xlprompt.training.store.store_option import store_option

GRID_KEYS = {"tasks": "tasks", "methods": "methods", "seeds": "seeds", "recipe": "recipe"}
"""Options of a command on a grid, and the keys of the grid file that they set."""

RECIPE_KEYS = {
    "model": "model",
    "data": "data.source",
    "limit": "data.limit",
    "train_language": "data.train_language",
}
"""Further ones, and the keys of every recipe; all other keys of recipes have `--set`."""


@dataclass(frozen=True)
class Overrides:
    """Values by dotted key.

    Attributes:
        grid: That win over the grid file's.
        recipe: That win over every recipe's.
    """

    grid: Mapping[str, Any] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)


def command_on_grid(command: str, grid_path: Path, overrides: Overrides, store: Path) -> str:
    """A command on a grid file as it is typed, with the options that an earlier one was called with.

    Args:
        command: Such as `xlprompt study`.
        grid_path: The grid file.
        overrides: What the earlier one has changed. How a grid is executed is left out.
        store: Folder of the MLflow store.
    """
    words = [*command.split(), str(grid_path)]
    for name, key in GRID_KEYS.items():
        if key in overrides.grid:
            words += [f"--{name}", _listed(overrides.grid[key])]
    names = {key: name for name, key in RECIPE_KEYS.items()}
    for key, value in overrides.recipe.items():
        if key in names and value is not None:
            words += [f"--{names[key].replace('_', '-')}", str(value)]
        else:
            words += setting(key, value)
    return shlex.join([*words, *store_option(store)])


def setting(key: str, value: Any) -> list[str]:
    """The words by which a command sets a key of a recipe."""
    return ["--set", f"{key}={value if isinstance(value, str) else json.dumps(value)}"]


def _listed(value: Any) -> str:
    """Names or seeds between commas; a single seed of a list has one behind it, a number of seeds none."""
    if isinstance(value, str | int):
        return str(value)
    single_seed = len(value) == 1 and isinstance(value[0], int)
    return ",".join(map(str, value)) + ("," if single_seed else "")
