import json

import pytest
import yaml

from xlprompt.training.recipes.recipe import load_recipe

pytestmark = pytest.mark.integration


@pytest.fixture
def search_file(tmp_path, recipe_file):
    (tmp_path / "xnli-prompt.yaml").write_text(f"extends: {recipe_file}\n")
    path = tmp_path / "search.yaml"
    values = {
        "trials": 2,
        "space": {"optimizer.learning_rate": {"low": 1e-3, "high": 1e-1, "log": True}},
        "methods": {"prompt": {"prompt.length": [2, 4]}},
        "executor": {"gpus": 0},
    }
    path.write_text(yaml.safe_dump(values))
    return path


def test_a_search_prints_its_table_and_then_only_that(xlprompt, search_file, tmp_path):
    options = ("--task", "xnli", "--mlruns", tmp_path / "mlruns", "--out", tmp_path / "best", "--workers", 0)
    result = xlprompt("search", search_file, *options, "--seed", 3, "--limit", 16)
    assert result.exit_code == 0, result.output
    assert "2 trials of 4 steps at most; 0 done, 2 to run, 1 at a time" in result.stdout
    assert "optimizer.learning_rate  0.001 to 0.1, log-uniform; the recipe has 0.01" in result.stdout
    assert "trial 1: learning_rate " in result.stdout
    (recipe,) = (tmp_path / "best").glob("xnli-prompt-*.yaml")  # which ends in the model's name
    assert f"Train it: xlprompt train {recipe}" in result.stdout.replace("\n", "")
    assert (load_recipe(recipe).seed, load_recipe(recipe).data.limit) == (3, 16)
    again = xlprompt("search", search_file, *options, "--seed", 3, "--limit", 16, "--json")
    assert again.exit_code == 0, again.output
    figures = json.loads(again.stdout)
    assert figures["finished"]
    assert [trial["shipped"] for trial in figures["trials"]] == [True, False]
    assert figures["best"]["score"] >= figures["shipped"]["score"]
    assert "Trials" in again.stderr


def test_an_error_of_a_trial_makes_the_exit_code_1(xlprompt, search_file, tmp_path, monkeypatch):
    def fail(*arguments, **options):
        raise OSError("the disk is full")

    monkeypatch.setattr("xlprompt.training.runs.opened.fit", fail)
    options = ("--task", "xnli", "--mlruns", tmp_path / "mlruns", "--workers", 0)
    result = xlprompt("search", search_file, *options)
    assert result.exit_code == 1, result.output
    assert "Failed: worker 1: OSError: the disk is full (log: " in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--task"),
        (["--task", "squad"], "squad-prompt.yaml"),
        (["--task", "xnli", "--method", "lora"], "no method 'lora'"),
        (["--task", "xnli", "--set", "prompt.length=3"], "does not lie in 2, 4"),
        (["--task", "xnli", "--set", "prompt.lenght=3"], "prompt.length"),
        (["--task", "xnli", "--data", "no/such/folder"], "no/such/folder"),
        (["--task", "xnli", "--database", "nothing://me:secret@host/a"], "nothing://me:***@host/a"),
    ],
)
def test_what_cannot_be_searched_is_said_with_exit_code_2(
    xlprompt, search_file, tmp_path, arguments, message
):
    result = xlprompt("search", search_file, "--mlruns", tmp_path / "mlruns", *arguments)
    assert result.exit_code == 2, result.output
    assert message in result.stderr


def test_a_search_file_that_is_not_there_is_named(xlprompt, tmp_path):
    result = xlprompt("search", tmp_path / "absent.yaml", "--task", "xnli")
    assert result.exit_code == 2
    assert "absent.yaml" in result.stderr
