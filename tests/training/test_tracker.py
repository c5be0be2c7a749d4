import json
import os
import signal
import subprocess
import sys
import threading

import mlflow
import pytest

from xlprompt.training.tracker import (
    DatasetRecord,
    MlflowTracker,
    NullTracker,
    TrackingError,
    create_store,
    find_model,
    store_uri,
    true_end_state,
)

pytestmark = pytest.mark.integration

TRAIN = DatasetRecord("xnli-en-train", "0123456789ab", "/data", on_hub=False, examples=100, context="train")
GERMAN = DatasetRecord("xnli-de-test", "ba9876543210", "hub", on_hub=True, examples=50, context="test-de")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """One store for the tests that only add runs: creating a schema takes seconds."""
    folder = tmp_path_factory.mktemp("store") / "mlruns"
    create_store(folder)
    return folder


@pytest.fixture
def client(store):
    return mlflow.MlflowClient(tracking_uri=store_uri(store))


@pytest.fixture
def started(store):
    tracker = MlflowTracker(store)
    run_id = tracker.start(experiment="xnli", run_name="prompt-tiny-seed0", params={}, tags={})
    return tracker, run_id


def start_with(store, **given):
    values = {"experiment": "xnli", "run_name": "run", "params": {}, "tags": {}, **given}
    return MlflowTracker(store).start(**values)


def test_a_run_starts_under_its_name_in_its_experiment_with_params_and_tags(store, client):
    params = {
        "schedule.steps": 60,
        "data.source": None,
        "languages": ["en", "de"],
        "trainable_percent": 0.131,
    }
    run_id = start_with(store, params=params, tags={"method": "prompt", "mlflow.source.git.commit": "f" * 40})
    run = client.get_run(run_id)
    assert (run.info.run_name, run.info.status) == ("run", "RUNNING")
    assert client.get_experiment(run.info.experiment_id).name == "xnli"
    assert run.data.params["schedule.steps"] == "60"
    assert run.data.params["data.source"] == "null"
    assert run.data.params["languages"] == '["en", "de"]'
    assert run.data.params["trainable_percent"] == "0.131"
    assert run.data.tags["method"] == "prompt"
    assert run.data.tags["mlflow.source.git.commit"] == "f" * 40


def test_more_params_and_longer_texts_than_one_request_takes_are_kept(store, client):
    params = {f"p{i}": i for i in range(230)} | {"long": "x" * 9000}
    run = client.get_run(start_with(store, params=params, tags={f"t{i}": "v" for i in range(150)}))
    assert run.data.params.items() >= {f"p{i}": str(i) for i in range(230)}.items()
    assert len(run.data.params["long"]) == 6000
    assert sum(key.startswith("t") for key in run.data.tags) == 150


def test_a_run_can_be_the_child_of_another_whatever_the_environment_says(store, client, monkeypatch):
    monkeypatch.setenv("MLFLOW_RUN_ID", "0" * 32)
    parent = start_with(store, run_name="all seeds")
    child = client.get_run(start_with(store, parent_run_id=parent, tags={"method": "prompt"}))
    assert child.data.tags["mlflow.parentRunId"] == parent
    assert child.data.tags["method"] == "prompt"
    assert "mlflow.parentRunId" not in client.get_run(parent).data.tags


def test_metrics_are_kept_by_step(started, client):
    tracker, run_id = started
    for step in (1, 2, 3):
        tracker.log_metrics({"train/loss": 1 / step, "train/learning_rate": 1e-3}, step=step)
    tracker.end("FINISHED")
    history = client.get_metric_history(run_id, "train/loss")
    assert [(m.step, m.value) for m in history] == [(1, 1.0), (2, 0.5), (3, pytest.approx(1 / 3))]


def test_a_thousand_metrics_reach_the_store(started, client):
    tracker, run_id = started
    for step in range(700):
        tracker.log_metrics({"train/loss": step, "train/learning_rate": 0.1}, step=step)
    tracker.end("FINISHED")
    assert client.get_run(run_id).data.metrics["train/loss"] == 699


def test_data_sets_are_inputs_with_their_context_and_place(started, client):
    tracker, run_id = started
    tracker.log_dataset(TRAIN)
    tracker.log_dataset(GERMAN)
    inputs = {each.dataset.name: each for each in client.get_run(run_id).inputs.dataset_inputs}
    train, german = inputs["xnli-en-train"], inputs["xnli-de-test"]
    assert train.dataset.digest == "0123456789ab"
    assert (train.dataset.source_type, json.loads(train.dataset.source)) == ("local", {"uri": "/data"})
    assert (german.dataset.source_type, json.loads(german.dataset.source)) == (
        "hugging_face",
        {"path": "hub"},
    )
    assert json.loads(train.dataset.profile) == {"num_rows": 100}
    assert [tag.value for tag in german.tags if tag.key == "mlflow.data.context"] == ["test-de"]


def test_a_checkpoint_becomes_a_logged_model_with_its_test_scores(started, client, tmp_path):
    tracker, run_id = started
    (tmp_path / "checkpoint.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    stored = tracker.log_model(tmp_path, name="prompt-tiny", params={"best_step": 20}, step=20)
    tracker.log_dataset(GERMAN)
    tracker.log_metrics({"test/accuracy/de": 40.5}, step=20, dataset=GERMAN, model_id=stored.model_id)
    tracker.end("FINISHED")

    assert sorted(path.name for path in stored.directory.iterdir()) == [
        "checkpoint.json",
        "model.safetensors",
    ]
    model = client.get_logged_model(stored.model_id)
    assert (model.name, model.source_run_id, str(model.status)) == ("prompt-tiny", run_id, "READY")
    assert model.params == {"best_step": "20"}
    (metric,) = model.metrics
    assert (metric.key, metric.value, metric.dataset_name) == ("test/accuracy/de", 40.5, "xnli-de-test")
    outputs = client.get_run(run_id).outputs.model_outputs
    assert [(output.model_id, output.step) for output in outputs] == [(stored.model_id, 20)]


def test_a_runs_checkpoint_is_found_by_the_runs_id(started, store, tmp_path):
    tracker, run_id = started
    (tmp_path / "checkpoint.json").write_text("{}")
    stored = tracker.log_model(tmp_path, name="prompt-tiny", params={}, step=1)
    assert find_model(store, run_id) == stored


def test_a_model_that_cannot_be_copied_is_marked_as_failed(started, client, tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError("no space left on device")

    tracker, run_id = started
    monkeypatch.setattr(mlflow.MlflowClient, "log_model_artifacts", full)
    with pytest.raises(OSError, match="no space left"):
        tracker.log_model(tmp_path, name="lost-model", params={}, step=1)
    experiment_id = client.get_run(run_id).info.experiment_id
    found = client.search_logged_models([experiment_id], filter_string="name = 'lost-model'")
    assert [str(model.status) for model in found] == ["FAILED"]
    assert client.get_run(run_id).outputs.model_outputs == []


@pytest.mark.parametrize(
    ("run_id", "message"), [("0" * 32, "no run '0{32}'"), ("not an id", "no run 'not an id'")]
)
def test_an_unknown_run_is_explained(store, run_id, message):
    with pytest.raises(TrackingError, match=message):
        find_model(store, run_id)


def test_a_run_without_a_checkpoint_is_explained(started, store):
    tracker, run_id = started
    tracker.end("FAILED", error="x")
    with pytest.raises(TrackingError, match=r"\(FAILED\) has no checkpoint"):
        find_model(store, run_id)


def test_looking_for_a_run_where_there_is_no_store_creates_none(tmp_path):
    with pytest.raises(TrackingError, match="no MLflow store here"):
        find_model(tmp_path / "mlruns", "0" * 32)
    assert not (tmp_path / "mlruns").exists()


def test_artifacts_stand_beside_the_database(started, store, tmp_path):
    tracker, run_id = started
    (tmp_path / "scores.txt").write_text("en 80")
    tracker.log_artifact(tmp_path / "scores.txt", "tables")
    assert (store / "artifacts" / run_id / "artifacts" / "tables" / "scores.txt").read_text() == "en 80"


def end_state(client, run_id):
    run = client.get_run(run_id)
    return run.info.status, run.data.tags.get("error"), run.info.end_time is not None


def test_a_block_that_completes_ends_the_run_as_finished(started, client):
    tracker, run_id = started
    with true_end_state(tracker):
        tracker.log_metrics({"train/loss": 1.0}, step=1)
    assert end_state(client, run_id) == ("FINISHED", None, True)
    assert client.get_run(run_id).data.metrics == {"train/loss": 1.0}


def test_an_error_ends_the_run_as_failed_with_its_text(started, client):
    tracker, run_id = started
    tracker.log_metrics({"train/loss": 1.0}, step=1)
    with pytest.raises(ValueError, match="bad row"), true_end_state(tracker):
        raise ValueError("bad row 7")
    assert end_state(client, run_id) == ("FAILED", "ValueError: bad row 7", True)
    assert client.get_run(run_id).data.metrics == {"train/loss": 1.0}


def test_an_error_before_the_run_started_is_not_hidden_by_the_bookkeeping(store):
    with pytest.raises(ValueError, match="bad row"), true_end_state(MlflowTracker(store)):
        raise ValueError("bad row 7")


def test_an_interrupt_ends_the_run_as_killed(started, client):
    tracker, run_id = started
    with pytest.raises(KeyboardInterrupt), true_end_state(tracker):
        raise KeyboardInterrupt
    assert end_state(client, run_id) == ("KILLED", "KeyboardInterrupt", True)


def test_the_handler_of_sigterm_is_put_back():
    before = signal.getsignal(signal.SIGTERM)
    with true_end_state(NullTracker()):
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before


def test_runs_can_be_tracked_from_other_threads(store, client):
    ids = []

    def work():
        tracker = MlflowTracker(store)
        with true_end_state(tracker):
            ids.append(tracker.start(experiment="xnli", run_name="thread", params={}, tags={}))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert end_state(client, ids[0])[0] == "FINISHED"


WORKER = """
import sys, time
from pathlib import Path
from xlprompt.training.tracker import MlflowTracker, true_end_state
tracker = MlflowTracker(Path(sys.argv[1]))
with true_end_state(tracker):
    run_id = tracker.start(experiment=sys.argv[2], run_name="worker", params={"a": 1}, tags={})
    tracker.log_metrics({"train/loss": 1.0}, step=1)
    print(run_id, flush=True)
    time.sleep(float(sys.argv[3]))
"""


def start_worker(store, experiment, seconds):
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, str(store), experiment, str(seconds)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


@pytest.mark.parametrize(
    ("number", "status", "reason"),
    [(signal.SIGTERM, 143, "SystemExit: 143"), (signal.SIGINT, -signal.SIGINT, "KeyboardInterrupt")],
    ids=["SIGTERM", "SIGINT"],
)
def test_a_process_that_is_told_to_stop_leaves_a_killed_run(store, client, number, status, reason):
    worker = start_worker(store, "xnli", 120)
    run_id = worker.stdout.readline().strip()
    worker.send_signal(number)
    _, errors = worker.communicate(timeout=60)
    assert worker.returncode == status, errors
    assert end_state(client, run_id) == ("KILLED", reason, True)
    assert client.get_run(run_id).data.metrics == {"train/loss": 1.0}


def test_several_processes_can_start_at_once_on_a_store_that_does_not_exist_yet(tmp_path):
    store = tmp_path / "mlruns"
    workers = [start_worker(store, "pos", 0) for _ in range(3)]
    results = [worker.communicate(timeout=120) for worker in workers]
    assert [worker.returncode for worker in workers] == [0] * 3, results
    assert [errors for _, errors in results] == [""] * 3  # nor does MLflow print its migrations
    client = mlflow.MlflowClient(tracking_uri=store_uri(store))
    experiments = [e for e in client.search_experiments() if e.name == "pos"]
    assert len(experiments) == 1
    runs = client.search_runs([experiments[0].experiment_id])
    assert {run.info.run_id for run in runs} == {out.strip() for out, _ in results}
    assert {run.info.status for run in runs} == {"FINISHED"}


def test_a_deleted_experiment_is_explained(store, client):
    run_id = start_with(store, experiment="pawsx")
    client.delete_experiment(client.get_run(run_id).info.experiment_id)
    with pytest.raises(TrackingError, match="'pawsx' was deleted.*mlflow experiments restore"):
        start_with(store, experiment="pawsx")


def test_mlflows_global_state_is_left_alone(started, store):
    assert mlflow.active_run() is None
    assert not mlflow.is_tracking_uri_set()


def test_the_tracker_turns_mlflows_usage_reporting_off_and_does_not_load_torch():
    code = (
        "import xlprompt.training.tracker, sys, mlflow.telemetry.utils as telemetry\n"
        "print(telemetry.MLFLOW_DISABLE_TELEMETRY.get(), 'torch' in sys.modules)"
    )
    environment = {key: value for key, value in os.environ.items() if key != "MLFLOW_DISABLE_TELEMETRY"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    assert done.stdout.split() == ["True", "False"]
