"""A task of the user's own by the real commands: from an empty folder to a report."""

import json
from pathlib import Path

import pytest

from xlprompt.training.serving.messages import TaskEntry
from xlprompt.training.serving.shelf import load_shelf

EXPERIMENTS = Path(__file__).parents[3] / "experiments" / "mini"
GRANULARITY = EXPERIMENTS.parent / "granularity" / "mini.yaml"
SHORT = ("--set", "schedule.steps=4", "--set", "schedule.evaluate_every=2", "--set", "encoding.max_length=64")

pytestmark = pytest.mark.integration


def test_a_task_of_three_labels_and_languages_comes_from_an_empty_folder_to_a_report_in_five_commands(
    xlprompt, tiny_xglm, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    model = ("--model", tiny_xglm, "--data", "topics", *SHORT)
    said = []
    for arguments in (
        ("data", "new", "topics"),
        ("data", "check", "topics"),
        ("train", EXPERIMENTS / "own-prompt.yaml", *model, "--json"),
        ("study", EXPERIMENTS / "study.yaml", "--tasks", "own", *model, "--seeds", 1, "--workers", 1),
        ("report", "--out", "report"),
    ):
        result = xlprompt(*arguments)
        assert result.exit_code == 0, result.output
        said.append(result.stdout)
    assert "3 labels (food, sport, weather)" in said[1]
    trained = json.loads(said[2])
    assert set(trained["report"]["results"]) == {"en", "de", "pl"}
    report = (tmp_path / "report" / "report.md").read_text()
    assert "Tasks topics." in report
    assert "| Polish (pl) | unknown |" in report

    for arguments in (
        ("tokenization", "--model", tiny_xglm, "--data", "topics", "--task", "own"),
        ("granularity", GRANULARITY, "--tasks", "topics", "--shares", "0,1", "--languages", "de,pl"),
    ):
        analyzed = xlprompt("analyze", *arguments)
        assert analyzed.exit_code == 0, analyzed.output
        assert "topics" in analyzed.stdout

    (tmp_path / "topics").rename(tmp_path / "elsewhere")
    predicted = xlprompt("predict", trained["run_id"], "some soup", "--json")
    assert predicted.exit_code == 0, predicted.output
    assert set(json.loads(predicted.stdout)["probabilities"]) == {"food", "sport", "weather"}
    refused = xlprompt("predict", trained["run_id"], "--premise", "some soup")
    assert "the model is for topics: give a text without them" in " ".join(refused.stderr.split())
    (served,) = load_shelf([trained["run_id"]], Path("mlruns"))
    assert [each.code for each in TaskEntry.of(served).languages] == ["en", "de", "pl"]
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "ha.test.csv").write_text("text,label\nmiya,food\n")  # not all labels, no training
    scored = xlprompt("evaluate", trained["run_id"], "--data", "new", "--json")
    assert scored.exit_code == 0, scored.output
    assert '"ha"' in scored.stdout


def test_a_language_is_aligned_by_text_that_has_no_labels(xlprompt, tiny_xglm, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert xlprompt("data", "new", "topics").exit_code == 0
    model = ("--model", tiny_xglm, "--data", "topics", *SHORT)
    trained = xlprompt("train", EXPERIMENTS / "own-prompt.yaml", *model, "--json")
    run = json.loads(trained.stdout)["run_id"]
    assert xlprompt("evaluate", run, "--align", "mean", "--languages", "en,de").exit_code == 0
    predict = ("predict", run, "Am Abend gibt es Suppe.", "--align", "mean", "--language", "de")
    refused = xlprompt(*predict)
    assert refused.exit_code
    advice = " ".join(refused.output.split())
    assert "a development set of 'de', which needs no labels, and scores a test set, which does" in advice

    texts = [line.split(",")[0] for line in Path("topics/de.test.csv").read_text().splitlines()[1:]]
    Path("topics/de.dev.csv").write_text(
        "text\n" + "".join(f"Ja, {text}\n".replace(",", "") for text in texts)
    )
    checked = xlprompt("data", "check", "topics")
    assert checked.exit_code == 0, checked.output
    assert "topics de validation: no labels; it serves alignment alone" in checked.stdout
    scored = xlprompt("evaluate", run, "--align", "mean", "--languages", "de", "--json")
    assert scored.exit_code == 0, scored.output
    assert set(json.loads(scored.stdout)["aligned"]["mean"]["results"]) == {"de"}
    assert xlprompt(*predict).exit_code == 0


def test_a_tokenizer_is_asked_about_an_own_task_only_where_there_is_one(xlprompt):
    result = xlprompt("analyze", "tokenization", "--task", "own")
    assert result.exit_code
    assert (
        "--task own is the task that a data folder is, and mini is no folder of an own task" in result.output
    )


def test_the_task_that_a_folder_is_needs_a_folder_that_is_one(xlprompt, xnli_folder, tmp_path):
    recipe = EXPERIMENTS / "own-prompt.yaml"
    for data, message in (
        ((), "task: 'own' is the task that a data folder is, and data.source is null. Give a folder"),
        (("--data", "mini"), "data.source is mini"),
        (("--data", xnli_folder), "holds xnli, and no task of your own. Name the task"),
        (("--data", tmp_path / "nowhere"), "there is no such folder"),
    ):
        result = xlprompt("train", recipe, *data, "--mlruns", tmp_path / "mlruns")
        assert result.exit_code
        assert message in result.output


@pytest.mark.parametrize(
    "command",
    [
        ("train", EXPERIMENTS / "xnli-prompt.yaml"),
        ("train", EXPERIMENTS / "xnli-zeroshot.yaml"),
        ("study", EXPERIMENTS / "study.yaml", "--tasks", "xnli", "--dry-run"),
    ],
)
def test_where_the_folder_is_a_task_of_ones_own_and_another_is_asked_for_that_is_said(
    xlprompt, tmp_path, monkeypatch, command
):
    monkeypatch.chdir(tmp_path)
    assert xlprompt("data", "new", "topics").exit_code == 0
    refused = xlprompt(*command, "--data", "topics")
    assert refused.exit_code == 2
    assert "is a task of your own, 'topics', and no xnli. Take the task own (recipe own-" in refused.stderr
