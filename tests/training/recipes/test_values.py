"""Values that a recipe cannot have: refused in the words of a recipe's file, with the range or the form."""

import pytest
from pydantic import ValidationError

from xlprompt.studies.grid.grid import Grid
from xlprompt.studies.search.space import SearchFile
from xlprompt.training.errors import RecipeError
from xlprompt.training.recipes.errors import explain
from xlprompt.training.recipes.files import merge, unflatten
from xlprompt.training.recipes.recipe import Recipe, recipe_from_dict
from xlprompt.training.recipes.settings import valid_keys

MINIMAL = {
    "task": "xnli",
    "model": "gemma-3-270m",
    "optimizer": {"learning_rate": 5e-3},
    "schedule": {"steps": 10, "batch_size": 4, "token_budget": 512, "evaluate_every": 5},
}
FOREIGN = ("Input", "tuple", "dictionary", "instance", "Settings", "validat", "NoneType", "model_type", "str")


def refusal(**values):
    with pytest.raises(RecipeError) as error:
        recipe_from_dict(merge(MINIMAL, unflatten(values)), origin="file")
    return str(error.value)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("data.languages", "de", "data.languages: give study or a list, as in [de] (found 'de')"),
        ("data.languages", "de,sw", "give study or a list, as in [de, sw]"),
        ("data.languages", [7], "data.languages: item 1: give text, in quotes where it looks like something"),
        ("data.languages", [], "data.languages: name one language at least"),
        ("data.languages", ["en", "en"], "data.languages: en is there twice; remove one"),
        ("data.also_train_on", "de", "data.also_train_on: give a list, as in [de]"),
        ("evaluation.alignment.kinds", "mean", "evaluation.alignment.kinds: give a list, as in [mean]"),
        ("evaluation.alignment.kinds", ["me"], "item 1: give none, mean, mean_scale, principal or subspace"),
        ("optimizer.betas", 0.9, "optimizer.betas: give a list, as in [0.9]"),
        ("optimizer.betas", [0.9], "optimizer.betas: item 2: missing. Add it to [0.9]"),
        ("optimizer.betas", [0.9, 0.9, 0.9], "optimizer.betas: give a list of at most 2"),
        ("prompt", "layers", "prompt: give keys of its own, any of scheme, length, layers"),
        ("optimizer", None, "optimizer: give keys of its own, any of learning_rate"),
        ("encoding.granularity", 1, "encoding.granularity: give keys of its own, any of share"),
        ("prompt.layers", 0, "prompt.layers: give all or a number of at least 1 or a list, as in [0]"),
        ("gradient_checkpointing", "maybe", "gradient_checkpointing: give true or false (found 'maybe')"),
        ("model", 564, 'model: give text, in quotes where it looks like something else, as in "564"'),
        ("seed", 1.5, "seed: give a whole number (found 1.5)"),
        ("seed", None, "seed: give a whole number (found None)"),
        (
            "encoding.max_len",
            3,
            "encoding.max_len: there is no such key; the nearest valid key is encoding.max",
        ),
        (
            "encoding.granularity.foo",
            3,
            "there is no such key; the nearest valid key is encoding.",
        ),
    ],
)
def test_a_value_of_the_wrong_form_is_answered_with_the_right_one(key, value, message):
    said = refusal(**{key: value})
    assert f"file: {message}" in said or message in said
    assert not any(word in said for word in FOREIGN)


def test_a_key_written_with_its_dots_in_a_file_is_answered_with_its_section():
    with pytest.raises(RecipeError, match=r"no such key; in a file it is schedule: {steps: \.\.\.}"):
        recipe_from_dict(MINIMAL | {"schedule.steps": 3}, origin="file")


@pytest.mark.parametrize("key", valid_keys(Recipe))
@pytest.mark.parametrize(
    "value", [10**400, -(10**400), 10**40, 1e300, -1e300, 1e-300, float("nan"), float("inf"), "9" * 5000]
)
def test_no_key_takes_a_number_that_torch_cannot_compute_with(key, value):
    said = refusal(**{key: value}) if key != "model" and not _takes_text(key, value) else key
    assert key.rpartition(".")[2] in said
    assert len(said) < 1000


def _takes_text(key, value):
    texts = ("data.source", "data.train_language", "encoding.separator", "encoding.end", "prompt.text")
    return key in texts and isinstance(value, str)


def test_the_largest_numbers_that_are_taken_are_still_float32s():
    recipe = recipe_from_dict(
        merge(MINIMAL, unflatten({"optimizer.learning_rate": 1e30, "seed": 2**32 - 1})), origin="file"
    )
    assert (recipe.optimizer.learning_rate, recipe.seed) == (1e30, 2**32 - 1)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"seeds": 10**9}, "at most 1000 seeds; a single one is a list, as in [7]"),
        ({"seeds": [10**30]}, "give a number of at most 4,294,967,295"),
        ({"tasks": "xnli"}, "tasks: give a list, as in [xnli]"),
        ({"executor": "ray"}, "executor: give keys of its own, any of kind, workers"),
        ({"variants": {"a": 3}}, "variants.a: give names, each with its values (found 3)"),
        ({"recipe": "{task:>1000000000}.yaml"}, "only {task} and {method} can stand in it"),
        ({"recipe": "{task!x}.yaml"}, "only {task} and {method} can stand in it"),
        ({"recipe": "{task.__class__}.yaml"}, "only {task} and {method} can stand in it"),
    ],
)
def test_a_grid_is_read_by_the_same_rules(values, message):
    grid = {"tasks": ["xnli"], "methods": ["prompt"]} | values
    with pytest.raises(ValidationError) as error:
        Grid.model_validate(grid)
    assert message in explain(error.value, [("file", grid)], Grid, default_origin="file")


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (
            {"optimizer.learning_rate": {"low": 0.1, "hihg": 1}},
            "space.optimizer.learning_rate.hihg: there is no",
        ),
        ({"optimizer.learning_rate": {"low": 0.1, "hihg": 1}}, "valid here: low, high, log"),
        ({"optimizer.learning_rate": {"low": 0.1}}, "space.optimizer.learning_rate.high: is missing"),
        (
            {"optimizer.learning_rate": 0.1},
            "give keys of its own, any of low, high, log or a list, as in [0.1]",
        ),
        ({"prompt.length": {"low": 1, "high": 10**40}}, "give a number of at most 4,294,967,295"),
    ],
)
def test_a_search_space_is_read_by_the_same_rules(space, message):
    search = {"space": space, "methods": {"prompt": {}}}
    with pytest.raises(ValidationError) as error:
        SearchFile.model_validate(search)
    said = explain(error.value, [("file", search)], SearchFile, default_origin="file")
    assert message in said
    assert not any(word in said for word in FOREIGN)
