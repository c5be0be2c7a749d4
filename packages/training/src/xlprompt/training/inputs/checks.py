"""What is wrong with a run, as far as it can be told before torch is imported, which takes seconds.

All of it is found out again where it is used; nothing here is needed for a right result.
"""

from __future__ import annotations

import re
from pathlib import Path

from xlprompt.data.sources import Source
from xlprompt.models import ModelError, absolute_name, require_model
from xlprompt.training.errors import RunError
from xlprompt.training.inputs.chosen_data import languages_to_score, open_data, open_training_data
from xlprompt.training.recipes.recipe import Recipe, task_of
from xlprompt.training.store.interrupted import LATEST, find_interrupted


def check_training(
    recipe: Recipe, *, store: Path, device: str | None = None, resume: str | None = None
) -> None:
    """Refuse a run that cannot train: by its device, the run to resume, its data or its model's files.

    The arguments and errors are those of `xlprompt.training.runs.train.train`.
    """
    check_device(device)
    trains = recipe.method_settings.is_trained
    if resume not in (None, LATEST):
        if not trains:
            raise RunError(
                f"method '{recipe.method}' trains nothing, so none of its runs can be gone on with. Leave "
                "--resume out"
            )
        find_interrupted(store, recipe, str(resume))
    source = open_training_data(recipe) if trains else open_data(recipe)
    check_scoring(recipe, source, split="test")


def check_scoring(recipe: Recipe, source: Source, *, split: str) -> None:
    """Refuse a run that cannot score: by the languages of its data, or its model's files.

    Raises:
        RunError, DataError, ModelError: Something is not there.
    """
    languages_to_score(source, task_of(recipe), recipe.data, split=split)
    require_model(recipe.model)


def check_device(name: str | None) -> None:
    """Refuse what is no name of a device; None leaves the choice open.

    Raises:
        RunError: It is none.
    """
    if name is not None and not re.fullmatch(r"(cpu|cuda)(:\d+)?", name):
        raise no_device(name, "xlprompt computes on cpu and cuda")


def no_device(name: str, reason: str) -> RunError:
    """What to say where a device cannot be used."""
    return RunError(f"device '{name}' cannot be used here ({reason}). Use cpu, or leave the choice open")


def at_its_place(recipe: Recipe, model: str | None) -> Recipe:
    """A trained checkpoint's recipe, with its backbone where it lies now.

    Args:
        recipe: The checkpoint's.
        model: Where the backbone lies now; None for where it lay in training.

    Raises:
        ModelError: It does not lie there any more.
    """
    if model is not None:
        require_model(model)
        return recipe.model_copy(update={"model": absolute_name(model)})
    try:
        require_model(recipe.model)
    except ModelError as error:
        raise ModelError(
            f"{error}. The run was trained with {recipe.model}; where that is a path, it is one from the "
            "folder that the training ran in. Say where the model lies now: --model FOLDER_OR_ID"
        ) from error
    return recipe
