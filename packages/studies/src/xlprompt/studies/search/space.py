"""A search file says what is searched: recipe keys, their ranges, how many trials, and when one is cut short.

The recipe of a task and method says everything else about a trial, and its own values are the first one. What
has been tried is in `trials`; `search` runs what is left.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator, model_validator

from xlprompt.studies.executors.settings import ExecutorSettings
from xlprompt.studies.grid.grid import check_pattern
from xlprompt.training.errors import RecipeError
from xlprompt.training.recipes.recipe import Recipe, flatten
from xlprompt.training.recipes.settings import Settings, load_settings, valid_keys

Value = bool | int | float | str | None

# What a development score would mean something else under, or what was not learned but drawn.
_NOT_SEARCHED = ("task", "method", "model", "seed", "data.", "evaluation.", "schedule.evaluate_every")


class SearchError(RuntimeError):
    """A search that cannot be run as asked; the message says what to do."""


class Range(Settings):
    """All values between two, both included; whole numbers where both are whole."""

    low: int | float = Field(description="The lowest value.")
    high: int | float = Field(description="The highest value.")
    log: bool = Field(
        default=False, description="Draw the logarithm evenly: as many values from 1 to 10 as from 10 to 100."
    )

    @model_validator(mode="after")
    def _is_a_range(self) -> Range:
        if not self.low < self.high:
            raise ValueError(f"low ({show(self.low)}) must be less than high ({show(self.high)})")
        if self.log and self.low <= 0:
            raise ValueError(f"log needs a low above zero, not {show(self.low)}")
        return self

    @property
    def is_whole(self) -> bool:
        """Whether its values are whole numbers."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def holds(self, value: Any) -> bool:
        """Whether a value lies in it."""
        whole = isinstance(value, int) or (isinstance(value, float) and not self.is_whole)
        return not isinstance(value, bool) and whole and self.low <= value <= self.high

    def __str__(self) -> str:
        """Such as `5e-05 to 0.05, log-uniform`."""
        return f"{show(self.low)} to {show(self.high)}{', log-uniform' if self.log else ''}"


Knob = Range | tuple[Value, ...]
Space = Mapping[str, Knob]


class PruningSettings(Settings):
    """When a trial is cut short: most of those that were trained to their end were better at that step."""

    startup_trials: int = Field(
        default=4, ge=1, description="Trials that end before any is cut short. More is safer and costs time."
    )
    warmup_share: float = Field(
        default=0.3,
        ge=0,
        le=1,
        description="Share of the steps that every trial gets. Low learning rates start slowly: too small a "
        "share cuts them short unfairly.",
    )
    keep_percent: float = Field(
        default=50.0,
        gt=0,
        lt=100,
        description="50 cuts a trial short whose best score so far is below the median, at the same step, of "
        "those trained to their end; 75 if three quarters were better. More saves less and errs less.",
    )


class SearchFile(Settings):
    """What is searched for each method of a task, with the same budget for each."""

    recipe: str = Field(
        default="{task}-{method}.yaml",
        description="The recipe file of a task and method, relative to the search file.",
    )
    trials: int = Field(
        default=12,
        ge=1,
        description="Trials of each search, the recipe itself and those cut short included. Time grows in "
        "proportion.",
    )
    startup_trials: int = Field(
        default=4,
        ge=1,
        description="Trials drawn evenly from the space, before later ones are drawn near the best. The "
        "recipe itself is one of them.",
    )
    space: dict[str, Knob] = Field(
        default={},
        description="By dotted recipe key: {low, high, log} or a list of values. For every method.",
    )
    methods: dict[str, dict[str, Knob]] = Field(
        description="The methods, and what is searched for one alone or in a range of its own."
    )
    pruning: PruningSettings | None = Field(
        default_factory=PruningSettings, description="null trains every trial to its end."
    )
    executor: ExecutorSettings = Field(
        default_factory=lambda: ExecutorSettings(workers=1),
        description="Processes and their threads. With several workers a draw knows less of the others.",
    )

    _the_pattern_can_be_filled = field_validator("recipe")(check_pattern)

    @field_validator("space", "methods")
    @classmethod
    def _keys_are_of_recipes(cls, value: dict[str, Any]) -> dict[str, Any]:
        for entry, knob in value.items():
            for key, each in knob.items() if isinstance(knob, dict) else [(entry, knob)]:
                _check_key(key)
                if isinstance(each, tuple) and (len(each) < 2 or len(set(each)) < len(each)):
                    raise ValueError(f"{key}: list two values or more, each once")
        return value

    @field_validator("executor")
    @classmethod
    def _workers_are_local(cls, value: ExecutorSettings) -> ExecutorSettings:
        if value.kind != "local":
            raise ValueError(
                "a search has local workers; those of other machines join it by calling `xlprompt search` "
                "there with the same --database"
            )
        return value.model_copy(update={"workers": 1}) if value.workers is None else value

    def space_of(self, method: str) -> dict[str, Knob]:
        """What is searched for a method; its own part wins over the common one."""
        return {**self.space, **self.methods[method]}


def load_search(path: str | Path, overrides: Mapping[str, Any] | None = None) -> SearchFile:
    """Read a search file; see `xlprompt.training.recipes.settings.load_settings` for overrides and errors."""
    return load_settings(path, SearchFile, overrides)


def shipped_values(recipe: Recipe, space: Space, origin: str | Path) -> dict[str, Value]:
    """The recipe's own values of what is searched, with which a search begins.

    Raises:
        RecipeError: One of them does not lie in the space.
    """
    flat = flatten(recipe)
    values = {}
    for key, knob in space.items():
        value = flat.get(key)
        if not (knob.holds(value) if isinstance(knob, Range) else value in knob):
            raise RecipeError(
                f"{origin}: {key}: the recipe's own value {value!r} does not lie in {describe(knob)}. Widen "
                "the space, since a search begins with the recipe as it is"
            )
        values[key] = value
    return values


def describe(knob: Knob) -> str:
    """For people: `8 to 50`, or `32, 64`."""
    return str(knob) if isinstance(knob, Range) else ", ".join(show(value) for value in knob)


def show(value: Any) -> str:
    """A value in as many digits as a reader needs."""
    if value is None:
        return "null"
    if isinstance(value, float):
        return f"{value:,.0f}" if 999 < abs(value) < 1e15 else f"{value:.3g}"
    return str(value)


def _check_key(key: str) -> None:
    known = valid_keys(Recipe)
    if key not in known:
        near = difflib.get_close_matches(key, known, n=1)
        hint = f"; the nearest is {near[0]}" if near else ""
        raise ValueError(f"recipes have no key {key}{hint}")
    if any(key == name or (name.endswith(".") and key.startswith(name)) for name in _NOT_SEARCHED):
        raise ValueError(f"{key} cannot be searched: scores would not be comparable")
