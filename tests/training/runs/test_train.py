import io
import json
import os
import shutil
import signal
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import mlflow
import pytest
import torch
import yaml
from rich.console import Console
from safetensors import SafetensorError
from small import loss_of_folder, tiny_recipe, write_data

from xlprompt.data import TASKS, DataError
from xlprompt.data.sources import open_source
from xlprompt.evaluation import load_predictions
from xlprompt.training import RunError, TrackingError, TrainingDiverged, evaluate, load_recipe, train
from xlprompt.training.errors import CheckpointError
from xlprompt.training.inputs.preparation import choose_device
from xlprompt.training.recipes.recipe import fingerprint, recipe_from_dict
from xlprompt.training.store.checkpoint import load_checkpoint
from xlprompt.training.store.database import store_uri
from xlprompt.training.store.interrupted import LATEST
from xlprompt.training.store.labels import run_name
from xlprompt.training.store.mlflow_tracker import MlflowTracker
from xlprompt.training.store.training_state import saved_steps

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("runs") / "mlruns"


@pytest.fixture
def client(store):
    return mlflow.MlflowClient(tracking_uri=store_uri(store))


@pytest.fixture(scope="module")
def console():
    return Console(file=io.StringIO(), width=100)


@pytest.fixture(scope="module")
def trained(tiny_xglm, data, store, console, module_cache):
    """One run of XNLI that several tests look at."""
    recipe = tiny_recipe("xnli", tiny_xglm, data, backbone_dropout="pretrained")
    return recipe, train(recipe, store=store, console=console, recipe_path=Path(__file__))


@pytest.fixture(scope="module")
def module_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XLPROMPT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def text_of(console: Console) -> str:
    return console.file.getvalue()


def test_a_run_scores_every_language_of_the_source(trained):
    _, result = trained
    assert list(result.report.results) == ["en", "de", "sw"]
    assert {each.examples for each in result.report.results.values()} == {20}
    assert result.report.zero_shot_languages == ("de", "sw")
    assert result.fit.steps == 8


def test_what_will_run_is_said_before_it_starts_and_the_scores_after(trained, console):
    _, result = trained
    said = text_of(console)
    plan, _, rest = said.partition("store")
    assert f"{result.budget.trainable_params:,} of {result.budget.total_params:,} parameters" in plan
    assert "48 training" in plan
    assert "8 steps of 8 sequences" in plan
    assert "cpu" in plan
    assert "step 8/8" in rest
    assert "test 3/3  sw" in rest
    assert "zero-shot mean" in rest


def test_the_store_tells_how_the_run_was_made(trained, client):
    recipe, result = trained
    run = client.get_run(result.run_id)
    params, tags = run.data.params, run.data.tags
    assert (run.info.status, run.info.run_name) == ("FINISHED", run_name(recipe))
    assert client.get_experiment(run.info.experiment_id).name == "xnli"
    assert params["schedule.steps"] == "8"
    assert params["trainable_params"] == str(result.budget.trainable_params)
    assert params["total_params"] == str(result.budget.total_params)
    assert float(params["trainable_percent"]) == pytest.approx(result.budget.trainable_percent, rel=5e-3)
    assert {"trainable_percent_no_embeddings", "backbone_fingerprint"} <= params.keys()
    assert {"data_fingerprint.train", "data_fingerprint.validation"} <= params.keys()
    assert (tags["method"], tags["task"], tags["job"]) == ("prompt", "xnli", "train")
    assert tags["recipe_fingerprint"] == fingerprint(recipe)
    assert tags["version.torch"] == version("torch")


def test_the_store_holds_the_curves_and_the_scores_by_language(trained, client):
    _, result = trained
    metrics = client.get_run(result.run_id).data.metrics
    assert result.report.metrics().items() <= metrics.items()
    assert {
        "test/accuracy/sw",
        "test/accuracy/mean_zero_shot",
        "test/accuracy/transfer_gap",
    } <= metrics.keys()
    history = client.get_metric_history(result.run_id, "validation/accuracy/en")
    assert [(point.step, point.value) for point in history] == list(result.fit.curve)
    assert {
        "train/loss",
        "train/learning_rate",
        "train/tokens_per_second",
        "cost/peak_memory_mib",
    } <= metrics.keys()


def test_the_store_tells_what_the_time_went_into(trained, client):
    _, result = trained
    metrics = client.get_run(result.run_id).data.metrics
    phases = {name: value for name, value in metrics.items() if name.startswith("cost/seconds/")}
    named = ("data", "encoding", "model", "losses_before", "training", "development", "test", "losses_after")
    assert {f"cost/seconds/{phase}" for phase in (*named, "storing", "rest")} <= phases.keys()
    assert sum(phases.values()) == pytest.approx(metrics["cost/total_seconds"])
    assert phases["cost/seconds/training"] == pytest.approx(metrics["cost/train_seconds"], rel=0.01, abs=0.01)


def test_the_store_tells_what_training_made_the_model_forget(trained, client):
    recipe, result = trained
    metrics = client.get_run(result.run_id).data.metrics
    before = loss_of_folder(recipe.model, recipe)
    assert metrics["language_model/before/de"] == pytest.approx(before, rel=1e-6)
    change = metrics["language_model/after/de"] - metrics["language_model/before/de"]
    assert metrics["language_model/change/de"] == pytest.approx(change) != 0
    others = [metrics[f"language_model/change/{language}"] for language in ("de", "sw")]
    assert metrics["language_model/change/mean_zero_shot"] == pytest.approx(sum(others) / 2)


def test_the_store_ties_scores_to_data_sets_and_to_the_model(trained, client):
    _, result = trained
    run = client.get_run(result.run_id)
    contexts = {
        each.dataset.name: tag.value
        for each in run.inputs.dataset_inputs
        for tag in each.tags
        if "context" in tag.key
    }
    assert contexts == {
        "xnli-en-train": "train",
        "xnli-en-validation": "validation",
        "xnli-en-test": "test-en",
        "xnli-de-test": "test-de",
        "xnli-sw-test": "test-sw",
    }
    (output,) = run.outputs.model_outputs
    assert output.step == result.fit.best_step
    scored = {metric.key: metric.dataset_name for metric in client.get_logged_model(output.model_id).metrics}
    assert scored["test/accuracy/sw"] == "xnli-sw-test"
    assert scored["test/accuracy/mean_zero_shot"] is None


def test_the_store_holds_table_chart_report_recipe_environment_and_predictions(trained, store):
    recipe, result = trained
    artifacts = store / "artifacts" / result.run_id / "artifacts"
    assert "Swahili" in (artifacts / "scores.txt").read_text()
    assert (artifacts / "scores.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((artifacts / "report.json").read_text())["results"].keys() == {"en", "de", "sw"}
    assert load_recipe(artifacts / "recipe.yaml") == recipe
    assert json.loads((artifacts / "environment.json").read_text())["packages"]["mlflow"]
    saved = load_predictions(artifacts / "predictions" / "sw.test.jsonl.gz")
    assert (saved.language, len(saved.predicted)) == ("sw", 20)


def test_the_checkpoint_lies_in_the_store_and_nowhere_else(trained, store):
    recipe, result = trained
    loaded = load_checkpoint(result.checkpoint)
    assert result.checkpoint.is_relative_to(store)
    assert recipe_from_dict(loaded.metadata.recipe, origin="checkpoint") == recipe
    assert (loaded.metadata.step, loaded.metadata.score) == (result.fit.best_step, result.fit.best_score)
    assert sum(tensor.numel() for tensor in loaded.state.values()) == result.budget.trainable_params
    assert not list(store.rglob("best-*"))  # training states go when the run has finished


def test_a_checkpoint_scores_the_same_from_its_run_and_from_its_folder(trained, store, console):
    _, result = trained
    by_run = evaluate(result.run_id, store=store, console=console).report
    by_folder = evaluate(result.checkpoint, store=store, console=console).report
    assert by_run.metrics() == by_folder.metrics() == result.report.metrics()


def test_an_evaluation_is_a_run_of_its_own_that_names_the_model(trained, store, console, client):
    _, result = trained
    report = evaluate(
        result.run_id, store=store, console=console, languages=["de"], limit=5, split="test"
    ).report
    assert [(each.language, each.examples) for each in report.results.values()] == [("de", 5)]
    experiment = client.get_run(result.run_id).info.experiment_id
    newest = client.search_runs(
        [experiment], filter_string="tags.job = 'evaluate'", order_by=["attributes.start_time DESC"]
    )[0]
    run = client.get_run(newest.info.run_id)  # a search leaves the model inputs out
    assert run.info.status == "FINISHED"
    assert [model.model_id for model in run.inputs.model_inputs] == [result.checkpoint.parent.name]
    assert run.data.params["data.limit"] == "5"
    assert "test/accuracy/de" in run.data.metrics


def test_a_development_set_can_be_scored_too(trained, store, console):
    _, result = trained
    report = evaluate(result.run_id, store=store, console=console, split="validation").report
    assert report.results["en"].scores["accuracy"].value == pytest.approx(result.fit.best_score)


def test_the_same_recipe_gives_the_same_scores_again_with_a_curve_over_languages_too(trained, store, client):
    recipe, result = trained  # with dropout, so that a single random number more would show
    scored = recipe.evaluation.model_copy(update={"curve_every": 3, "curve_examples": 5})
    console = Console(file=io.StringIO(), width=100)
    again = train(recipe.model_copy(update={"evaluation": scored}), store=store, console=console)
    assert again.fit.curve == result.fit.curve
    assert again.report.metrics() == result.report.metrics()
    ours, theirs = load_checkpoint(again.checkpoint).state, load_checkpoint(result.checkpoint).state
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    for what in ("entropy/en", "accuracy/de", "accuracy/mean_zero_shot"):
        curve = client.get_metric_history(again.run_id, f"curve/{what}")
        assert [point.step for point in curve] == [1, 3, 6, 8]
    assert "5 test examples of each language every 3 steps, at 4 in all" in text_of(console)
    run = client.get_run(again.run_id).data
    assert "cost/seconds/curve" in run.metrics
    assert run.metrics["curve_rows"] == 5
    assert "curve_rows" not in client.get_run(result.run_id).data.metrics


def test_words_are_tagged_with_another_kind_of_backbone(tiny_gemma, data, store, console):
    result = train(
        tiny_recipe("pos", tiny_gemma, data, prompt={"init": "text"}), store=store, console=console
    )
    assert list(result.report.results) == ["en", "de"]
    assert {"test/accuracy/de", "test/f1/de"} <= result.report.metrics().keys()


def test_the_limit_holds_for_every_split_and_language(tiny_xglm, data, store, client):
    console = Console(file=io.StringIO(), width=100)
    recipe = tiny_recipe(
        "xnli",
        tiny_xglm,
        data,
        data={"limit": 10, "development_limit": 6, "test_limit": 4, "languages": ["de"]},
    )
    result = train(recipe, store=store, console=console)
    assert "10 training and 6 development" in " ".join(text_of(console).split())
    assert {code: each.examples for code, each in result.report.results.items()} == {"de": 4}
    again = evaluate(result.run_id, store=store, console=console, limit=7)
    assert {code: each.examples for code, each in again.report.results.items()} == {"de": 7}
    limited = client.get_run(result.run_id).data.params["data_fingerprint.train"]
    assert limited != open_source(str(data)).fingerprint(TASKS["xnli"], "en", "train")


@pytest.mark.parametrize(
    ("task", "changes", "message"),
    [
        ("xnli", {"data": {"source": None}}, "data.source is null. Give a folder"),
        (
            "xnli",
            {"data": {"train_language": "de"}},
            "has no train set for xnli in 'de' to train on; it has en",
        ),
        ("ner", {}, "has no train set for ner in 'en' to train on; it has none in any language"),
        ("xnli", {"data": {"languages": ["de", "fr"]}}, "has no test set for xnli in fr; it has en, de, sw"),
    ],
)
def test_what_the_data_lack_is_said_before_a_model_is_loaded(task, changes, message, data, tmp_path, console):
    with pytest.raises(RunError, match=message):
        train(
            tiny_recipe(task, tmp_path / "no-model", data, **changes),
            store=tmp_path / "mlruns",
            console=console,
        )
    assert not (tmp_path / "mlruns").exists()


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("validation", r"no validation set for pos in 'en' to choose the checkpoint by"),
        ("test", "no test set for pos"),
    ],
)
def test_a_missing_split_is_said_before_a_model_is_loaded(missing, message, data, tmp_path, console):
    for split in {"train", "validation", "test"} - {missing}:
        lines = (data / "pos" / f"en.{split}.jsonl").read_text()
        (tmp_path / "data" / "pos").mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / "pos" / f"en.{split}.jsonl").write_text(lines)
    with pytest.raises(RunError, match=message):
        train(
            tiny_recipe("pos", tmp_path / "no-model", tmp_path / "data"),
            store=tmp_path / "mlruns",
            console=console,
        )


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"tokens": ["_", "_"], "tags": ["DET", "NOUN"]}, "words of 1 of 1 sw sentences are withheld"),
        ({"tokens": ["a\ud83d"], "tags": ["DET"]}, r"sw\.test\.jsonl:1: the sentence holds half a character"),
    ],
)
def test_a_test_set_that_cannot_be_scored_is_met_before_anything_is_trained(
    row, message, data, tmp_path, console
):
    folder = shutil.copytree(data / "pos", tmp_path / "data" / "pos").parent
    (folder / "pos" / "sw.test.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(DataError, match=message):
        train(tiny_recipe("pos", tmp_path / "no-model", folder), store=tmp_path / "mlruns", console=console)
    assert not (tmp_path / "mlruns").exists()


def test_study_languages_are_those_that_the_source_has(tiny_xglm, data, store, console):
    recipe = tiny_recipe("xnli", tiny_xglm, data, data={"languages": "study"}, schedule={"steps": 2})
    assert list(train(recipe, store=store, console=console).report.results) == ["en", "de", "sw"]


@pytest.mark.parametrize(
    ("method", "length", "said"),
    [
        ("prompt", 254, "with the prompt's 4 takes 258. Lower encoding.max_length by 2, or prompt.length$"),
        ("lora", 257, "encoding.max_length takes 257. Lower encoding.max_length by 1$"),
    ],
)
def test_a_text_longer_than_the_backbone_is_refused_with_its_prompt(
    tiny_xglm, data, store, console, method, length, said
):
    sizes = {"encoding": {"max_length": length}, "schedule": {"token_budget": 2 * length}}
    recipe = tiny_recipe("xnli", tiny_xglm, data, method=method, **sizes)
    with pytest.raises(RunError, match=f"has 256 positions, and .*{said}"):
        train(recipe, store=store, console=console)


def test_a_diverged_run_is_recorded_as_failed_with_the_reason(tiny_xglm, data, store, console, client):
    recipe = tiny_recipe(
        "xnli", tiny_xglm, data, optimizer={"learning_rate": 1e30, "clip_norm": None}, seed=99
    )
    with pytest.raises(TrainingDiverged):
        train(recipe, store=store, console=console)
    experiment = client.get_experiment_by_name("xnli")
    (run,) = client.search_runs([experiment.experiment_id], filter_string="params.seed = '99'")
    assert run.info.status == "FAILED"
    assert run.data.tags["error"].startswith("TrainingDiverged: training diverged at step")


def test_a_run_that_is_terminated_can_be_resumed_in_the_same_mlflow_run(tiny_xglm, data, tmp_path):
    recipe = tmp_path / "recipe.yaml"
    settings = tiny_recipe("xnli", tiny_xglm, data, schedule={"steps": 2000, "evaluate_every": 2})
    recipe.write_text(yaml.safe_dump(settings.model_dump(mode="json")))
    code = (
        "import sys; from pathlib import Path; from rich.console import Console\n"
        "from xlprompt.training import load_recipe, train\n"
        "train(load_recipe(sys.argv[1]), store=Path(sys.argv[2]), console=Console())"
    )
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", code, str(recipe), str(tmp_path / "mlruns")],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    )
    assert any("development accuracy" in line for line in process.stdout)
    process.send_signal(signal.SIGTERM)
    process.stdout.read()
    assert process.wait(timeout=60) == 128 + signal.SIGTERM

    client = mlflow.MlflowClient(tracking_uri=store_uri(tmp_path / "mlruns"))
    (run,) = client.search_runs([client.get_experiment_by_name("xnli").experiment_id])
    assert run.info.status == "KILLED"
    (folder,) = (tmp_path / "mlruns" / "training-states").iterdir()
    assert folder.name.endswith(run.info.run_id)
    assert saved_steps(folder)


@pytest.fixture
def own_store(tmp_path, empty_store):
    return Path(shutil.copytree(empty_store, tmp_path / "mlruns"))


@pytest.mark.parametrize(
    "error",
    [OSError(28, "No space left on device"), SafetensorError("No space left on device (os error 28)")],
)
def test_a_checkpoint_that_cannot_be_written_is_one_line_and_leaves_no_half(
    error, data, own_store, console, tiny_xglm, monkeypatch
):
    def full(*_, **__):
        raise error

    monkeypatch.setattr("xlprompt.training.store.checkpoint.write_tensors", full)
    recipe = tiny_recipe("xnli", tiny_xglm, data, schedule={"steps": 2})
    with pytest.raises(RunError, match="cannot be written.*No space left.*Make room.*--resume"):
        train(recipe, store=own_store, console=console)
    assert not [path for path in own_store.rglob(".*") if path.name != ".lock"]
    assert not list((own_store / "artifacts").rglob("*.safetensors"))


def stop_while_scored(recipe, store, console, monkeypatch, before=lambda: None):
    """Train, and be interrupted where the languages are to be scored."""

    def stop(*_, **__):
        before()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("xlprompt.training.runs.train.score_languages", stop)
        with pytest.raises(KeyboardInterrupt):
            train(recipe, store=store, console=console)


def test_who_stops_a_run_that_is_being_scored_is_told_that_it_need_not_be_trained_again(
    data, own_store, console, tiny_xglm, monkeypatch, caplog
):
    recipe = tiny_recipe("xnli", tiny_xglm, data, schedule={"steps": 2})
    stop_while_scored(recipe, own_store, console, monkeypatch)
    assert "Stopped after training. --resume (with make: RESUME=1) scores what was trained" in caplog.text
    assert train(recipe, store=own_store, console=console, resume=LATEST).scores is not None


def test_the_state_of_a_run_that_its_store_has_lost_is_gone_on_with_in_a_new_run(
    data, own_store, empty_store, console, tiny_xglm, monkeypatch
):
    def lose():
        shutil.copyfile(empty_store / "mlflow.db", own_store / "mlflow.db")

    recipe = tiny_recipe("xnli", tiny_xglm, data, schedule={"steps": 2})
    stop_while_scored(recipe, own_store, console, monkeypatch, before=lose)
    result = train(recipe, store=own_store, console=console, resume=LATEST)
    assert "Going on from step 2" in text_of(console)
    assert MlflowTracker(own_store).resume(result.run_id)
    assert not list((own_store / "training-states").iterdir())


def test_a_checkpoint_on_changed_weights_is_refused(data, store, console, tiny_xglm, tmp_path):
    model = tmp_path / "model"
    shutil.copytree(tiny_xglm, model)
    result = train(tiny_recipe("xnli", model, data, schedule={"steps": 2}), store=store, console=console)
    weights = model / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(CheckpointError, match="load the backbone it was trained on"):
        evaluate(result.run_id, store=store, console=console)


def test_what_is_no_checkpoint_and_no_run_is_explained(store, console, tmp_path):
    MlflowTracker(store)
    with pytest.raises(CheckpointError, match="no checkpoint here"):
        evaluate(tmp_path, store=store, console=console)
    with pytest.raises(TrackingError, match="no run 'abc'"):
        evaluate("abc", store=store, console=console)
    with pytest.raises(CheckpointError, match="no checkpoint here"):
        evaluate(tmp_path / "misspelt", store=store, console=console)


def test_a_device_that_is_not_there_is_explained():
    with pytest.raises(RunError, match="device 'abacus' cannot be used here"):
        choose_device("abacus")


def test_a_run_is_named_after_task_method_model_and_seed(data):
    recipe = tiny_recipe("xnli", Path("facebook/xglm-564M"), data, seed=2)
    assert run_name(recipe) == "xnli-prompt-xglm-564M-seed2"


def test_a_device_that_other_runs_have_filled_is_told_from_one_that_is_not_there(monkeypatch):
    def full(*_, **__):
        raise RuntimeError("CUDA error: out of memory")

    monkeypatch.setattr("torch.empty", full)
    with pytest.raises(RunError, match=r"device 'cpu' has no memory left .* \(--workers\)"):
        choose_device("cpu")
