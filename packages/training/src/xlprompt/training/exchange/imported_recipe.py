"""The recipe of an adapter that was trained elsewhere: what is known of it, and what only training asks.

Steps, batch and rate of a training that xlprompt has not done are written down as one step of nothing; who
knows better gives a recipe.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerFast

from xlprompt.models import Method
from xlprompt.training.errors import RecipeError
from xlprompt.training.recipes.files import merge, unflatten
from xlprompt.training.recipes.own_task import own_task_values
from xlprompt.training.recipes.recipe import Recipe, load_recipe, recipe_from_dict, recipe_to_dict
from xlprompt.training.store.checkpoint import CheckpointMetadata

_UNKNOWN = {
    "optimizer": {"learning_rate": 1e-3},
    "schedule": {"steps": 1, "batch_size": 1, "token_budget": 8192, "evaluate_every": 1},
    "precision": "float32",
}


def imported_recipe(
    method: Method,
    *,
    head: str | None,
    model: str,
    tokenizer: PreTrainedTokenizerFast,
    about: CheckpointMetadata | None,
    paths: Sequence[Path],
    overrides: Mapping[str, Any],
) -> Recipe:
    """Put together what an adapter's run goes by.

    Args:
        method: The method that the adapter is one of.
        head: Its kind of head, where its folder says.
        model: The backbone.
        tokenizer: The backbone's.
        about: What an export of xlprompt says of itself.
        paths: Recipe files, as training takes them; what the adapter itself says wins.
        overrides: Values by dotted key, which win over the files'.

    Raises:
        RecipeError: The task is not known, or a value is wrong.
    """
    own: dict[str, Any] = {"method": method.name, "model": model}
    if about is not None and not paths:
        values = dict(recipe_to_dict(recipe_from_dict(about.recipe, origin="the adapter's recipe")))
    elif paths:
        values = recipe_to_dict(load_recipe(paths, {**overrides, "model": model}))
    else:
        if "task" not in overrides:
            raise RecipeError("the adapter does not say what it was trained for. Name the task: --task xnli")
        values = {**_UNKNOWN, "encoding": _encoding_of(tokenizer) if head == "plain" else {}}
    values = merge(values, unflatten(dict(overrides)))
    if about is None and not paths:
        values = merge(values, own_task_values((), overrides))
    if head is not None:
        own["head"] = {"kind": head}
    section = values.get(method.name, {})
    trained = method.model_dump(mode="json")
    # How a prompt started is not to be read off it, and stays as the recipe has it.
    started = {key: section[key] for key in ("init", "std", "text") if key in section and key in trained}
    own[method.name] = {**trained, **started}
    return recipe_from_dict(merge(values, own), origin="the import")


def _encoding_of(tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    """Rows as `tokenizer(first, second)` makes them, which transformers' classifiers are trained on."""
    encoded = tokenizer("a", "b")
    texts, ids = encoded.sequence_ids(), encoded["input_ids"]
    first_end = len(texts) - 1 - texts[::-1].index(0)
    second, second_end = texts.index(1), len(texts) - 1 - texts[::-1].index(1)
    found = {}
    for name, part in (("separator", ids[first_end + 1 : second]), ("end", ids[second_end + 1 :])):
        text = tokenizer.decode(part) if part else ""
        if (tokenizer(text, add_special_tokens=False)["input_ids"] if text else []) != part:
            raise RecipeError(
                f"the tokenizer's own {name} of a pair ({part}) is no text. Give one: "
                f"--set encoding.{name}=..."
            )
        found[name] = text
    return found
