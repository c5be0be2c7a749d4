"""Scores of a checkpoint that has been trained before, as an MLflow run of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from xlprompt.data import TASKS
from xlprompt.data.granularity import GranularitySettings
from xlprompt.evaluation import TransferReport
from xlprompt.evaluation.processes import Processes
from xlprompt.models import load_tokenizer
from xlprompt.training.allocator import keep_freed_memory
from xlprompt.training.checkpoint import Checkpoint, load_checkpoint, restore
from xlprompt.training.chosen_data import languages_to_score, open_data
from xlprompt.training.environment import read_environment
from xlprompt.training.preparation import Setup, build_model, choose_device, out_of_memory_explained
from xlprompt.training.recipe import Recipe, flatten, recipe_from_dict
from xlprompt.training.run_labels import run_name, run_tags
from xlprompt.training.scoring import score_languages
from xlprompt.training.tracker import MlflowTracker, find_model, true_end_state


def evaluate(
    checkpoint: str | Path,
    *,
    store: Path,
    console: Console,
    source: str | None = None,
    languages: Sequence[str] | None = None,
    limit: int | None = None,
    split: str = "test",
    device: str | None = None,
    granularity: GranularitySettings | None = None,
    experiment: str | None = None,
    tags: Mapping[str, str] | None = None,
) -> TransferReport:
    """Score a trained checkpoint by language and record it as an MLflow run of its own.

    Args:
        checkpoint: A checkpoint folder, or the id of the MLflow run that trained it.
        store: Folder of the MLflow store: where a run id is looked up, and where the scores go.
        console: Where progress and the score table go.
        source: `hub` or a folder, instead of the recipe's.
        languages: Languages instead of the recipe's choice.
        limit: At most this many examples of each language, instead of the recipe's limits.
        split: `test` or `validation`.
        device: As in `train`.
        granularity: How finely text is cut, instead of the recipe's.
        experiment: The MLflow experiment; None for the task's.
        tags: Further tags of the run, which win over the usual ones.

    Raises:
        CheckpointError, TrackingError: The checkpoint cannot be found or used.
        RunError: The source lacks the split or a language, or memory ran out.
    """
    folder = Path(checkpoint)
    model_id = None
    if not folder.exists() and folder.name == str(checkpoint):
        stored = find_model(store, str(checkpoint))
        folder, model_id = stored.directory, stored.model_id
    loaded = load_checkpoint(folder)
    recipe = _recipe_for_evaluation(loaded, source, languages, limit)
    if granularity is not None:
        encoding = recipe.encoding.model_copy(update={"granularity": granularity})
        recipe = recipe.model_copy(update={"encoding": encoding})
    task = TASKS[recipe.task]
    target = choose_device(device)
    keep_freed_memory()
    opened = open_data(recipe.data)
    chosen = languages_to_score(opened, task, recipe.data, split=split)
    tracker = MlflowTracker(store)

    setup = Setup(recipe, task, opened, load_tokenizer(recipe.model), target, Processes(device=target))
    model = build_model(setup)
    restore(loaded, model, backbone_fingerprint=model.backbone.fingerprint)
    with true_end_state(tracker), out_of_memory_explained():
        tracker.start(
            experiment=experiment or task.name,
            run_name=f"evaluate-{run_name(recipe)}",
            params={**flatten(recipe), "split": split, "backbone_fingerprint": model.backbone.fingerprint},
            tags={
                **run_tags(recipe, read_environment(repository_of=None, device=target)),
                "job": "evaluate",
                **(tags or {}),
            },
        )
        if model_id:
            tracker.use_model(model_id)
        return score_languages(
            setup, model, chosen, split, tracker, console, model_id=model_id, step=loaded.metadata.step
        )


def _recipe_for_evaluation(
    checkpoint: Checkpoint, source: str | None, languages: Sequence[str] | None, limit: int | None
) -> Recipe:
    values: dict[str, Any] = dict(checkpoint.metadata.recipe)
    given = {"source": source, "languages": languages, "limit": limit, "development_limit": limit}
    values["data"] = values["data"] | {key: value for key, value in given.items() if value is not None}
    return recipe_from_dict(values, origin=str(checkpoint.directory))
