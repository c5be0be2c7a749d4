"""Search files, whole searches with a tiny backbone, and what they leave behind."""

import io
import signal
import time
from pathlib import Path

import mlflow
import pytest
import yaml
from rich.console import Console
from small import MINI_TASKS, tiny_recipe, write_data
from studies import gone, start_command, workers_of

from xlprompt.data import TASKS
from xlprompt.studies.grid.grid import find_recipe
from xlprompt.studies.grid.ledger import Ledger
from xlprompt.studies.search.outcome import best_trial, verdict
from xlprompt.studies.search.search import run_search
from xlprompt.studies.search.space import SearchError, load_search, shipped_values
from xlprompt.studies.search.trials import Trial
from xlprompt.training.errors import RecipeError
from xlprompt.training.recipes.recipe import flatten, load_recipe, recipe_to_dict
from xlprompt.training.runs.train import train
from xlprompt.training.store.database import store_uri

EXPERIMENTS = Path(__file__).resolve().parents[3] / "experiments"
FILES = sorted(EXPERIMENTS.glob("*/search.yaml"))
RATE = "optimizer.learning_rate"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name)
def test_each_search_file_opens_with_its_commands_and_holds_every_recipes_values(path):
    make, command = (line.removeprefix("# ") for line in path.read_text().splitlines()[:2])
    assert make.startswith("make search TASK=xnli")
    assert command.startswith(f"xlprompt search experiments/{path.parent.name}/search.yaml --task xnli")
    search = load_search(path)
    assert list(search.methods) == ["prompt", "finetune"]
    for method in search.methods:
        space = search.space_of(method)
        assert ("prompt.length" in space) == (method == "prompt")
        for task in MINI_TASKS if path.parent.name == "mini" else TASKS:
            file = find_recipe(search.recipe, path, task, method)
            assert shipped_values(load_recipe(file), space, file).keys() == space.keys()


def test_the_papers_space_is_searched_at_its_scale():
    space = load_search(EXPERIMENTS / "paper" / "search.yaml").space_of("prompt")
    rate, length = space[RATE], space["prompt.length"]
    assert (rate.low, rate.high, rate.log) == (5e-5, 5e-2, True)
    assert (length.low, length.high, length.is_whole) == (8, 50, True)
    assert space["schedule.batch_size"] == (64, 128)


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"prompt.lenght": [4, 8]}, "no key prompt.lenght; the nearest is prompt.length"),
        ({"seed": [0, 1]}, "seed cannot be searched"),
        ({"data.limit": [10, 20]}, "data.limit cannot be searched"),
        ({"prompt.length": [4]}, "two values or more"),
        ({"prompt.length": {"low": 8, "high": 8}}, "low .8. must be less than high"),
        ({RATE: {"low": 0.0, "high": 1.0, "log": True}}, "low above zero"),
        ({RATE: {"low": 0.1, "hihg": 1.0}}, "hihg"),
    ],
)
def test_a_space_that_cannot_be_searched_is_refused(tmp_path, space, message):
    file = tmp_path / "search.yaml"
    file.write_text(yaml.safe_dump({"space": space, "methods": {"prompt": {}}}))
    with pytest.raises(RecipeError, match=message):
        load_search(file)


def trial(number, score, *, stderr=1.0, shipped=False, state="complete"):
    return Trial(number, state, {}, shipped, score, stderr, 10, 1.0, None)


def test_the_verdict_says_whether_the_best_is_better_by_more_than_a_standard_error():
    shipped = trial(0, 80.0, shipped=True)
    assert "Nothing beats the shipped recipe" in verdict([shipped, trial(1, 80.0), trial(2, 79.0)])
    assert "within one standard error" in verdict([shipped, trial(1, 80.9)])
    better = verdict([shipped, trial(1, 82.0), trial(2, 99.0, state="pruned")])
    assert "Best: trial 1, 82.0 ± 1.0" in better
    assert "more than one standard error" in better
    assert "other seeds" in better
    assert "no score to compare" in verdict([trial(0, None, shipped=True, state="diverged"), trial(1, 50.0)])
    assert best_trial([trial(0, None, state="running")]) is None


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture
def file(tmp_path, tiny_xglm, data):
    """A search file with a tiny recipe beside it."""
    recipe = tiny_recipe("xnli", tiny_xglm, data)
    (tmp_path / "xnli-prompt.yaml").write_text(yaml.safe_dump(recipe_to_dict(recipe)))
    values = {
        "trials": 3,
        "startup_trials": 2,
        "space": {RATE: {"low": 1e-4, "high": 1e-1, "log": True}, "schedule.batch_size": [4, 8]},
        "methods": {"prompt": {"prompt.length": {"low": 2, "high": 6}}},
        "executor": {"workers": 0, "gpus": 0},
    }
    path = tmp_path / "search.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


@pytest.fixture
def call(file, store, tmp_path):
    def run(**options):
        console = Console(file=io.StringIO(), width=120)
        options = {"task": "xnli", "method": "prompt", "out": tmp_path / "best", **options}
        return run_search(file, store=store, console=console, **options), console.file.getvalue()

    return run


def runs_of(store):
    client = mlflow.MlflowClient(tracking_uri=store_uri(store))
    experiment = client.get_experiment_by_name("xnli")
    runs = client.search_runs([experiment.experiment_id], max_results=1000) if experiment else []
    return (
        client,
        [run for run in runs if run.data.tags["job"] == "search"],
        [run for run in runs if run.data.tags["job"] == "trial"],
    )


@pytest.mark.integration
def test_a_search_leaves_a_run_with_its_trials_below_and_the_best_as_a_recipe(
    call, store, file, tiny_xglm, tmp_path
):
    result, shown = call()
    assert result.finished
    assert "3 trials of 8 steps at most; 0 done, 3 to run" in shown
    client, (parent,), trials = runs_of(store)
    assert (parent.info.status, parent.info.run_id) == ("FINISHED", result.run_id)
    assert len(trials) == 3
    assert {run.data.tags["mlflow.parentRunId"] for run in trials} == {parent.info.run_id}
    assert {run.info.run_id for run in trials} == {each.run_id for each in result.trials}
    assert parent.data.metrics["trials"] == 3
    assert parent.data.metrics["best/accuracy"] == result.best.score >= result.shipped.score
    files = {each.path for each in client.list_artifacts(parent.info.run_id)}
    assert files >= {"history.png", "steps.png", "slices.png", "trials.txt", "trials.json", "search.yaml"}
    assert f"xnli-prompt-{tiny_xglm.name}.yaml" in files

    for run in trials:
        assert run.info.status == "FINISHED"
        assert not [key for key in run.data.metrics if key.startswith("test/")]
        assert not run.outputs.model_outputs
    # No run of a study, of a report, or to be gone on with.
    assert Ledger(store).training_runs(["xnli"]) == []
    assert not list(store.glob("training-states/*"))

    assert result.recipe == tmp_path / "best" / f"xnli-prompt-{tiny_xglm.name}.yaml"
    best = flatten(load_recipe(result.recipe))
    assert {key: best[key] for key in result.best.values} == result.best.values
    shipped = flatten(load_recipe(file.parent / "xnli-prompt.yaml"))
    assert {key for key in best if best[key] != shipped[key]} <= result.best.values.keys()
    opening = result.recipe.read_text()
    assert opening.startswith(f"# xlprompt train {result.recipe}\n")
    assert f"xlprompt search {file} --task xnli --method prompt" in opening

    again, shown = call()
    assert [each.number for each in again.trials] == [0, 1, 2]
    assert "3 done, 0 to run" in shown
    assert runs_of(store)[1][0].info.end_time == parent.info.end_time
    more, _ = call(search_overrides={"trials": 4})
    assert [each.number for each in more.trials] == [0, 1, 2, 3]
    client, (parent,), trials = runs_of(store)
    assert (parent.info.status, parent.data.metrics["trials"], len(trials)) == ("FINISHED", 4, 4)


@pytest.mark.integration
def test_the_first_trial_scores_what_a_run_of_the_recipe_does_on_the_development_set(
    call, store, file, tmp_path
):
    result, _ = call(search_overrides={"trials": 1})
    recipe = load_recipe(file.parent / "xnli-prompt.yaml")
    run = train(recipe, store=store, console=Console(file=io.StringIO()))
    assert result.shipped.score == run.fit.best_score
    assert result.shipped.stderr > 0
    assert "Nothing beats the shipped recipe" in result.verdict


@pytest.mark.integration
def test_what_the_command_line_changes_is_part_of_the_search_and_of_its_recipe(call, store):
    overrides = {"schedule.steps": 4, "data.limit": 20}
    first, _ = call(search_overrides={"trials": 1}, recipe_overrides=overrides)
    other, _ = call(search_overrides={"trials": 1}, recipe_overrides={"schedule.steps": 4})
    assert first.study != other.study
    assert len(runs_of(store)[1]) == 2
    call(search_overrides={"trials": 1}, recipe_overrides=overrides)
    values = flatten(load_recipe(other.recipe))
    assert (values["schedule.steps"], values["data.limit"]) == (4, 20)


@pytest.mark.integration
def test_a_searchs_engine_trains_its_full_fine_tuning(call, store, file):
    recipe = load_recipe(file.parent / "xnli-prompt.yaml", {"method": "finetune", "schedule.steps": 4})
    (file.parent / "xnli-finetune.yaml").write_text(yaml.safe_dump(recipe_to_dict(recipe)))
    executor = {"workers": 0, "gpus": 0, "engine": "torch"}
    overrides = {"trials": 1, "methods": {"finetune": {}}, "executor": executor}
    call(method="finetune", search_overrides=overrides)
    assert [run.data.params["engine"] for run in runs_of(store)[2]] == ["torch"]


@pytest.mark.integration
def test_a_trial_that_diverges_is_a_failed_run_of_a_search_that_goes_on(call, store, file):
    recipe = file.parent / "xnli-prompt.yaml"
    values = yaml.safe_load(recipe.read_text())
    values["optimizer"] |= {"learning_rate": 1e30, "clip_norm": None}
    recipe.write_text(yaml.safe_dump(values))
    space = yaml.safe_load(file.read_text())
    space["space"] = {RATE: [1e30, 1e-3]}
    space["methods"] = {"prompt": {}}
    file.write_text(yaml.safe_dump(space))
    result, shown = call()
    assert [each.state for each in result.trials] == ["diverged", "complete"]  # there are no more values
    assert "no score to compare" in result.verdict
    assert sorted(run.info.status for run in runs_of(store)[2]) == ["FAILED", "FINISHED"]


@pytest.mark.integration
def test_an_error_ends_the_search_as_failed_and_the_same_call_goes_on(call, store, monkeypatch):
    def fail(*arguments, **options):
        raise OSError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("xlprompt.training.runs.opened.fit", fail)
        result, _ = call()
    assert not result.finished
    assert "worker 1: OSError: the disk is full" in result.failures[0]
    _, (parent,), (lost,) = runs_of(store)
    assert (parent.info.status, lost.info.status) == ("FAILED", "FAILED")
    assert "disk is full" in parent.data.tags["error"]
    result, _ = call()
    assert (result.finished, result.shipped.shipped) == (True, True)
    _, (parent,), _ = runs_of(store)
    assert parent.info.status == "FINISHED"
    assert "error" not in parent.data.tags


def test_a_recipe_that_does_not_lie_in_the_space_is_named(call):
    with pytest.raises(
        RecipeError, match=f"{RATE}: the recipe's own value 0.5 does not lie in 0.0001 to 0.1"
    ):
        call(recipe_overrides={RATE: 0.5})


def test_a_method_that_the_file_does_not_have_is_named(call):
    with pytest.raises(SearchError, match="has no method 'lora'; it has prompt"):
        call(method="lora")


def wait_for(condition, *processes):
    while not condition():
        for process in processes:
            assert process.poll() is None, process.stdout.read()
        time.sleep(0.2)


def check_whole(store, file, trials):
    """That many different trials, each of them a finished run under one parent, however it came to that."""
    console = Console(file=io.StringIO())
    result = run_search(
        file,
        task="xnli",
        method="prompt",
        store=store,
        console=console,
        out=store / "best",
        search_overrides={"trials": trials, "executor.workers": 0},
    )
    assert "0 to run" in console.file.getvalue()
    assert (result.finished, len(result.trials)) == (True, trials)
    assert len({tuple(each.values.values()) for each in result.trials}) == trials
    assert sum(each.shipped for each in result.trials) == 1
    _, (parent,), runs = runs_of(store)
    assert parent.info.status == "FINISHED"
    finished = {run.info.run_id for run in runs if run.info.status == "FINISHED"}
    assert finished == {each.run_id for each in result.trials}
    assert {run.info.status for run in runs} <= {"FINISHED", "KILLED"}


@pytest.mark.slow
def test_processes_that_share_a_database_run_exactly_the_trials_that_were_asked_for_none_twice(
    file, store, tmp_path
):
    """Two processes in one call and one in another, over a space so small that draws meet."""
    values = yaml.safe_load(file.read_text())
    values["space"] = {"schedule.batch_size": [4, 8]}
    values["methods"] = {"prompt": {"prompt.length": {"low": 2, "high": 6}}}
    file.write_text(yaml.safe_dump(values))
    options = ("--task", "xnli", "--trials", "9", "--out", str(tmp_path / "best"))
    calls = [start_command("search", file, store, *options, "--workers", count) for count in ("2", "1")]
    outputs = [call.communicate(timeout=400)[0] for call in calls]
    assert [call.returncode for call in calls] == [0, 0], outputs
    assert any("Train it: xlprompt train" in output for output in outputs)
    check_whole(store, file, 9)


@pytest.mark.slow
def test_a_search_that_is_interrupted_or_loses_a_worker_ends_with_all_its_trials(file, store, tmp_path):
    recipe = file.parent / "xnli-prompt.yaml"
    values = yaml.safe_load(recipe.read_text())
    values["schedule"] |= {"steps": 300, "evaluate_every": 50}
    recipe.write_text(yaml.safe_dump(values))
    options = ("--task", "xnli", "--trials", "4", "--workers", "2", "--out", str(tmp_path / "best"))

    def running():
        return [run for run in runs_of(store)[2] if run.info.status == "RUNNING"]

    process = start_command("search", file, store, *options)
    wait_for(lambda: len(running()) == 2, process)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=180)
    assert process.returncode == 130, output
    assert "The same command goes on" in output
    _, (parent,), trials = runs_of(store)
    assert {run.info.status for run in [parent, *trials]} == {"KILLED"}

    process = start_command("search", file, store, *options)
    wait_for(lambda: len(running()) == 2, process)
    workers = workers_of(process, "xlprompt.studies.search.worker")
    assert len(workers) == 2
    workers[0].kill()
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert "its process died (SIGKILL" in output
    assert gone(workers, 10)
    check_whole(store, file, 4)
