"""What a run has stored of a split: predictions, and the texts that they are of, read again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from xlprompt.data import Task
from xlprompt.evaluation.answers.predictions import SavedPredictions, load_predictions
from xlprompt.training.errors import RunError
from xlprompt.training.inputs.chosen_data import open_data
from xlprompt.training.recipes.recipe import Recipe, task_of
from xlprompt.training.store.store_option import in_store


def stored_predictions(
    store: Path, artifacts: Path, run_id: str, split: str, languages: Sequence[str] | None
) -> dict[str, SavedPredictions]:
    """The run's predictions by language, the languages in alphabetical order or as they are named.

    Args:
        store: Folder of the MLflow store.
        artifacts: Folder of the run's artifacts.
        run_id: The run.
        split: `test` or `validation`.
        languages: Those that are wanted; None for all that were scored.

    Raises:
        RunError: It has none of the split, or of a language.
        DataError: A file cannot be read.
    """
    ending = f".{split}.jsonl.gz"
    files = {
        path.name.removesuffix(ending): path for path in sorted(artifacts.glob(f"predictions/*{ending}"))
    }
    if not files:
        raise RunError(
            f"run {run_id} has no predictions of a {split} set. Score it: xlprompt evaluate {run_id} "
            f"--split {split}{in_store(store)}, and name the run that this makes"
        )
    missing = [code for code in languages or () if code not in files]
    if missing:
        raise RunError(
            f"run {run_id} has no {split} predictions of {', '.join(missing)}; it has {', '.join(files)}"
        )
    return {code: load_predictions(files[code]) for code in languages or files}


def texts_again(recipe: Recipe, each: SavedPredictions) -> list[tuple[Any, ...]]:
    """The texts of the examples that predictions are of, read again; of a sentence the list of its words.

    Raises:
        RunError: The data are not those that were scored.
        DataError: They cannot be read.
    """
    task, data = task_of(recipe), recipe.data
    rows = open_data(recipe).load(task, each.language, each.split, limit=data.limit_of(each.split))
    columns = [list(rows[name]) for name in task.columns[: len(task.text_fields)]]
    texts = list(zip(*columns, strict=True))
    # Ids may be places in the file, which other data have too: the right answers have to be the same as well.
    if list(rows["id"]) != each.ids or _answers(task, list(rows[task.columns[-1]])) != each.gold:
        what = "sentences" if task.kind.by_word else "examples"
        raise RunError(
            f"{data.source}: the {each.split} {what} of {task.name} in '{each.language}' are not those "
            "that the run was scored on. Say where those lie (--data FOLDER), or evaluate the run again"
        )
    return texts


def _answers(task: Task, column: list[Any]) -> list[list[Any]]:
    """The right answers of a data set's column, as predictions hold them."""
    if not task.kind.labeled:
        return [[each["text"] for each in answers] for answers in column]
    return [list(tags) for tags in column] if task.kind.by_word else [[label] for label in column]
