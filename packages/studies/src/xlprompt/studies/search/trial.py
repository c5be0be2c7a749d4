"""One trial of a search: a recipe trained and scored on the development set, and on nothing else.

It differs from `xlprompt.training.runs.train` in what it leaves out: no test language decides anything here
or is read, no checkpoint is kept, no training state written. What a trial is for is decided in `trials`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from xlprompt.evaluation import Score
from xlprompt.training.fitting.listeners import Development, Listener
from xlprompt.training.fitting.loop import FitResult
from xlprompt.training.fitting.progress import ShowProgress, training_progress
from xlprompt.training.machine.environment import peak_memory_bytes
from xlprompt.training.recipes.recipe import Recipe
from xlprompt.training.runs.opened import open_training
from xlprompt.training.store.labels import run_params, run_tags
from xlprompt.training.store.metric_names import (
    BEST_STEP,
    PEAK_MEMORY_MIB,
    TOKENS_PER_SECOND,
    TRAIN_SECONDS,
    best_score,
)

STATE_TAG = "trial_state"


class Pruned(Exception):  # noqa: N818 (no error: a trial's regular early end)
    """Raised by who looks at the scores, to end a trial that is not worth its remaining steps."""


def train_trial(
    recipe: Recipe,
    *,
    store: Path,
    console: Console,
    run_name: str,
    params: Mapping[str, Any],
    tags: Mapping[str, str],
    parent_run_id: str,
    on_score: Callable[[int, Score], None],
    on_start: Callable[[str], None] = lambda run_id: None,
    recipe_path: Path | None = None,
    engine: str | None = None,
    show: ShowProgress = training_progress,
) -> FitResult | None:
    """Train by a recipe in an MLflow run of its own.

    The run of a pruned trial is FINISHED: it did what it was meant to, and `KILLED` stands for runs that were
    interrupted. Its tag `trial_state` says `pruned`.

    Args:
        recipe: What to do.
        store: Folder of the MLflow store.
        console: Where progress goes.
        run_name: The MLflow run's name.
        params: More params of the MLflow run.
        tags: More tags of the MLflow run.
        parent_run_id: The search's run.
        on_score: Gets the step and the development score after each evaluation; may raise `Pruned`.
        on_start: Gets the id of the MLflow run.
        recipe_path: The recipe's file; the git revision of its repository is recorded.
        engine: `torch` or `deepspeed`; None for the method's own.
        show: Makes what receives the training loop's figures for the user's eyes.

    Returns:
        How training went, or None if it was pruned.

    Raises:
        RunError, EngineError, DataError, ModelError: As `xlprompt.training.runs.train.train`.
        TrainingDiverged: See `xlprompt.training.fitting.loop.fit`.
        KeyboardInterrupt, SystemExit: SIGINT or SIGTERM came.
    """
    with (
        open_training(
            recipe, store=store, console=console, recipe_path=recipe_path, engine=engine, reads_tests=False
        ) as run,
        run.at_work() as trainer,
    ):
        run_id = run.tracker.start(
            experiment=recipe.task,
            run_name=run_name,
            params={**run.budget.to_dict(), **run_params(recipe), **run.engine.params(), **params},
            tags={**run_tags(recipe, run.environment), **tags},
            parent_run_id=parent_run_id,
        )
        if run_id is not None:
            on_start(run_id)
        try:
            result = run.fit(trainer, show, [_Watched(on_score)])
        except Pruned:
            run.tracker.set_tag(STATE_TAG, "pruned")
            return None
        run.tracker.set_tag(STATE_TAG, "complete")
        figures = {
            BEST_STEP: result.best_step,
            best_score(run.metric): result.best_score,
            TRAIN_SECONDS: result.seconds,
            TOKENS_PER_SECOND: result.tokens_per_second,
            PEAK_MEMORY_MIB: peak_memory_bytes(run.setup.device) / 2**20,
        }
        run.tracker.log_metrics(figures)
        return result


class _Watched(Listener):
    """Hands development scores on."""

    def __init__(self, on_score: Callable[[int, Score], None]) -> None:
        self._on_score = on_score

    def scored(self, development: Development) -> None:
        self._on_score(development.step, development.score)
