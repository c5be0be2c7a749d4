"""A run's stored predictions, and the words that they are of, in the formats of the field's evaluators."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from xlprompt.evaluation.exports import conll, ud, xtreme
from xlprompt.evaluation.exports.exported import Exported, tagged_task
from xlprompt.training.exports.stored import stored_predictions, texts_again
from xlprompt.training.inputs.chosen_data import with_data_at
from xlprompt.training.recipes.recipe import task_of
from xlprompt.training.store.database import find_artifacts
from xlprompt.training.store.recipe_file import stored_recipe

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
    found = stored_predictions(store, artifacts, run_id, split, languages)
    if form not in _TAGGED:
        return xtreme.export(found, folder)
    recipe = with_data_at(stored_recipe(artifacts, run_id), source)
    task = tagged_task(found, task_of(recipe), form)
    words = {
        language: [list(words) for (words,) in texts_again(recipe, each)] for language, each in found.items()
    }
    return _TAGGED[form](found, words, task, folder)
