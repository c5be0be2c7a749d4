from pathlib import Path

import pytest
import yaml

from xlprompt.data import TASKS
from xlprompt.studies.grid.grid import load_grid, load_grid_recipe
from xlprompt.training.errors import RecipeError

EXPERIMENTS = Path(__file__).resolve().parents[3] / "experiments"
VALUES = {"tasks": ["xnli", "pos"], "methods": ["prompt"], "seeds": 3}


@pytest.fixture
def grid_file(tmp_path):
    def write(**changes):
        path = tmp_path / "study.yaml"
        path.write_text(yaml.safe_dump(VALUES | changes))
        return path

    return write


@pytest.mark.parametrize(
    ("written", "seeds"), [(3, (0, 1, 2)), (1, (0,)), ([0, 4, 7], (0, 4, 7)), ([5], (5,))]
)
def test_seeds_are_a_number_or_a_list(grid_file, written, seeds):
    assert load_grid(grid_file(seeds=written)).seeds == seeds


def test_all_tasks_are_meant_by_one_word():
    grid = load_grid(EXPERIMENTS / "mini" / "study.yaml", {"tasks": ["all"]})
    assert grid.tasks == tuple(TASKS)
    assert load_grid(EXPERIMENTS / "mini" / "study.yaml").tasks == ("xnli", "pawsx", "ner", "pos")


def test_the_command_line_wins_over_the_file(grid_file):
    overrides = {"tasks": ["pos"], "seeds": 5, "executor.kind": "ray", "executor.workers": 3}
    grid = load_grid(grid_file(), overrides)
    assert (grid.tasks, grid.seeds) == (("pos",), (0, 1, 2, 3, 4))
    assert (grid.executor.kind, grid.executor.workers, grid.executor.threads) == ("ray", 3, 1)


def test_values_are_of_every_recipe_and_give_way_to_variants_and_the_command_line():
    path = EXPERIMENTS / "ablations" / "curves.yaml"
    grid = load_grid(path)

    def evaluation(grid, overrides=None, **how):
        return load_grid_recipe(grid, path, "ner", "finetune", overrides, **how)[1].evaluation

    assert (evaluation(grid).curve_every, evaluation(grid).curve_examples) == (100, 100)
    assert evaluation(grid, {"evaluation.curve_every": 7}).curve_every == 7
    varied = grid.model_copy(update={"variants": {"often": {"evaluation.curve_every": 3}}})
    assert evaluation(varied, variant="often").curve_every == 3
    with pytest.raises(RecipeError, match="name seeds with `seeds`"):
        evaluation(grid.model_copy(update={"values": {"seed": 3}}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tasks": ["xnli", "squad"]}, "unknown task 'squad'; the tasks are xnli, pawsx, ner, pos"),
        ({"tasks": []}, "tasks: at least one is needed"),
        ({"seeds": 0}, "seeds: a study needs at least one seed"),
        ({"seeds": [1, 1]}, "seeds: 1 is there twice"),
        ({"seeds": [-1]}, "seeds: a seed is zero or more"),
        ({"recipe": "{task}-{size}.yaml"}, "recipe: only {task} and {method} can stand in it"),
        (
            {"variants": {"a/b": {"prompt.length": 8}}},
            "variants: 'a/b' is no name: letters, digits and any of",
        ),
        ({"executor": {"worker": 2}}, "executor.worker: there is no such key; the nearest valid key is exec"),
        ({"executor": {"kind": "kubernetes"}}, "executor.kind"),
    ],
)
def test_a_wrong_value_is_named_with_its_file(grid_file, changes, message):
    path = grid_file(**changes)
    with pytest.raises(RecipeError) as caught:
        load_grid(path)
    assert str(path) in str(caught.value)
    assert message in str(caught.value)


def test_a_method_without_a_recipe_is_named_with_those_that_have_one():
    path = EXPERIMENTS / "mini" / "study.yaml"
    grid = load_grid(path, {"methods": ["lora-of-tomorrow"]})
    with pytest.raises(RecipeError, match=r"no recipe .*xnli-lora-of-tomorrow.yaml; .*prompt, finetune"):
        load_grid_recipe(grid, path, "xnli", "lora-of-tomorrow")


def test_a_seed_among_the_recipe_values_is_refused():
    path = EXPERIMENTS / "mini" / "study.yaml"
    with pytest.raises(RecipeError, match="name them with --seeds"):
        load_grid_recipe(load_grid(path), path, "xnli", "prompt", {"seed": 3})


def test_a_recipe_of_another_task_is_refused(grid_file):
    path = grid_file(recipe="pos-{method}.yaml")
    for base in ("pos", "prompt", "base"):
        (path.parent / f"{base}.yaml").write_text((EXPERIMENTS / "mini" / f"{base}.yaml").read_text())
    with pytest.raises(RecipeError, match="is a recipe of pos, and .* names it as one of xnli"):
        load_grid_recipe(load_grid(path), path, "xnli", "prompt")


@pytest.mark.parametrize("scale", ["mini", "gemma", "paper"])
def test_every_shipped_study_has_its_recipes_and_24_cells(scale):
    path = EXPERIMENTS / scale / "study.yaml"
    grid = load_grid(path)
    assert len(grid.tasks) * len(grid.methods) * len(grid.seeds) == 24
    for task in grid.tasks:
        for method in grid.methods:
            _, recipe = load_grid_recipe(grid, path, task, method)
            assert (recipe.task, recipe.method) == (task, method)


def test_a_variant_changes_the_recipe_and_the_command_line_may_not_change_it_back():
    path = EXPERIMENTS / "mini" / "study.yaml"
    grid = load_grid(path, {"variants": {8: {"prompt.length": 8}, "off": {"prompt.shift_positions": False}}})
    assert list(grid.variants) == ["8", "off"]
    _, recipe = load_grid_recipe(grid, path, "pos", "prompt", {"schedule.steps": 5}, variant="8")
    assert (recipe.prompt.length, recipe.schedule.steps) == (8, 5)
    with pytest.raises(RecipeError, match=r"prompt.length: the variants of .* set it. Leave it out"):
        load_grid_recipe(grid, path, "pos", "prompt", {"prompt.length": 9}, variant="8")


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"seed": 3}, "variants: odd: sets the seed. Name seeds with `seeds`"),
        ({"prompt.lenght": 3}, "variants: odd: .*the nearest valid key is prompt.length"),
    ],
)
def test_a_wrong_variant_is_named_with_its_grid(keys, message):
    path = EXPERIMENTS / "mini" / "study.yaml"
    grid = load_grid(path, {"variants": {"odd": keys}})
    with pytest.raises(RecipeError, match=message) as caught:
        load_grid_recipe(grid, path, "pos", "prompt", variant="odd")
    assert str(path) in str(caught.value)
