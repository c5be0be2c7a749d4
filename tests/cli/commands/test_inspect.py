"""`xlprompt inspect` says where stored runs err, against English and against each other."""

import io
import json
import shutil

import pytest
from rich.console import Console
from small import SIZES, tiny_recipe, write_data

from xlprompt.training import train

pytestmark = pytest.mark.integration

PROMPT, HEAD = "xnli-prompt", "xnli-head"


@pytest.fixture(scope="module")
def runs(tiny_xglm, tmp_path_factory):
    """A store with a run of each of two methods, the names of the runs, and the folder of their data."""
    folder = tmp_path_factory.mktemp("inspected")
    store, data = folder / "mlruns", write_data(folder / "data")
    names = []
    for method in ("prompt", "head"):
        recipe = tiny_recipe(
            "xnli", tiny_xglm, data, method=method, schedule={"steps": 2, "evaluate_every": 2}
        )
        names.append(train(recipe, store=store, console=Console(file=io.StringIO())).run_name)
    return store, names, data


def test_the_answer_comes_first_and_tables_follow(xlprompt, runs):
    store, (prompt, _), _ = runs
    result = xlprompt("inspect", prompt, "--mlruns", store)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith(f"{prompt} errs most in ")
    text = " ".join(result.stdout.split())
    assert "where it errs" in text
    assert "labels given, and true" in text
    assert "Swahili (sw)" in text


def test_against_another_run_flips_are_shown_with_their_texts(xlprompt, runs):
    store, (prompt, head), data = runs
    options = ("inspect", prompt, "--against", head, "--mlruns", store)
    found = json.loads(xlprompt(*options, "--json").stdout)
    flips = found["flips"]["examples"]
    counts = found["flips"]["languages"]
    assert sum(each["first"] + each["second"] for each in counts) == len(flips) > 0
    assert {each["both"] + each["first"] + each["second"] + each["neither"] for each in counts} == {
        SIZES["test"]
    }
    first = flips[0]
    row = (data / "xnli" / f"{first['language']}.test.jsonl").read_text().splitlines()[first["place"]]
    text = " ".join(xlprompt(*options, "--examples", 1).stdout.split())
    assert f"{prompt} " in text
    assert json.loads(row)["premise"].split()[0] in text


def test_what_the_model_is_surest_of_comes_with_its_probability(xlprompt, runs):
    store, (prompt, _), _ = runs
    options = ("--confident", 3, "--language", "de", "--mlruns", store)
    told = json.loads(xlprompt("inspect", prompt, *options, "--json").stdout)
    found = told["confident"]
    assert [each["language"] for each in found] == ["de"] * 3
    assert [(each["place"], len(each["texts"])) for each in told["texts"]] == [
        (each["place"], 2) for each in found
    ]
    assert [each["probability"] for each in found] == sorted(
        (each["probability"] for each in found), reverse=True
    )
    for each in found:
        assert each["right"] != each["given"]
        assert 1 / 3 <= each["probability"] <= 1


def test_where_the_data_are_gone_counts_stay_and_texts_are_said_to_be_missing(xlprompt, runs, tmp_path):
    store, (prompt, head), data = runs
    moved = shutil.copytree(data, tmp_path / "moved")
    for file in (moved / "xnli").glob("*.test.jsonl"):
        file.write_text("".join(reversed(file.read_text().splitlines(keepends=True))))
    result = xlprompt("inspect", prompt, "--against", head, "--data", moved, "--mlruns", store)
    assert result.exit_code == 0, result.stderr
    assert "Texts are not shown" in " ".join(result.stdout.split())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--examples", 3), "add --against RUN2"),
        (("--device", "cpu"), "add --confident N"),
        (("--split", "validation"), "has no predictions of a validation set"),
        (("--language", "fr"), "has no test predictions of fr"),
    ],
)
def test_what_would_not_be_used_or_is_not_there_is_refused(xlprompt, runs, options, said):
    store, (prompt, _), _ = runs
    result = xlprompt("inspect", prompt, *options, "--mlruns", store)
    assert result.exit_code == 2
    assert said in result.stderr
