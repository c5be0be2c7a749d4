"""The cells of a study, and the fingerprint that each is known by.

A cell is one recipe and seed. Its fingerprint is a SHA-256 over everything that decides its result: the
recipe's values, the data of every split it uses, the backbone's weights and the version of the code. Nothing
heavy is loaded for it. The cells that differ in the seed alone are a group, with a fingerprint of its own.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xlprompt.models import REGISTRY, backbone_fingerprint, short_name
from xlprompt.studies.grid.code_version import ENTRY, code_version
from xlprompt.studies.grid.grid import Grid, load_grid_recipe
from xlprompt.training.errors import RecipeError
from xlprompt.training.inputs.chosen_data import languages_to_score, open_data, unlabelled_split
from xlprompt.training.recipes.recipe import Recipe, recipe_to_dict, task_of
from xlprompt.training.recipes.unused_keys import refuse_unused
from xlprompt.training.store.training_state import FREE_KEYS


@dataclass(frozen=True)
class Cell:
    """One recipe and seed.

    Attributes:
        task: The task's name.
        method: The method's name in the grid.
        seed: The seed, which stands in the recipe too.
        recipe: All of the run's values.
        recipe_path: The file they came from.
        group: Fingerprint of everything but the seed.
        fingerprint: Fingerprint of everything; empty, as `group`, where the backbone is not here yet.
        variant: Name of the grid's variant; empty for the recipe as it is. Fingerprints do not know it.
    """

    task: str
    method: str
    seed: int
    recipe: Recipe
    recipe_path: Path
    group: str
    fingerprint: str
    variant: str = ""

    @property
    def kind(self) -> str:
        """What it shares with the other seeds: `xnli-prompt`, or with a variant `xnli-prompt long`."""
        return _kind(self.task, self.method, self.variant)

    @property
    def name(self) -> str:
        """How it is called in messages: `xnli-prompt seed 0`."""
        return f"{self.kind} seed {self.seed}"


@dataclass(frozen=True)
class Group:
    """The cells of a task, method and variant; they differ in the seed alone."""

    task: str
    method: str
    model: str
    fingerprint: str
    cells: tuple[Cell, ...]
    variant: str = ""

    @property
    def name(self) -> str:
        """How it is called in messages: `xnli-prompt`, or with a variant `xnli-prompt long`."""
        return _kind(self.task, self.method, self.variant)

    @property
    def model_name(self) -> str:
        """The model without the folders or the owner before it."""
        return short_name(self.model)


def _kind(task: str, method: str, variant: str) -> str:
    return f"{task}-{method} {variant}".rstrip()


def make_groups(
    grid: Grid, path: str | Path, overrides: Mapping[str, Any] | None = None
) -> tuple[Group, ...]:
    """All cells of a grid, by task, method and variant.

    Args:
        grid: What `load_grid` read from `path`.
        path: The grid file, which recipe files are relative to.
        overrides: Values by dotted key that win over every recipe's.

    Raises:
        RecipeError: A recipe is missing or wrong, two variants come to the same, or an override
            changes nothing.
        DataError, ModelError, RunError: No data are named, or data or a model folder are not there, or they
            lack a split or language.
    """
    data_known: dict[str, dict[str, str]] = {}
    backbones: dict[str, str | None] = {}
    groups = []
    seen: dict[str, str] = {}
    for task, method, variant in itertools.product(grid.tasks, grid.methods, grid.variants or ("",)):
        file, recipe = load_grid_recipe(grid, path, task, method, overrides, variant=variant)
        task, values = recipe.task, recipe_to_dict(recipe)  # 'own' has a name
        trained = recipe.method_settings.is_trained
        key = json.dumps(
            [task, trained, *(values[part] for part in ("data", "evaluation", "alignment_loss"))]
        )
        if key not in data_known:
            data_known[key] = data_fingerprints(recipe)
        if recipe.model not in backbones:
            backbones[recipe.model] = backbone_fingerprint(recipe.model)
        backbone = backbones[recipe.model]
        parts = result_parts(recipe, data_known[key], backbone)
        shared = digest(parts)
        name = _kind(task, method, variant)
        if (twin := seen.setdefault(shared, name)) != name:
            raise RecipeError(f"{path}: {twin} and {name} are the same recipe. Remove one of them")
        shared = shared if backbone else ""
        cells = tuple(
            Cell(
                task=task,
                method=method,
                seed=seed,
                recipe=recipe.model_copy(update={"seed": seed}),
                recipe_path=file,
                group=shared,
                fingerprint=digest({**parts, "seed": seed}) if backbone else "",
                variant=variant,
            )
            for seed in (grid.seeds if recipe.method_settings.is_trained else grid.seeds[:1])
        )
        groups.append(Group(task, method, recipe.model, shared, cells, variant))
    refuse_unused(overrides or (), [group.cells[0].recipe for group in groups])
    return tuple(groups)


def cell_fingerprint(recipe: Recipe) -> str | None:
    """The fingerprint of the cell that a recipe's run is; None where the backbone is not here yet.

    Raises:
        DataError, ModelError, RunError: As `make_groups`.
    """
    backbone = backbone_fingerprint(recipe.model)
    if backbone is None:
        return None
    return digest({**result_parts(recipe, data_fingerprints(recipe), backbone), "seed": recipe.seed})


def data_fingerprints(recipe: Recipe, *, test: bool = True) -> dict[str, str]:
    """Fingerprints of the rows that a recipe's run reads, by split and language (`test-de`).

    Where states are aligned, in training or afterwards, the text that this reads is among them.

    Args:
        recipe: The recipe.
        test: Whether its run scores the test languages.

    Raises:
        RunError: The recipe names no data, or the source lacks a language.
        DataError: The source cannot be read or lacks a split.
    """
    settings, task = recipe.data, task_of(recipe)
    source = open_data(recipe)
    wanted = []
    if recipe.method_settings.is_trained:
        wanted += [("train", language) for language in settings.train_languages]
        wanted.append(("validation", settings.train_language))
    pulled = recipe.alignment_loss.weight > 0
    aligned = test and any(kind != "none" for kind in recipe.evaluation.alignment.kinds)
    scored = languages_to_score(source, task, settings) if test or pulled else ()
    if test:
        wanted += [("test", language) for language in scored]
    if aligned or pulled:
        named = recipe.alignment_loss.languages or ()
        splits = {code: unlabelled_split(source, task, code) for code in (*scored, *named)}
        wanted += [(split, code) for code, split in splits.items() if split is not None]
    return {f"{split}-{language}": source.fingerprint(task, language, split) for split, language in wanted}


def result_parts(
    recipe: Recipe, data: Mapping[str, str], backbone: str | None, *, entry: str = ENTRY
) -> dict[str, Any]:
    """What decides the result of a recipe's runs, but for the seed.

    Args:
        recipe: The recipe.
        data: What `data_fingerprints` gave.
        backbone: The fingerprint of its weights.
        entry: The module that runs it.
    """
    values = _without_other_methods(recipe)
    del values["seed"]
    if backbone:  # tells models apart; a folder that was moved is the same one
        values["model"] = short_name(recipe.model)
    for key in FREE_KEYS:
        section, name = key.split(".")
        values[section].pop(name, None)
    return {"recipe": values, "data": dict(data), "backbone": backbone, "code": code_version(entry)}


def _without_other_methods(recipe: Recipe) -> dict[str, Any]:
    """The recipe with the defaults of the other methods' sections, which its run does not read.

    Left out, they would change the digest of every cell.
    """
    values = recipe_to_dict(recipe)
    for method in REGISTRY:
        if method.model_fields and method.name != recipe.method:
            values[method.name] = method().model_dump(mode="json")
    return values


def digest(parts: Mapping[str, Any]) -> str:
    """The fingerprint over parts that are JSON-compatible."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, ensure_ascii=True).encode()).hexdigest()
