"""A run's stored predictions, and the words that they are of, in the formats of the field's evaluators."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

from xlprompt.evaluation import SavedPredictions, load_predictions
from xlprompt.evaluation.exports import conll, ud, xtreme
from xlprompt.evaluation.exports.exported import Exported, tagged_task
from xlprompt.training.errors import RunError
from xlprompt.training.inputs.chosen_data import open_data
from xlprompt.training.recipes.recipe import Recipe, recipe_from_dict, task_of
from xlprompt.training.store.database import find_artifacts

_TAGGED = {"conll": conll.export, "ud": ud.export}
FORMATS = ("xtreme", *_TAGGED)


def export_predictions(
    run_id: str,
    form: str,
    folder: Path,
    *,
    store: Path,
    split: str = "test",
    source: str | None = None,
    languages: Sequence[str] | None = None,
) -> Exported:
    """Write a run's predictions for an evaluator.

    Args:
        run_id: The MLflow run, of training or of an evaluation.
        form: One of `FORMATS`.
        folder: Where the files go.
        store: Folder of the MLflow store.
        split: `test` or `validation`.
        source: Where the data lie now, if not where they lay; read for words alone.
        languages: Those that are wanted; None for all that were scored.

    Returns:
        The files, and how the evaluator is called.

    Raises:
        TrackingError: There is no such run.
        RunError: It has no predictions of the split or of a language, or the data are not those scored.
        DataError: A file cannot be read, or the format does not have the task.
    """
    artifacts = find_artifacts(store, run_id)
    found = _predictions(artifacts, run_id, split, languages)
    if form not in _TAGGED:
        return xtreme.export(found, folder)
    recipe = _recipe(artifacts, run_id, source)
    task = tagged_task(found, task_of(recipe), form)
    words = {language: _words(recipe, each) for language, each in found.items()}
    return _TAGGED[form](found, words, task, folder)


def _predictions(
    artifacts: Path, run_id: str, split: str, languages: Sequence[str] | None
) -> dict[str, SavedPredictions]:
    """The run's predictions by language, the languages in alphabetical order or as they are named."""
    ending = f".{split}.jsonl.gz"
    files = {
        path.name.removesuffix(ending): path for path in sorted(artifacts.glob(f"predictions/*{ending}"))
    }
    if not files:
        raise RunError(
            f"run {run_id} has no predictions of a {split} set. Score it: xlprompt evaluate {run_id} "
            f"--split {split}, and export the run that this makes"
        )
    missing = [code for code in languages or () if code not in files]
    if missing:
        raise RunError(
            f"run {run_id} has no {split} predictions of {', '.join(missing)}; it has {', '.join(files)}"
        )
    return {code: load_predictions(files[code]) for code in languages or files}


def _recipe(artifacts: Path, run_id: str, source: str | None) -> Recipe:
    """What the run was done by, with its data where they lie now."""
    path = artifacts / "recipe.yaml"
    if not path.is_file():
        raise RunError(
            f"run {run_id} does not say which data its predictions are of (recipe.yaml is missing). Evaluate "
            "the trained run again, and export the run that this makes"
        )
    recipe = recipe_from_dict(yaml.safe_load(path.read_text(encoding="utf-8")), origin=str(path))
    if source is None:
        return recipe
    return recipe.model_copy(update={"data": recipe.data.model_copy(update={"source": source})})


def _words(recipe: Recipe, each: SavedPredictions) -> list[list[str]]:
    """The sentences that predictions are of, read again."""
    task, data = task_of(recipe), recipe.data
    rows = open_data(recipe).load(task, each.language, each.split, limit=data.limit_of(each.split))
    words = [list(sentence) for sentence in rows[task.columns[0]]]
    if list(rows["id"]) != each.ids or [len(one) for one in words] != [len(one) for one in each.gold]:
        raise RunError(
            f"{data.source}: the {each.split} sentences of {task.name} in '{each.language}' are not those "
            "that the run was scored on. Say where those lie (--data FOLDER), or evaluate the run again"
        )
    return words
