"""What a sweep over token granularity consists of: as its file says, and what is asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from xlprompt.data import LANGUAGES, TASKS
from xlprompt.studies.analyses.analysis import in_part, option
from xlprompt.studies.errors import StudyError
from xlprompt.studies.grid.grid import load_grid
from xlprompt.studies.grid.ledger import Ledger
from xlprompt.training.recipes.settings import Settings as AnySettings
from xlprompt.training.recipes.settings import load_settings
from xlprompt.training.store.database import store_exists

HIGH = "high"


class Sweep(AnySettings):
    """A sweep over shares of words that are cut more finely, as its file describes it."""

    shares: tuple[float, ...] = Field(
        default=(0.0, 0.25, 0.5, 0.75, 1.0),
        min_length=2,
        description="Shares of the words. Time grows with their number.",
    )
    languages: Literal["high"] | tuple[str, ...] = Field(
        default="high",
        description="Languages whose text is cut and that are scored: 'high' for those of high resources, or "
        "a list. A task takes those of them that it has.",
    )
    kind: Literal["forced", "sampling"] = Field(
        default="forced", description="How words are cut; see encoding.granularity.kind."
    )
    tasks: tuple[str, ...] | None = Field(default=None, description="Tasks; null for all that the study has.")
    limit: int | None = Field(
        default=None, ge=1, description="At most this many test examples of each language."
    )
    model: str | None = Field(
        default=None, description="Backbone of the study; needed only where the store has studies of several."
    )
    train: Literal["train", "both"] | None = Field(
        default=None,
        description="null scores the finished study's models on finer text, which takes minutes. 'train' and "
        "'both' train anew for each share, on finer text of the training language, scored on text as it is "
        "or on finer text: the whole study for each share.",
    )
    study: str | None = Field(
        default=None, description="The grid file of what is trained, relative to this file."
    )

    @field_validator("shares")
    @classmethod
    def _shares_are_shares(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if min(value) < 0 or max(value) > 1 or len(set(value)) < len(value):
            raise ValueError("shares lie between 0 and 1, each there once")
        return tuple(sorted(value))

    @field_validator("tasks")
    @classmethod
    def _tasks_are_known(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if unknown := [name for name in value or () if name not in TASKS]:
            raise ValueError(f"unknown task '{unknown[0]}'; the tasks are {', '.join(TASKS)}")
        return value

    def codes(self) -> tuple[str, ...]:
        """The languages' codes."""
        if self.languages == HIGH:
            return tuple(code for code, row in LANGUAGES.items() if row.resource_level == HIGH)
        return tuple(self.languages)


def part_of(sweep: Sweep, path: Path, grid_overrides: Mapping[str, Any]) -> str:
    """What alone was asked for, where that is less than the sweep's file says; empty where it is not.

    Args:
        sweep: What was asked for.
        path: The sweep's file.
        grid_overrides: Of a sweep that trains: values that win over the grid file's.
    """
    whole = load_settings(path, Sweep)
    is_limited = sweep.limit is not None and (whole.limit is None or sweep.limit < whole.limit)
    fewer: dict[str, Any] = {
        "tasks": _fewer(sweep.tasks or TASKS, whole.tasks or TASKS),
        "languages": _fewer(sweep.codes(), whole.codes()),
        "shares": _fewer(sweep.shares, whole.shares),
        "limit": sweep.limit if is_limited else None,
    }
    if sweep.train and sweep.study and "seeds" in grid_overrides:
        grid = path.parent / sweep.study
        fewer["seeds"] = _fewer(load_grid(grid, grid_overrides).seeds, load_grid(grid).seeds)
    return in_part(fewer)


def _fewer(asked: Iterable[Any], whole: Iterable[Any]) -> list[Any]:
    """What was asked for, where it lacks some of the whole."""
    values = list(asked)
    return [] if set(whole) <= set(values) else values


class Settings(AnySettings):
    """Score a finished study's models on text of which a growing share of words is cut more finely.

    Model and text stay the same; only the tokens change. SWEEP is a YAML file that says which languages and
    shares. Scorings that are in the store are not made again, so the same command goes on. What comes out,
    the slope of prompt tuning minus full fine-tuning, is kept as a run of the store, and the report's verdict
    on the fourth claim takes it up. --set names keys of the recipes, for --train.

    Examples:
      xlprompt analyze granularity experiments/granularity/mini.yaml
      xlprompt analyze granularity experiments/granularity/mini.yaml --train both --seeds 2 --tasks xnli
    """

    sweep: Path = option(..., "The sweep's file.")
    tasks: tuple[str, ...] | None = option(None, "Some of the tasks, such as xnli,pos.")
    languages: tuple[str, ...] | None = option(
        None, "Languages whose text is cut, such as en,de.", metavar="CODES"
    )
    shares: tuple[float, ...] | None = option(None, "Shares of the words, such as 0,0.5,1.")
    model: str | None = option(None, "Backbone; needed only where the store has studies of several.")
    limit: int | None = option(None, "Use at most this many examples of each language.", above=1)
    data: str | None = option(
        None, "Where the data lie now, if not where they lay in training: 'mini', 'hub' or a folder."
    )
    train: str | None = option(
        None,
        "Train anew for each share, on finer text, and score on text as it is (train) or on finer (both).",
        choices=("train", "both"),
    )
    seeds: int | tuple[int, ...] | None = option(None, "With --train: how many seeds, or a list.")
    recipe: dict[str, Any] = option({}, "Values of the recipes' keys.")
    device: str | None = option(None, "cpu or cuda; default: a GPU where there is one.")

    def of_sweep(self) -> dict[str, Any]:
        """Those that win over the sweep's file."""
        return self.model_dump(
            include={"tasks", "languages", "shares", "model", "limit", "train"}, exclude_none=True
        )

    def check(self, store: Path) -> None:
        """Refuse a wrong file, and data that are named twice, before anything large is imported."""
        if self.data is not None and "data.source" in self.recipe:
            raise StudyError("data.source is given by --data and by --set. Leave one out")
        if store_exists(store):
            Ledger(store, writing=False)  # which learns the own tasks that the sweep may name
        load_settings(self.sweep, Sweep, self.of_sweep())
