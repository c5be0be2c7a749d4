"""A search as it was asked for: search file, recipe, where it is kept, and the name that it is known by."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from xlprompt.models import backbone_fingerprint, short_name
from xlprompt.models.pretrained.known import NANO
from xlprompt.studies.grid.cells import data_fingerprints, digest, result_parts
from xlprompt.studies.grid.grid import find_recipe, load_found_recipe
from xlprompt.studies.grid.overrides import setting
from xlprompt.studies.search.space import Knob, SearchError, SearchFile, load_search, shipped_values
from xlprompt.training.recipes.recipe import Recipe, recipe_to_dict, task_of
from xlprompt.training.recipes.unused_keys import refuse_unused

if TYPE_CHECKING:
    from xlprompt.studies.search.worker import SearchJob

_TRIAL = "xlprompt.studies.search.trial.train_trial"  # whose code decides the scores


@dataclass(frozen=True)
class AskedSearch:
    """A search as it was asked for.

    Attributes:
        settings: The search file.
        recipe: The shipped recipe, with what the command line changed.
        file: Its file.
        method: The method's name in the search file.
        name: The search's name in the database: another one for whatever could make scores incomparable.
        overrides: What the command line changed in the recipe, by dotted key.
        command: What was typed, or comes to the same.
    """

    settings: SearchFile
    recipe: Recipe
    file: Path
    method: str
    name: str
    overrides: Mapping[str, Any]
    command: str

    @property
    def title(self) -> str:
        """Such as `xnli · prompt · xglm-nano`."""
        return f"{self.recipe.task} · {self.method} · {short_name(self.recipe.model)}"

    @property
    def recipe_name(self) -> str:
        """The file of the best trial, such as `xnli-prompt.yaml`; another model than the bundled is named."""
        model = short_name(self.recipe.model)
        return "-".join((self.recipe.task, self.method, *([] if model == NANO else [model]))) + ".yaml"

    @property
    def metric(self) -> str:
        """What the development score is called."""
        from xlprompt.evaluation import main_metric

        return main_metric(task_of(self.recipe))

    @property
    def space(self) -> dict[str, Knob]:
        """What is searched."""
        return self.settings.space_of(self.method)

    def job(self, number: int, *, database: str, store: Path, parent_run_id: str) -> SearchJob:
        """A worker's share.

        Args:
            number: The worker's, from 1.
            database: URL of the Optuna database.
            store: Folder of the MLflow store.
            parent_run_id: The search's MLflow run.
        """
        from xlprompt.studies.search.worker import SearchJob

        return SearchJob(
            name=f"worker {number}",
            study=self.name,
            method=self.method,
            search=recipe_to_dict(self.settings),
            recipe=recipe_to_dict(self.recipe),
            recipe_path=str(self.file.absolute()),
            database=database,
            store=str(store.absolute()),
            parent_run_id=parent_run_id,
            directory=str(Path.cwd()),
        )


def ask_search(
    path: str | Path,
    task: str,
    method: str,
    console: Console,
    *,
    settings: Mapping[str, Any] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> AskedSearch:
    """Put a search together; its backbone is fetched where it is not on this machine yet.

    Args:
        path: The search file.
        task: The task's name.
        method: A method of the search file.
        console: Where it is said what is fetched.
        settings: Values by dotted key that win over the search file's.
        overrides: Values by dotted key that win over the recipe's.

    Raises:
        RecipeError: The search file or the recipe is missing or wrong, the recipe is not in the space, or an
            override changes nothing.
        SearchError: The method is none of the file's.
        DataError, ModelError, RunError: Data or model are not there.
    """
    search, recipe, file = ask_recipe(path, task, method, settings, overrides)
    return AskedSearch(
        search,
        recipe,
        file,
        method,
        _name(search, recipe, method, console),
        dict(overrides or {}),
        _command(path, task, method, settings or {}, overrides or {}),
    )


def ask_recipe(
    path: str | Path,
    task: str,
    method: str,
    settings: Mapping[str, Any] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> tuple[SearchFile, Recipe, Path]:
    """The search file, and the recipe that is searched with its file; arguments are those of `ask_search`."""
    search = load_search(path, settings)
    if method not in search.methods:
        raise SearchError(f"{path}: has no method '{method}'; it has {', '.join(search.methods)}")
    file = find_recipe(search.recipe, path, task, method)
    recipe = load_found_recipe(file, path, task, overrides)
    shipped_values(recipe, search.space_of(method), file)
    refuse_unused(overrides or (), [recipe])
    return search, recipe, file


def _name(settings: SearchFile, recipe: Recipe, method: str, console: Console) -> str:
    backbone = backbone_fingerprint(recipe.model)
    if backbone is None:
        console.print(
            f"Fetching {recipe.model}, which is not on this machine yet", highlight=False, markup=False
        )
        from xlprompt.models import load_backbone

        load_backbone(recipe.model)
        backbone = backbone_fingerprint(recipe.model)
    values = recipe_to_dict(settings)
    parts = {
        **result_parts(recipe, data_fingerprints(recipe, test=False), backbone, entry=_TRIAL),
        "seed": recipe.seed,
        "space": values["space"] | values["methods"][method],
        "startup_trials": values["startup_trials"],
        "pruning": values["pruning"],
    }
    return f"{recipe.task}-{method}-{short_name(recipe.model)}-{digest(parts)[:12]}"


def _command(
    path: str | Path,
    task: str,
    method: str,
    settings: Mapping[str, Any],
    overrides: Mapping[str, Any],
) -> str:
    words = ["xlprompt", "search", str(path), "--task", task, "--method", method]
    if "trials" in settings:
        words += ["--trials", str(settings["trials"])]
    for key, value in overrides.items():
        words += setting(key, value)
    return shlex.join(words)
