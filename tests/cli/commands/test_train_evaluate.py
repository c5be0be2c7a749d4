import json
import re
import signal
import subprocess
import sys

import pytest

from xlprompt.data import TASKS

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("store") / "mlruns"


@pytest.fixture(scope="module")
def trained(xlprompt, recipe_file, store):
    options = ("--seed", 3, "--set", "prompt.std=0.5", "--json")
    result = xlprompt("train", recipe_file, "--mlruns", store, *options)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_json_of_a_run_holds_budget_course_and_scores(trained):
    assert set(trained["report"]["results"]) == {"en", "de"}
    assert trained["fit"]["steps"] == 4
    assert trained["budget"]["trainable_params"] > 0
    assert trained["cost"]["peak_memory_bytes"] > 0


def test_options_reach_the_stored_recipe(trained, store):
    from mlflow import MlflowClient

    from xlprompt.training import store_uri

    run = MlflowClient(store_uri(store)).get_run(trained["run_id"])
    assert run.info.status == "FINISHED"
    assert run.data.params["seed"] == "3"
    assert run.data.params["prompt.std"] == "0.5"


def test_a_run_can_be_scored_again_by_its_id(xlprompt, trained, store):
    result = xlprompt("evaluate", trained["run_id"], "--mlruns", store, "--languages", "de", "--json")
    assert result.exit_code == 0, result.output
    scores = json.loads(result.stdout)["results"]
    assert set(scores) == {"de"}
    assert scores["de"]["scores"] == trained["report"]["results"]["de"]["scores"]


def test_export_says_how_the_evaluator_is_called(xlprompt, trained, store, tmp_path):
    arguments = ("export", trained["run_id"], "--format", "xtreme", "--to", tmp_path, "--mlruns", store)
    result = xlprompt(*arguments)
    assert result.exit_code == 0, result.output
    assert f"evaluate.py --prediction_folder {tmp_path}/predictions" in result.stdout
    assert "Note: evaluate.py stops at a language that is not there" in result.stdout
    found = json.loads(xlprompt(*arguments, "--json").stdout)
    assert len(found["files"]) == 4
    assert xlprompt(*arguments[:3], "conll", *arguments[4:]).exit_code == 2


@pytest.fixture(scope="module")
def aligned(xlprompt, trained, store):
    options = ("--mlruns", store, "--align", "mean,mean_scale", "--align-sentences", "4,8", "--json")
    result = xlprompt("evaluate", trained["run_id"], *options)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_an_evaluation_with_alignment_gives_scores_by_kind_and_a_curve(aligned, trained):
    assert aligned["results"] == trained["report"]["results"]
    assert list(aligned["aligned"]) == ["mean", "mean_scale"]
    assert set(aligned["aligned"]["mean"]["results"]) == {"en", "de"}
    assert list(aligned["sweep"]["mean"]) == ["4", "8"]


def test_the_predictions_of_all_that_is_swept_are_kept(aligned, store):
    kept = {path.name for path in store.glob("artifacts/*/artifacts/predictions-*")}
    assert {"predictions-mean-head-4", "predictions-mean", "predictions-mean_scale-head-4"} <= kept
    assert "predictions-mean-head-8" not in kept  # the last one counts, under its kind's name


def test_what_alignment_gains_is_laid_out_by_language(xlprompt, aligned, store):
    result = xlprompt("analyze", "alignment", "--mlruns", store, "--task", "xnli")
    assert result.exit_code == 0, result.output
    assert "mean_scale" in result.stdout
    assert "German (de)" in result.stdout
    as_json = xlprompt("analyze", "alignment", "--mlruns", store, "--json")
    assert [gain["kind"] for gain in json.loads(as_json.stdout)["gains"]] == ["mean", "mean_scale"]


def test_new_text_is_labelled_by_arguments_file_and_stream(xlprompt, trained, store, xnli_folder, tmp_path):
    call = ("predict", trained["run_id"], "--mlruns", store)
    shown = xlprompt(*call, "A man [b]sleeps[/b].", "book book", "--language", "de")
    assert shown.exit_code == 0, shown.output
    assert "[b]sleeps[/b]" in shown.stdout  # text is no markup
    assert "xnli · de" in shown.stdout

    out = tmp_path / "out.jsonl"
    written = xlprompt(*call, "--file", xnli_folder / "xnli" / "de.test.jsonl", "--out", out)
    assert written.stdout == f"{out}\n"
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    right = sum(row["label"] == TASKS["xnli"].labels[number % 3] for number, row in enumerate(rows))
    accuracy = trained["report"]["results"]["de"]["scores"]["accuracy"]["value"]
    assert 100 * right / len(rows) == pytest.approx(accuracy)

    piped = xlprompt(*call, "--file", "-", "--json", input=f"{'man ' * 300}\tbook\nman\tbook\n")
    assert [json.loads(line)["cut"] for line in piped.stdout.splitlines()] == [True, False]
    assert "1 of 2 longer than the 64 tokens" in piped.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "The model is for xnli: give two texts, or --file"),
        (("A",), "1 text where xnli takes two"),
        (("--premise", "A"), "give both"),
        (("A", "B", "--file", "some.tsv"), "one of them"),
        (("--file", "absent.tsv"), "absent.tsv: cannot be read"),
    ],
)
def test_text_that_cannot_be_labelled_is_said_with_exit_code_2(xlprompt, trained, store, arguments, message):
    result = xlprompt("predict", trained["run_id"], "--mlruns", store, *arguments)
    assert result.exit_code == 2, result.output
    assert message in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--align", "mena"), "mean_scale"),
        (("--align", "mean", "--align-sentences", "some"), "numbers above zero"),
        (("--align", "mean", "--align-layer", "0"), "numbers above zero"),
        (("--align-layer", "2"), "add --align"),
    ],
)
def test_a_wrong_alignment_is_said_with_exit_code_2(xlprompt, trained, store, arguments, message):
    result = xlprompt("evaluate", trained["run_id"], "--mlruns", store, *arguments)
    assert result.exit_code == 2, result.output
    assert message in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--limit", "5"), "--limit says what to score, which is done with --sweep only"),
        (("--align-layer", "2"), "--align-layer says"),
        (("--sweep", "--align", "mena"), "no alignment 'mena'; the kinds are mean, mean_scale"),
        (("--sweep", "--task", "xnli"), "no finished run of a study"),
    ],
)
def test_a_wrong_sweep_over_a_study_is_said_with_exit_code_2(xlprompt, trained, store, arguments, message):
    result = xlprompt("analyze", "alignment", "--mlruns", store, *arguments)
    assert result.exit_code == 2, result.output
    assert message in " ".join(result.stderr.split())


def test_a_run_ends_with_how_to_go_on(xlprompt, recipe_file, store):
    options = ("--steps", 2, "--limit", 8, "--languages", "en")
    result = xlprompt("train", recipe_file, "--mlruns", store, *options)
    assert result.exit_code == 0, result.output
    assert "German" not in result.stdout
    assert "Score it again: xlprompt evaluate " in result.stdout
    assert f"Look at it: xlprompt ui --mlruns {store}" in result.stdout
    assert re.search(r"^Where the time went: imports \d+ %", result.stdout, re.M)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "prompt.lenght=3"], "prompt.length"),
        (["--set", "prompt.length"], "KEY=VALUE"),
        (["--learning-rate", "-1"], "optimizer.learning_rate"),
        (["--scheme", "layer"], "prompt.scheme"),
        (["--data", "no/such/folder"], "no/such/folder"),
        (["--model", "no/such-model"], "no/such-model"),
        (["--languages", "en,xx"], "xx"),
        (["--device", "quantum"], "quantum"),
    ],
)
def test_what_cannot_run_is_said_with_exit_code_2(xlprompt, recipe_file, tmp_path, arguments, message):
    result = xlprompt("train", recipe_file, "--mlruns", tmp_path, *arguments)
    assert result.exit_code == 2, result.output
    assert message in result.stderr


def test_a_recipe_that_is_not_there_is_named(xlprompt, tmp_path):
    result = xlprompt("train", tmp_path / "absent.yaml")
    assert result.exit_code == 2
    assert "absent.yaml" in result.stderr


def test_a_run_id_that_the_store_does_not_have_is_named(xlprompt, store, trained):
    result = xlprompt("evaluate", "0" * 32, "--mlruns", store)
    assert result.exit_code == 2
    assert "0" * 32 in result.stderr


def test_ctrl_c_ends_a_run_as_killed_with_exit_code_130(recipe_file, tmp_path):
    from mlflow import MlflowClient

    from xlprompt.training import store_uri

    call = [sys.executable, "-c", "from xlprompt.cli.main import main; main()"]
    call += ["train", str(recipe_file), "--mlruns", str(tmp_path), "--steps", "1000000"]
    process = subprocess.Popen(
        call, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    for line in process.stdout:
        if line.startswith("step"):  # training is under way
            break
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.splitlines()[-1] == "Interrupted."
    assert "Traceback" not in errors
    client = MlflowClient(store_uri(tmp_path))
    (run,) = client.search_runs([client.get_experiment_by_name("xnli").experiment_id])
    assert run.info.status == "KILLED"


def test_runs_are_listed_with_their_scores_and_found_by_name_and_beginning_of_id(xlprompt, trained, store):
    listed = json.loads(xlprompt("runs", "--mlruns", store, "--json").stdout)
    (run,) = [each for each in listed if each["run"] == trained["run_id"]]  # other tests train in it, too
    assert run["name"] == trained["run_name"]
    assert run["score"] == trained["report"]["results"]["en"]["scores"]["accuracy"]["value"]
    for which in (run["name"], run["run"][:6]):
        options = ("--mlruns", store, "--json")
        result = xlprompt("predict", which, "The man.", "book", *options)
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)["label"] in TASKS["xnli"].labels
    result = xlprompt("predict", "xnli", "The man.", "book", "--mlruns", store)
    assert (result.exit_code, run["name"] in result.output) == (2, True)


def test_the_table_of_runs_is_whole_on_a_narrow_terminal(xlprompt, trained, store):
    result = xlprompt("runs", "--mlruns", store, env={"COLUMNS": "80"})
    assert result.exit_code == 0, result.output
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert "…" not in result.stdout
    assert trained["run_id"][:8] in result.stdout
    assert "See where one errs: xlprompt inspect " in result.stderr
    none = xlprompt("runs", "--mlruns", store, "--task", "pos")
    assert (none.exit_code, none.output) == (0, "No such run in this store.\n")


def test_runs_of_a_misspelled_task_are_no_empty_table_and_runs_that_are_not_listed_are_told(
    xlprompt, trained, store
):
    refused = xlprompt("runs", "--mlruns", store, "--task", "xnlli")
    assert refused.exit_code == 2
    assert "no task is called 'xnlli'. Did you mean xnli? Runs are of: " in refused.stderr
    from xlprompt.training.store.database import open_client

    client = open_client(store)
    experiment = client.get_run(trained["run_id"]).info.experiment_id
    assert "lists more" not in xlprompt("runs", "--mlruns", store).stderr
    another = client.create_run(experiment, tags={"job": "train", "task": "xnli"})
    cut = xlprompt("runs", "--mlruns", store, "--limit", "1")
    client.delete_run(another.info.run_id)
    assert "Older runs are not listed: --limit 5 lists more." in cut.stderr
