"""The options of commands that work on a grid file, and the keys of the grid and its recipes they set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from xlprompt.cli.options import given, set_option, split_names, train_language_option, with_settings
from xlprompt.studies.grid.overrides import GRID_KEYS, RECIPE_KEYS

Command = TypeVar("Command", bound=Callable[..., Any])


def split_seeds(ctx: click.Context, parameter: click.Parameter, value: str | None) -> int | list[int] | None:
    """A number of seeds, or a list of them; a callback."""
    if value is None:
        return None
    try:
        if "," not in value:
            if (number := int(value)) < 1:
                raise click.BadParameter(f"expected at least one seed, got '{value}' (seed 0 alone: 0,)")
            return number
        seeds = [int(part) for part in value.strip().removesuffix(",").split(",")]
    except ValueError:
        seeds = []
    if not seeds or len(set(seeds)) < len(seeds) or min(seeds) < 0:
        raise click.BadParameter(
            f"expected a number of seeds (3) or a list of them, each once (0,4,7; a single one: 4,), got "
            f"'{value}'"
        )
    return seeds


_OPTIONS = (
    click.option(
        "--tasks",
        callback=split_names,
        metavar="NAMES",
        help="Tasks instead of the grid's, as in xnli,sib200; or all; or own, the task that --data is.",
    ),
    click.option(
        "--methods", callback=split_names, metavar="NAMES", help="Methods, such as prompt,head,lora."
    ),
    click.option(
        "--seeds", callback=split_seeds, metavar="N|LIST", help="How many seeds, or a list such as 0,4."
    ),
    click.option(
        "--recipe",
        metavar="PATTERN",
        help="Recipe files, relative to the grid's, as in '../gemma/{task}-{method}.yaml'.",
    ),
    set_option,
    click.option("--model", help="Backbone of all recipes."),
    click.option("--data", help="Data of all recipes: 'mini', 'hub', or a folder."),
    train_language_option,
    click.option("--limit", type=int, help="Use at most this many examples of each split and language."),
)


def grid_options(command: Command) -> Command:
    """Give a command the options that choose and change what a grid file holds."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def grid_overrides(options: Mapping[str, Any]) -> dict[str, Any]:
    """Values by dotted key that win over the grid file's."""
    return given(GRID_KEYS, options)


def recipe_overrides(options: Mapping[str, Any]) -> dict[str, Any]:
    """Values by dotted key that win over every recipe's."""
    return with_settings(given(RECIPE_KEYS, options), options["settings"])
