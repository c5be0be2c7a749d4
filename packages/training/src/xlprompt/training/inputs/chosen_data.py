"""Which data a recipe reads: its source, and the languages that it is trained, chosen and scored on.

Nothing is kept or encoded here; what is missing is said before anything heavy starts.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from xlprompt.data import STUDY_LANGUAGES, Task
from xlprompt.data import language as language_row
from xlprompt.data.sources import NAMED, FolderSource, Source, open_source
from xlprompt.data.tasks import register
from xlprompt.training.errors import RunError
from xlprompt.training.recipes.data_settings import DataSettings
from xlprompt.training.recipes.recipe import Recipe, task_of


def open_data(recipe: Recipe) -> Source:
    """The source that a recipe names; a folder of the user's own task is opened as that very task.

    Raises:
        RunError: It names none.
        DataError: There is no such source.
    """
    if recipe.data.source is None:
        raise RunError(
            "no data: the recipe's data.source is null. Give a folder (DATA=<folder> with make, --data "
            "<folder> with xlprompt) or 'hub'"
        )
    # Known by its name from here on: what scores are called is looked up by it.
    own = None if recipe.task_definition is None else register(task_of(recipe))
    return open_source(recipe.data.source, own)


def with_data_at(recipe: Recipe, source: str | None) -> Recipe:
    """A stored run's recipe with its data where they lie now: None for where they lay.

    Raises:
        RunError: They are not there any more; where a relative path was recorded, the message says of what.
    """
    if source is not None:
        data = DataSettings.model_validate({**recipe.data.model_dump(), "source": source})
        return recipe.model_copy(update={"data": data})
    before = recipe.data.source
    if before in (None, *NAMED) or os.path.exists(os.path.expanduser(before)):
        return recipe
    relative = "" if os.path.isabs(before) else ", as seen from the folder that the training ran in"
    raise RunError(
        f"{before}: the run was trained on this folder{relative}, and it is not there. Say where the "
        "data lie now: --data FOLDER"
    )


def open_training_data(recipe: Recipe) -> Source:
    """The source of a recipe that trains: there is something to train on and to choose the checkpoint by.

    Raises:
        RunError: The recipe names no source, or that lacks the training or the development set.
        DataError: There is no such source.
    """
    source, task = open_data(recipe), task_of(recipe)
    for language in recipe.data.train_languages:
        _require_language(source, task, "train", language)
    _require_language(source, task, "validation", recipe.data.train_language)
    return source


def languages_to_score(
    source: Source, task: Task, settings: DataSettings, *, split: str = "test"
) -> tuple[str, ...]:
    """The languages that will be scored.

    Raises:
        RunError: The source has no such split of the task, or lacks a language that the recipe names.
        DataError: There is no such language.
    """
    present = source.languages(task, split)
    if not present:
        _refuse_another_task(source, task)
        raise RunError(
            f"{settings.source}: has no {split} set for {task.name} in any language. "
            "`xlprompt data check` lists what a folder holds"
        )
    if settings.languages is None:
        return present
    if settings.languages == "study":
        chosen = tuple(code for code in present if code in STUDY_LANGUAGES)
        if not chosen:
            raise RunError(
                f"{settings.source}: has no {split} set for {task.name} in any of the study's languages, "
                f"only {', '.join(present)}. Set data.languages to null to score these"
            )
        return chosen
    if missing := [code for code in settings.languages if code not in present]:
        language_row(missing[0])  # says which one is meant by deutsch
        raise RunError(
            f"{settings.source}: has no {split} set for {task.name} in {', '.join(missing)}; it has "
            f"{', '.join(present)}. Change data.languages, or set it to null to score all that is there"
        )
    return tuple(settings.languages)


def read_test_sets(source: Source, task: Task, settings: DataSettings, languages: Sequence[str]) -> None:
    """Read the files of what will be scored, so that a damaged one is met before training and not after.

    Raises:
        DataError: One is not as it should be.
    """
    if isinstance(source, FolderSource):
        for language in languages:
            source.load(task, language, "test", limit=settings.limit_of("test"))


def unlabelled_split(source: Source, task: Task, language: str) -> str | None:
    """Where a language's unlabelled text is: development set, else training set, else None."""
    splits = ("validation", "train")
    return next((split for split in splits if language in source.languages(task, split)), None)


def _refuse_another_task(source: Source, task: Task) -> None:
    """Refuse a folder that is a task of the user's own, where another task is asked for.

    Raises:
        RunError: It is one.
    """
    own = source.own if isinstance(source, FolderSource) else None
    if own is not None and own.name != task.name:
        raise RunError(
            f"{source.name}: is a task of your own, '{own.name}', and no {task.name}. Take the task own "
            f"(recipe own-METHOD.yaml, --task own, TASKS=own), or a folder with {task.name}"
        )


def _require_language(source: Source, task: Task, split: str, language: str) -> None:
    present = source.languages(task, split)
    if language in present:
        return
    _refuse_another_task(source, task)
    language_row(language)  # or it says which one is meant
    purpose = {"train": "to train on", "validation": "to choose the checkpoint by (a development set)"}[split]
    there = f"it has {', '.join(present)}" if present else "it has none in any language"
    raise RunError(
        f"{source.name}: has no {split} set for {task.name} in '{language}' {purpose}; {there}. "
        "Add the file, or change data.train_language or data.also_train_on"
    )
