"""The recipe that a run of the store was done by, as a file among its artifacts."""

from __future__ import annotations

from pathlib import Path

import yaml

from xlprompt.training.errors import RunError
from xlprompt.training.recipes.recipe import Recipe, recipe_from_dict, recipe_to_dict
from xlprompt.training.store.tracker import Tracker, log_text

RECIPE_FILE = "recipe.yaml"


def as_yaml(recipe: Recipe) -> str:
    """The recipe as a file that trains by it again."""
    return yaml.safe_dump(recipe_to_dict(recipe), sort_keys=False, allow_unicode=True)


def log_recipe(tracker: Tracker, recipe: Recipe) -> None:
    """Keep the recipe with the tracker's run."""
    log_text(tracker, RECIPE_FILE, as_yaml(recipe))


def stored_recipe(artifacts: Path, run_id: str) -> Recipe:
    """What a run was done by.

    Args:
        artifacts: Folder of the run's artifacts.
        run_id: The run.

    Raises:
        RunError: The run does not say.
    """
    path = artifacts / RECIPE_FILE
    if not path.is_file():
        raise no_recipe(run_id)
    return recipe_from_dict(yaml.safe_load(path.read_text(encoding="utf-8")), origin=str(path))


def no_recipe(run_id: str) -> RunError:
    """What to say of a run without the file, as those imported by earlier versions are."""
    return RunError(
        f"run {run_id} does not say which data its predictions are of ({RECIPE_FILE} is missing). Evaluate "
        "it again, and name the run that this makes"
    )
