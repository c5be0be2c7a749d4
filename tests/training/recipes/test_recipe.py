import re
from pathlib import Path

import pytest
import yaml
from small import MINI_TASKS

from xlprompt.data import TASKS
from xlprompt.evaluation.zeroshot.templates import has_templates
from xlprompt.models import METHODS, TRAINED_METHODS
from xlprompt.training.errors import RecipeError
from xlprompt.training.recipes.files import parse_value
from xlprompt.training.recipes.recipe import (
    Recipe,
    fingerprint,
    flatten,
    load_recipe,
    recipe_from_dict,
    recipe_to_dict,
)
from xlprompt.training.recipes.settings import valid_keys

EXPERIMENTS = Path(__file__).resolve().parents[3] / "experiments"
RECIPES = sorted(path for path in EXPERIMENTS.rglob("*.yaml") if path.parent.name != "nano")
SCALES = ("mini", "gemma", "paper")
RUNNABLE = [
    EXPERIMENTS / scale / f"{task}-{method}.yaml"
    for scale in SCALES
    for task in (MINI_TASKS if scale == "mini" else TASKS)
    for method in METHODS
    if method in TRAINED_METHODS or has_templates(task)
]

MINIMAL = """
task: xnli
model: gemma-3-270m
optimizer: {learning_rate: 5e-3}
schedule: {steps: 10, batch_size: 4, token_budget: 512, evaluate_every: 5}
"""


def name(path: Path) -> str:
    return str(path.relative_to(EXPERIMENTS))


@pytest.fixture
def write(tmp_path):
    def write_recipe(text: str, file: str = "recipe.yaml") -> Path:
        path = tmp_path / file
        path.write_text(text, encoding="utf-8")
        return path

    return write_recipe


def test_a_recipe_is_composed_of_its_tasks_and_its_methods_file_and_no_pair_has_one_of_its_own():
    assert not [path for path in RUNNABLE if path.exists()]
    for path in RUNNABLE[:: len(METHODS) + 1]:
        parts = [path.with_name(f"{part}.yaml") for part in path.stem.split("-")]
        assert load_recipe(path) == load_recipe(parts)


def test_a_file_of_the_name_counts_instead_of_its_parts(write):
    write(MINIMAL, "xnli.yaml")
    write("seed: 3\n", "prompt.yaml")
    path = write("extends: xnli.yaml\nseed: 4\n", "more.yaml")
    assert load_recipe(path.with_name("xnli-prompt.yaml")).seed == 3
    assert load_recipe([path, path.with_name("prompt.yaml")]).seed == 3
    assert load_recipe(path.with_name("xnli-prompt-more.yaml")).seed == 4
    assert load_recipe(write("extends: xnli-prompt.yaml\n", "its-child.yaml")).seed == 3
    write("extends: more.yaml\n", "xnli-prompt.yaml")
    assert load_recipe(path.with_name("xnli-prompt.yaml")).seed == 4


def test_what_stands_under_a_task_counts_for_it_alone_and_later_files_win_over_it(write):
    task = write(MINIMAL, "xnli.yaml")
    method = write("seed: 1\nby_task:\n  xnli: {seed: 2}\n  pos: {seed: 3}\n", "prompt.yaml")
    assert load_recipe([task, method]).seed == 2
    assert load_recipe([task, method], {"task": "pos"}).seed == 2  # a task is its file's
    assert load_recipe([task, method, write("seed: 5\n", "mine.yaml")]).seed == 5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("by_task: {snli: {seed: 1}}", "by_task: no task 'snli'; the tasks are xnli"),
        ("by_task: [xnli]", "by_task: give settings under the name of each task"),
        ("by_task: {xnli: 5}", "by_task: give settings under the name of each task"),
        ("by_task: {xnli: {sed: 1}}", "recipe.yaml: by_task: xnli: sed: there is no such key; .* is seed"),
    ],
)
def test_what_is_wrong_under_a_task_is_named(write, text, message):
    with pytest.raises(RecipeError, match=message):
        load_recipe(write(MINIMAL + text))


@pytest.mark.parametrize(
    ("scale", "task"), sorted({(path.parent.name, path.stem.split("-")[0]) for path in RUNNABLE})
)
def test_the_methods_differ_in_nothing_but_their_own_settings_and_learning_rates(scale, task):
    recipes = {
        path.stem.split("-")[1]: flatten(load_recipe(path))
        for path in RUNNABLE
        if (path.parent.name, path.stem.split("-")[0]) == (scale, task)
    }
    own = ("method", "optimizer.learning_rate", "optimizer.head_learning_rate")
    own += tuple(f"{method}." for method in METHODS if method != "head")
    prompt = recipes["prompt"]
    shared = {key for key in prompt if not key.startswith(own)}
    assert {"seed", "schedule.steps", "schedule.batch_size", "data.train_language", "precision"} <= shared
    assert {"head.kind", "optimizer.weight_decay"} <= shared
    for method, recipe in recipes.items():
        assert {key: prompt[key] for key in shared} == {key: recipe[key] for key in shared}
        assert recipe["method"] == method


@pytest.mark.parametrize("path", RUNNABLE, ids=name)
def test_each_recipe_loads_for_the_task_it_is_named_after(path):
    recipe = load_recipe(path)
    assert path.stem == f"{recipe.task}-{recipe.method}"


@pytest.mark.parametrize(
    "path",
    sorted({path.with_name(f"{each}.yaml") for path in RUNNABLE for each in path.stem.split("-")}),
    ids=name,
)
def test_each_part_of_a_recipe_names_a_command_that_it_is_part_of(path):
    opening = path.read_text().splitlines()[0]
    assert opening.startswith("# ")
    assert re.search(rf"`make (\w+-{path.stem}|{path.stem}-\w+)", opening)


@pytest.mark.parametrize("path", [p for p in RECIPES if p.name == "base.yaml"], ids=name)
def test_each_base_names_a_command_that_extends_it(path):
    opening = path.read_text().splitlines()[0]
    assert opening.startswith("# ")
    assert "make xnli-prompt" in opening
    assert "base.yaml" in (path.parent / "xnli.yaml").read_text()


def test_the_paper_recipes_keep_the_papers_prompt_length_and_backbone():
    for task in TASKS:
        recipe = load_recipe(EXPERIMENTS / "paper" / f"{task}-prompt.yaml")
        assert (recipe.model, recipe.prompt.scheme, recipe.prompt.length) == (
            "facebook/xglm-564M",
            "layers",
            15,
        )
        assert recipe.data.source == "hub"


def test_an_extending_recipe_overrides_its_base_key_by_key(write):
    write(MINIMAL, "base.yaml")
    path = write("extends: base.yaml\nschedule: {steps: 20}\ndata: {languages: [en, de]}\n")
    recipe = load_recipe(path)
    assert (recipe.schedule.steps, recipe.schedule.batch_size) == (20, 4)
    assert recipe.data.languages == ("en", "de")


def test_overrides_win_over_the_files(write):
    recipe = load_recipe(write(MINIMAL), {"schedule.steps": 7, "seed": 3, "data.source": "folder"})
    assert (recipe.schedule.steps, recipe.seed, recipe.data.source) == (7, 3, "folder")


def test_off_and_no_stay_words_and_small_rates_are_numbers(write):
    recipe = load_recipe(write(MINIMAL + "backbone_dropout: off\ndata: {train_language: no}\n"))
    assert recipe.backbone_dropout == "off"
    assert recipe.data.train_language == "no"
    assert recipe.optimizer.learning_rate == 0.005


@pytest.mark.parametrize(
    ("text", "value"),
    [("5e-3", 0.005), ("3", 3), ("null", None), ("[en, de]", ["en", "de"]), ("off", "off"), ("true", True)],
)
def test_a_command_line_value_means_what_it_would_in_a_recipe(text, value):
    assert parse_value(text) == value


@pytest.mark.parametrize(
    ("addition", "expected"),
    [
        ("promt: {length: 3}", "promt: there is no such key; the nearest valid key is prompt"),
        (
            "prompt: {lenght: 3}",
            "prompt.lenght: there is no such key; the nearest valid key is prompt.length",
        ),
        (
            "learning_rate: 1",
            "learning_rate: there is no such key; the nearest valid key is optimizer.learning_rate",
        ),
        ("encoding: {max_len: 3}", "the nearest valid key is encoding.max_length"),
        ("zzz: 1", "zzz: there is no such key; valid here: task, method, model"),
        ("prompt: {length: many}", "prompt.length: give a whole number (found 'many')"),
        ("backbone_dropout: of", "backbone_dropout: give off or pretrained (found 'of')"),
        ("data: {limit: 0}", "data.limit: give a number of at least 1 (found 0)"),
        (
            "evaluation: {token_budget: 100}",
            "evaluation.token_budget (100) is less than encoding.max_length (256)",
        ),
    ],
)
def test_a_wrong_key_or_value_is_named_with_its_file_and_a_remedy(write, addition, expected):
    path = write(f"{MINIMAL}\n{addition}\n")
    with pytest.raises(RecipeError) as error:
        load_recipe(path)
    assert str(path) in str(error.value)
    assert expected in str(error.value)


def test_an_error_names_the_base_file_that_holds_the_key(write):
    base = write(MINIMAL + "sede: 1\n", "base.yaml")
    with pytest.raises(
        RecipeError, match="sede: there is no such key; the nearest valid key is seed"
    ) as error:
        load_recipe(write("extends: base.yaml\nseed: 2\n"))
    assert str(error.value).startswith(f"{base}: ")


def test_an_error_in_an_override_names_the_command_line(write):
    with pytest.raises(RecipeError, match=r"^the command line: schedule\.step: .*schedule\.steps$"):
        load_recipe(write(MINIMAL), {"schedule.step": 3})


def test_a_recipe_that_trains_nothing_is_refused(write):
    with pytest.raises(RecipeError, match="trains nothing. Set head.kind to linear"):
        load_recipe(write(MINIMAL + "method: head\nhead: {kind: verbalizer}\n"))


def test_a_missing_key_is_asked_for(write):
    path = write(MINIMAL.replace("optimizer: {learning_rate: 5e-3}", ""))
    with pytest.raises(RecipeError, match="optimizer: is missing. Add it"):
        load_recipe(path)


def test_an_unknown_task_lists_the_tasks(write):
    with pytest.raises(RecipeError, match="unknown task 'snli'; the tasks are xnli, pawsx, ner, pos"):
        load_recipe(write(MINIMAL.replace("xnli", "snli")))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("task: xnli\n  model: m\n", r"recipe.yaml:2: not valid YAML"),
        ("- a\n- b\n", "expected 'key: value' lines, found list"),
        ("extends: nowhere.yaml\n", "extends: there is no file"),
        ("extends: recipe.yaml\n", "goes round in a circle"),
        ("extends: 3\n", "expected the name of a recipe file"),
    ],
)
def test_a_file_that_is_no_recipe_is_explained(write, text, expected):
    with pytest.raises(RecipeError, match=expected):
        load_recipe(write(text))


def test_a_misspelt_file_name_is_answered_with_its_neighbours():
    with pytest.raises(RecipeError, match=r"there is no such recipe; near it: xnli-prompt\.yaml"):
        load_recipe(EXPERIMENTS / "mini" / "xnli-promt.yaml")


@pytest.mark.parametrize("name", [".", "/", ".."])
def test_a_folder_in_place_of_a_recipe_is_explained(name):
    with pytest.raises(RecipeError, match="is a folder"):
        load_recipe(Path(name))


def test_every_key_says_what_it_costs():
    def undescribed(settings, prefix=""):
        for key, field in settings.model_fields.items():
            nested = field.annotation
            if hasattr(nested, "model_fields"):
                yield from undescribed(nested, f"{prefix}{key}.")
            elif not field.description:
                yield f"{prefix}{key}"

    assert list(undescribed(Recipe)) == []


def test_a_recipe_survives_being_stored_as_plain_data(write):
    recipe = load_recipe(write(MINIMAL), {"data.languages": ["en"]})
    stored = yaml.safe_load(yaml.safe_dump(recipe_to_dict(recipe)))
    assert recipe_from_dict(stored, origin="checkpoint") == recipe


def test_the_flat_form_has_every_valid_key(write):
    assert set(flatten(load_recipe(write(MINIMAL)))) == set(valid_keys(Recipe))


def test_the_fingerprint_changes_with_any_value_and_with_nothing_else(write):
    recipe = load_recipe(write(MINIMAL))
    spelt_out = load_recipe(write(MINIMAL + "seed: 0\nbackbone_dropout: off\n", "other.yaml"))
    assert fingerprint(recipe) == fingerprint(spelt_out)
    assert fingerprint(recipe) != fingerprint(load_recipe(write(MINIMAL), {"prompt.length": 14}))
