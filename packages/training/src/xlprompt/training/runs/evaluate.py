"""Scores of a checkpoint that has been trained before, as an MLflow run of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from xlprompt.data.tokens.cutter import GranularitySettings
from xlprompt.evaluation.waiting import waiting
from xlprompt.models import AlignmentSettings
from xlprompt.training.errors import RecipeError
from xlprompt.training.inputs.checks import at_its_place, check_device, check_scoring
from xlprompt.training.inputs.chosen_data import open_data, with_data_at
from xlprompt.training.machine.imports import quick_imports
from xlprompt.training.recipes.data_settings import LIMITS
from xlprompt.training.recipes.recipe import Recipe, recipe_from_dict, recipe_to_dict
from xlprompt.training.store.checkpoint import CheckpointMetadata, load_checkpoint, read_metadata
from xlprompt.training.store.find import find_directory
from xlprompt.training.store.labels import run_name, run_params, run_tags
from xlprompt.training.store.recipe_file import log_recipe
from xlprompt.training.store.tracker import true_end_state

if TYPE_CHECKING:
    from xlprompt.training.runs.scoring import Scores


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
    model: str | None = None,
    align: Sequence[str] = (),
    align_sentences: Sequence[int] = (),
    align_layers: Sequence[int | None] = (),
    granularity: GranularitySettings | None = None,
    experiment: str | None = None,
    tags: Mapping[str, str] | None = None,
) -> Scores:
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
        model: Where the backbone lies now, a folder or a hub id; None for where it lay in training.
        align: Kinds of alignment to score with as well, instead of the recipe's.
        align_sentences: How many unlabelled sentences of a language they are made of, instead of the
            recipe's number. With several, the largest counts, and the means of all are shown as a curve.
        align_layers: The decoder layers they act on (None: what the head reads), instead of the recipe's.
            With several, the last counts, and the means of all are shown.
        granularity: How finely text is cut, instead of the recipe's.
        experiment: The MLflow experiment; None for the task's.
        tags: Further tags of the run, which win over the usual ones.

    Returns:
        The scores without alignment, and with each kind of it.

    Raises:
        RecipeError: There is no such kind of alignment, or none is named for the sentences or layers that
            are, or both of these are several.
        CheckpointError, TrackingError: The checkpoint cannot be found or used, or the backbone is another.
        ModelError: The backbone is not where it lay, or cannot be loaded.
        RunError: The source lacks the split or a language, or memory ran out.
    """
    directory, model_id = find_directory(checkpoint, store)
    if isinstance(align, str):
        align = (align,)
    alignment = _asked_alignment(align, align_sentences, align_layers)
    recipe = _recipe_for_evaluation(
        read_metadata(directory), directory, languages, limit, alignment, granularity
    )
    wanted = _swept(recipe.evaluation.alignment, align_sentences, align_layers)
    recipe = with_data_at(recipe, source)
    check_device(device)
    there = at_its_place(recipe, model)
    check_scoring(there, open_data(there), split=split)
    with (
        waiting(console, "Loading torch and transformers"),
        quick_imports(),
    ):  # here: what is wrong is told without waiting for torch
        from xlprompt.training.inputs.preparation import require_layer
        from xlprompt.training.machine.out_of_memory import out_of_memory_explained
        from xlprompt.training.runs.opened import open_trained
        from xlprompt.training.runs.scoring import score_languages

    loaded = load_checkpoint(directory)
    run = open_trained(loaded, there, store=store, console=console, device=device, split=split)
    for each in wanted:
        require_layer(recipe.model, run.model.backbone, each.layer)
    with true_end_state(run.tracker), out_of_memory_explained():
        run.tracker.start(
            experiment=experiment or recipe.task,
            run_name=f"evaluate-{run_name(recipe)}",
            params={
                **run_params(recipe),
                "split": split,
                "backbone_fingerprint": run.model.backbone.fingerprint,
            },
            tags={**run_tags(recipe, run.environment), "job": "evaluate", **(tags or {})},
        )
        log_recipe(run.tracker, recipe)
        if model_id:
            run.tracker.use_model(model_id)
        scores = score_languages(
            run,
            split,
            wanted,
            model_id=model_id,
            checkpoint=loaded.directory,
        )
        if (place := run.tracker.place()) is not None:
            name = f"evaluate-{run_name(recipe)}"
            console.print(f"Run {name}, id {place.run_id}", highlight=False, markup=False, soft_wrap=True)
        return scores


def _asked_alignment(
    kinds: Sequence[str], sentences: Sequence[int], layers: Sequence[int | None]
) -> dict[str, Any]:
    """What is asked for instead of the recipe's; of several numbers or layers the one that counts."""
    asked: dict[str, Any] = {"kinds": list(kinds)} if kinds else {}
    if sentences:
        asked["sentences"] = max(sentences)
    if layers:
        asked["layer"] = layers[-1]
    return asked


def _swept(
    settings: AlignmentSettings, sentences: Sequence[int], layers: Sequence[int | None]
) -> tuple[AlignmentSettings, ...]:
    """The settings by each of the numbers of sentences or layers, the one that counts last."""
    if (sentences or layers) and set(settings.kinds) == {"none"}:
        raise RecipeError(
            "sentences or layers of an alignment are given, and no kind of it: add --align mean,mean_scale"
        )
    if len(sentences) > 1 and len(layers) > 1:
        raise RecipeError(
            "alignment can be swept over sentences or over layers, not over both: give several of one only"
        )
    if len(layers) > 1:
        return tuple(settings.model_copy(update={"layer": layer}) for layer in layers)
    numbers = sorted(set(sentences)) or [settings.sentences]
    return tuple(settings.model_copy(update={"sentences": number}) for number in numbers)


def _recipe_for_evaluation(
    metadata: CheckpointMetadata,
    directory: Path,
    languages: Sequence[str] | None,
    limit: int | None,
    alignment: Mapping[str, Any],
    granularity: GranularitySettings | None,
) -> Recipe:
    origin = str(directory)
    values = recipe_to_dict(recipe_from_dict(metadata.recipe, origin=origin))
    given = {"languages": languages} | dict.fromkeys(LIMITS, limit)
    values["data"] |= {key: value for key, value in given.items() if value is not None}
    values["evaluation"]["alignment"] |= alignment
    recipe = recipe_from_dict(values, origin=origin)
    if granularity is None:
        return recipe
    encoding = recipe.encoding.model_copy(update={"granularity": granularity})
    return recipe.model_copy(update={"encoding": encoding})
