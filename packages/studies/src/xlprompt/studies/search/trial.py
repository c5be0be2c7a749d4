"""One trial of a search: a recipe trained and scored on the development set, and on nothing else.

It differs from `xlprompt.training.runs.train` in what it leaves out: no test language decides anything here
or is read, no checkpoint is kept, no training state written. What a trial is for is decided in `trials`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from xlprompt.data import TASKS
from xlprompt.evaluation import Score, main_metric
from xlprompt.evaluation.processes import launched_processes
from xlprompt.training.alignment.loss import alignment_loss
from xlprompt.training.fitting.choose_engine import choose_engine, open_engine
from xlprompt.training.fitting.loop import FitResult, fit
from xlprompt.training.fitting.progress import ShowProgress, training_progress
from xlprompt.training.inputs.chosen_data import languages_to_score, open_training_data
from xlprompt.training.inputs.preparation import choose_device, out_of_memory_explained, prepare
from xlprompt.training.machine.allocator import keep_freed_memory
from xlprompt.training.machine.environment import peak_memory_bytes, read_environment
from xlprompt.training.recipes.recipe import Recipe, flatten
from xlprompt.training.store.labels import run_tags
from xlprompt.training.store.mlflow_tracker import MlflowTracker
from xlprompt.training.store.tracker import true_end_state

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
    task = TASKS[recipe.task]
    choice = choose_engine(recipe.method, engine)
    target = choose_device(None)
    keep_freed_memory()
    source = open_training_data(recipe)
    languages = languages_to_score(source, task, recipe.data)
    tracker = MlflowTracker(store)
    with launched_processes(target) as processes:
        prepared = prepare(recipe, source, target, processes)
        model = prepared.model
        environment = read_environment(repository_of=recipe_path, device=target)
        with (
            true_end_state(tracker),
            out_of_memory_explained(),
            open_engine(choice, model, recipe.optimizer, target, processes) as opened,
        ):
            run_id = tracker.start(
                experiment=task.name,
                run_name=run_name,
                params={**model.budget().to_dict(), **flatten(recipe), **choice.params(), **params},
                tags={**run_tags(recipe, environment), **tags},
                parent_run_id=parent_run_id,
            )
            on_start(run_id)
            result = None
            try:
                with show(console, steps=recipe.schedule.steps, metric=main_metric(task)) as progress:
                    result = fit(
                        model,
                        prepared.train.encoded,
                        prepared.development.encoded,
                        recipe,
                        tracker=tracker,
                        progress=progress,
                        pad_id=prepared.setup.pad_id,
                        device=target,
                        engine=opened,
                        processes=processes,
                        on_score=on_score,
                        alignment=alignment_loss(prepared.setup, languages),
                    )
            except Pruned:
                tracker.set_tag(STATE_TAG, "pruned")
                return None
            tracker.set_tag(STATE_TAG, "complete")
            tracker.log_metrics(
                {
                    "best/step": result.best_step,
                    f"best/{main_metric(task)}": result.best_score,
                    "cost/train_seconds": result.seconds,
                    "cost/tokens_per_second": result.tokens_per_second,
                    "cost/peak_memory_mib": peak_memory_bytes(target) / 2**20,
                },
                step=result.steps,
            )
            return result
