"""What MLflow calls a run and which tags it wears."""

from __future__ import annotations

from typing import Any

from xlprompt.models import REGISTRY, short_name
from xlprompt.training.machine.environment import Environment
from xlprompt.training.recipes.recipe import Recipe, fingerprint, flatten

COMMIT_TAG = "mlflow.source.git.commit"
"""By which MLflow shows the commit of a run."""

NOTE_TAG = "mlflow.note.content"
"""By which MLflow shows a run's description."""

PARENT_TAG = "mlflow.parentRunId"
"""By which MLflow shows a run under another."""

VARIANT_TAG = "variant"
"""Of the run over seeds that no study but an ablation has asked for, how the ablation calls it."""

TASK_DEFINITION_TAG = "task_definition"
"""Of runs of the user's own tasks, what the task is: a report needs no folder."""


def run_name(recipe: Recipe) -> str:
    """The MLflow name of a recipe's run: `xnli-prompt-gemma-3-270m-seed0`."""
    return f"{recipe.task}-{recipe.method}-{short_name(recipe.model)}-seed{recipe.seed}"


def run_params(recipe: Recipe) -> dict[str, Any]:
    """The recipe by dotted key, as runs show it: of the methods' sections only the run's own."""
    others = other_sections(recipe.method)
    return {key: value for key, value in flatten(recipe).items() if not key.startswith(others)}


def other_sections(method: str) -> tuple[str, ...]:
    """How keys of the other methods' sections of a recipe begin."""
    return tuple(f"{each.name}." for each in REGISTRY if each.model_fields and each.name != method)


def run_tags(recipe: Recipe, environment: Environment) -> dict[str, str]:
    """What runs can be found and told apart by: method, task, model, recipe, device, versions and commit."""
    tags = {
        "method": recipe.method,
        "task": recipe.task,
        "model": recipe.model,
        "recipe_fingerprint": fingerprint(recipe),
        "device": environment.device,
        "python": environment.python,
    }
    tags[NOTE_TAG] = (
        f"`{recipe.task}` by `{recipe.method}` on `{short_name(recipe.model)}`, seed {recipe.seed}."
    )
    if recipe.task_definition is not None:
        tags[TASK_DEFINITION_TAG] = recipe.task_definition.as_text()
    for package in ("torch", "transformers", "peft", "xlprompt-training"):
        if package in environment.packages:
            tags[f"version.{package}"] = environment.packages[package]
    if environment.git:
        tags[COMMIT_TAG] = environment.git.commit
        tags["git_dirty"] = str(environment.git.dirty).lower()
    return tags
