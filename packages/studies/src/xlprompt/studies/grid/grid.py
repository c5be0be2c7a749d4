"""A grid file says what a study consists of: tasks, methods and seeds, and how its cells are run.

The recipes that it names say everything about a single run; nothing here repeats them. What the cells are,
and which of them have been run, is decided in `cells` and `study`.
"""

from __future__ import annotations

import re
import reprlib
import string
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from xlprompt.data.tasks import BUNDLED
from xlprompt.data.tasks.own import OWN
from xlprompt.models import METHODS
from xlprompt.studies.executors.settings import ExecutorSettings
from xlprompt.training.errors import RecipeError
from xlprompt.training.recipes.files import is_file, parts_of
from xlprompt.training.recipes.recipe import Recipe, load_recipe
from xlprompt.training.recipes.settings import Settings, each_once, load_settings

_MOST_SEEDS = 1000


def check_pattern(value: str) -> str:
    """Make sure that a recipe file's pattern can be filled with a task and a method.

    Raises:
        ValueError: It is none, or something else stands in braces.
    """
    try:
        fields = {field[1:] for field in string.Formatter().parse(value) if field[1] is not None}
    except ValueError as error:
        raise ValueError(f"no pattern of a file name ({error})") from error
    if fields - {("task", "", None), ("method", "", None)}:  # names alone, no widths or conversions
        raise ValueError("only {task} and {method} can stand in it")
    return value


class Grid(Settings):
    """The cells of a study: every task with every method and seed."""

    tasks: tuple[str, ...] = Field(
        description=f"Any of {', '.join(BUNDLED)}; or all; or '{OWN}', the task that the data folder is."
    )
    methods: tuple[str, ...] = Field(description="What stands for {method} in the name of a recipe file.")
    seeds: tuple[int, ...] = Field(
        default=(0, 1, 2), description="A number of seeds (3 is 0, 1 and 2) or a list of them."
    )
    recipe: str = Field(
        default="{task}-{method}.yaml",
        description="The recipe of a task and method, relative to the grid file. Without a file of this name "
        "it is {task}.yaml with {method}.yaml on top.",
    )
    variants: dict[str, dict[str, Any]] = Field(
        default={},
        description="Ablations: named sets of values by dotted recipe key (`long: {prompt.length: 50}`). "
        "Every task, method and seed is run with each of them, so the time of the study grows with their "
        "number; a variant that is what a finished run already was is not run again. None: the recipes as "
        "they are.",
    )
    values: dict[str, Any] = Field(
        default={},
        description="Values by dotted recipe key that every recipe of the study has, whatever its file says "
        "(`evaluation.curve_every: 100`). Variants and the command line win over them.",
    )
    executor: ExecutorSettings = Field(default_factory=ExecutorSettings)

    @field_validator("variants", mode="before")
    @classmethod
    def _names_are_text(cls, value: Any) -> Any:
        """A name such as 8 may be given as a number."""
        return {str(name): keys for name, keys in value.items()} if isinstance(value, dict) else value

    @field_validator("variants")
    @classmethod
    def _names_can_stand_in_a_file_name(cls, value: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        if wrong := [name for name in value if not re.fullmatch(r"[\w.+-]+", name)]:
            raise ValueError(f"'{wrong[0]}' is no name: letters, digits and any of _ . + - can stand in one")
        return value

    @field_validator("seeds", mode="before")
    @classmethod
    def _a_number_counts_from_zero(cls, value: Any) -> Any:
        if isinstance(value, int) and not isinstance(value, bool):
            if value < 1:
                raise ValueError("a study needs at least one seed")
            if value > _MOST_SEEDS:
                raise ValueError(
                    f"a study has at most {_MOST_SEEDS} seeds; a single one is a list, as in [7]"
                )
            return tuple(range(value))
        return value

    @field_validator("tasks", "methods", "seeds")
    @classmethod
    def _each_once(cls, value: tuple[Any, ...]) -> tuple[Any, ...]:
        if not value:
            raise ValueError("at least one is needed")
        each_once(value)
        return value

    @field_validator("tasks")
    @classmethod
    def _tasks_are_known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if value == ("all",):
            return tuple(BUNDLED)
        if unknown := [task for task in value if task not in (*BUNDLED, OWN)]:
            raise ValueError(f"unknown task {reprlib.repr(unknown[0])}; the tasks are {', '.join(BUNDLED)}")
        return value

    @field_validator("seeds")
    @classmethod
    def _seeds_are_not_negative(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if min(value) < 0:
            raise ValueError("a seed is zero or more")
        return value

    _the_pattern_can_be_filled = field_validator("recipe")(check_pattern)


def load_grid(path: str | Path, overrides: Mapping[str, Any] | None = None) -> Grid:
    """Read a grid file; see `xlprompt.training.recipes.settings.load_settings` for overrides and errors."""
    return load_settings(path, Grid, overrides)


def load_grid_recipe(
    grid: Grid,
    path: str | Path,
    task: str,
    method: str,
    overrides: Mapping[str, Any] | None = None,
    *,
    variant: str = "",
) -> tuple[Path, Recipe]:
    """The recipe of a task and method: its file, and its values under those of the variant and overrides.

    Raises:
        RecipeError: The file is missing or wrong, it is another task's, or the overrides set a seed or what
            the variant sets.
    """
    if "seed" in (overrides or {}):
        raise RecipeError("the command line: seed: a study has several; name them with --seeds")
    if "seed" in grid.values:
        raise RecipeError(f"{path}: values: seed: name seeds with `seeds`")
    changes = {**grid.values, **grid.variants.get(variant, {})}
    if twice := sorted(grid.variants.get(variant, {}).keys() & (overrides or {}).keys()):
        raise RecipeError(f"the command line: {twice[0]}: the variants of {path} set it. Leave it out")
    if "seed" in changes:
        raise RecipeError(f"{path}: variants: {variant}: sets the seed. Name seeds with `seeds`")
    file = find_recipe(grid.recipe, path, task, method)
    try:
        return file, load_found_recipe(file, path, task, {**changes, **(overrides or {})})
    except RecipeError as error:
        raise RecipeError(f"{path}: variants: {variant}: {error}" if variant else str(error)) from error


def find_recipe(pattern: str, path: str | Path, task: str, method: str) -> Path:
    """The recipe file of a task and method by the pattern in the file `path`, which it is relative to.

    Raises:
        RecipeError: It is missing.
    """
    file = Path(path).parent / pattern.format(task=task, method=method)
    if not all(map(is_file, parts_of(file))):
        names = {each: file.with_name(Path(pattern.format(task=task, method=each)).name) for each in METHODS}
        there = [each for each, name in names.items() if all(map(is_file, parts_of(name)))]
        hint = f"; with {task} there are the methods {', '.join(there)}" if there else ""
        raise RecipeError(
            f"{path}: task {task} and method {method} have no recipe {file}{hint}. Write one, or leave "
            "them out"
        )
    return file


def load_found_recipe(
    file: Path, path: str | Path, task: str, overrides: Mapping[str, Any] | None = None
) -> Recipe:
    """Read a recipe file that `find_recipe` found, which must be one of the task.

    Raises:
        RecipeError: It is wrong, or another task's.
    """
    recipe = load_recipe(file, overrides)
    if recipe.task != task and not (task == OWN and recipe.task_definition):
        raise RecipeError(f"{file}: is a recipe of {recipe.task}, and {path} names it as one of {task}")
    return recipe
