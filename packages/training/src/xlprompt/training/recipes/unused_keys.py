"""Keys that were given for a run and that it would pass over: they are refused, since they meant something.

A recipe file may hold such keys, as bases are shared by all methods. The command line may not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from xlprompt.models import REGISTRY, Method
from xlprompt.training.errors import RecipeError
from xlprompt.training.recipes.recipe import Recipe


class _Condition(NamedTuple):
    is_met: Callable[[Recipe], bool]
    remedy: str


def _is_aligned(recipe: Recipe) -> bool:
    return any(kind != "none" for kind in recipe.evaluation.alignment.kinds)


def _of_method(method: type[Method], needed: str, value: str) -> _Condition:
    return _Condition(
        lambda recipe: getattr(getattr(recipe, method.name), needed) == value,
        f"{method.name}.{needed}={value}",
    )


_CONDITIONS: dict[str, _Condition] = {
    **{
        f"{method.name}.{key}": _of_method(method, *needed)
        for method in REGISTRY
        for key, needed in method.needed_for.items()
    },
    "evaluation.curve_examples": _Condition(
        lambda recipe: recipe.evaluation.curve_every is not None, "evaluation.curve_every=100"
    ),
    "optimizer.head_learning_rate": _Condition(
        lambda recipe: recipe.head.kind != "verbalizer", "head.kind=linear"
    ),
    **{
        f"alignment_loss.{key}": _Condition(
            lambda recipe: recipe.alignment_loss.weight > 0, "an alignment_loss.weight above 0"
        )
        for key in ("moments", "languages", "rows", "sentences")
    },
    **{
        f"evaluation.alignment.{key}": _Condition(_is_aligned, "evaluation.alignment.kinds=[mean_scale]")
        for key in ("sentences", "layer")
    },
    **{
        f"encoding.granularity.{key}": _Condition(
            lambda recipe: recipe.encoding.granularity.share > 0, "an encoding.granularity.share above 0"
        )
        for key in ("languages", "split", "kind", "seed")
    },
}

_OF_TRAINING = frozenset(
    {
        "schedule",
        "optimizer",
        "alignment_loss",
        "backbone_dropout",
        "gradient_checkpointing",
        "data.development_limit",
        "evaluation.curve_every",
        "evaluation.curve_examples",
        "evaluation.language_model_rows",
    }
)
"""Keys, and sections of them, that say nothing to a method that trains nothing."""


def refuse_unused(keys: Iterable[str], recipes: Sequence[Recipe]) -> None:
    """Make sure that each given key changes at least one of the recipes.

    Args:
        keys: Dotted keys that were given on the command line.
        recipes: The recipes with their values.

    Raises:
        RecipeError: A key is another method's, is of training where nothing trains, or waits for a value of
            another key.
    """
    methods = list(dict.fromkeys(recipe.method for recipe in recipes))
    sections = [method.name for method in REGISTRY if method.model_fields]
    trains = any(recipe.method_settings.is_trained for recipe in recipes)
    for key in keys:
        section = key.partition(".")[0]
        if section in sections and section not in methods:
            raise RecipeError(
                f"the command line: {key}: is of method {section}, and here is {', '.join(methods)}. "
                "Leave it out, or take that method"
            )
        if not trains and not _OF_TRAINING.isdisjoint((key, section)):
            raise RecipeError(
                f"the command line: {key}: is of training, and {', '.join(methods)} trains nothing. Leave it "
                "out, or take another method"
            )
        condition = _CONDITIONS.get(key)
        if condition and not any(condition.is_met(recipe) for recipe in recipes):
            raise RecipeError(f"the command line: {key}: needs {condition.remedy}. Add that, or leave it out")
