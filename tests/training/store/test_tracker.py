import json
import logging
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from math import nan

import mlflow
import pytest
import sqlalchemy
from filelock import Timeout
from mlflow.store.tracking.dbmodels.initial_models import Base as InitialBase
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

import xlprompt.training.store.mlflow_tracker as tracker_module
from xlprompt.training.store import database
from xlprompt.training.store.database import create_store, find_model, store_lock, store_uri
from xlprompt.training.store.mlflow_tracker import MlflowTracker
from xlprompt.training.store.new_database import make_database
from xlprompt.training.store.stored_models import local_path
from xlprompt.training.store.tracker import (
    DatasetRecord,
    NullTracker,
    TrackingError,
    log_text,
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


def test_mlflows_other_variables_change_neither_where_a_run_goes_nor_what_it_holds(store, client, tmp_path):
    variables = {
        "MLFLOW_REGISTRY_URI": "gibberish://nowhere",
        "MLFLOW_RUN_ID": "0" * 32,
        "MLFLOW_EXPERIMENT_ID": "12345",
        "MLFLOW_EXPERIMENT_NAME": "another",
        "MLFLOW_RUN_CONTEXT": '{"mlflow.parentRunId": "x"}',
        "MLFLOW_ACTIVE_MODEL_ID": "m-" + "0" * 32,
        "MLFLOW_ENABLE_ASYNC_LOGGING": "true",
        "MLFLOW_WORKSPACE": "another",
        "MLFLOW_TRACKING_USERNAME": "somebody",
        "MLFLOW_SQLALCHEMYSTORE_POOLCLASS": "gibberish",
        "MLFLOW_SQLALCHEMYSTORE_POOL_SIZE": "many",
    }
    (tmp_path / "weights").write_bytes(b"weights")
    worker = start_worker(store, "xnli", 0, tmp_path, **variables)
    output, errors = worker.communicate(timeout=60)
    assert worker.returncode == 0, errors
    run = client.get_run(output.strip())
    assert client.get_experiment(run.info.experiment_id).name == "xnli"
    origin = {"mlflow.user", "mlflow.source.name", "mlflow.source.type"}
    assert run.data.tags.keys() == {"mlflow.runName", "process", *origin}
    assert run.data.metrics == {"train/loss": 1.0}
    assert (find_model(store, run.info.run_id).directory / "weights").read_bytes() == b"weights"
    assert store in local_path(run.info.artifact_uri).parents
    assert not list(tmp_path.glob("mlruns*"))


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


@contextmanager
def before_the_first(statement, act):
    """Call `act` in another thread right before any database is given a statement that begins so."""
    left = [act]

    def called(connection, cursor, sql, *_):
        if sql.startswith(statement) and left:
            thread = threading.Thread(target=left.pop())
            thread.start()
            thread.join()

    sqlalchemy.event.listen(sqlalchemy.Engine, "before_cursor_execute", called)
    try:
        yield
    finally:
        sqlalchemy.event.remove(sqlalchemy.Engine, "before_cursor_execute", called)
    assert not left


def test_of_two_runs_that_bring_a_new_data_set_at_once_both_have_it(store, client):
    new = DatasetRecord("pos-en-train", "abc", "/data", on_hub=False, examples=9, context="train")
    trackers = [MlflowTracker(store), MlflowTracker(store)]
    runs = [each.start(experiment="pos", run_name="run", params={}, tags={}) for each in trackers]
    # The first has looked for it and found nothing when the second inserts it.
    with before_the_first("INSERT INTO datasets", lambda: trackers[1].log_dataset(new)):
        trackers[0].log_dataset(new)
    for run_id in runs:
        (entry,) = client.get_run(run_id).inputs.dataset_inputs
        assert (entry.dataset.name, entry.dataset.digest) == ("pos-en-train", "abc")
        assert [tag.value for tag in entry.tags] == ["train"]


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


def test_a_model_that_cannot_be_copied_leaves_nothing_behind(started, client, tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError("no space left on device")

    tracker, run_id = started
    monkeypatch.setattr(mlflow.MlflowClient, "log_model_artifacts", full)
    with pytest.raises(TrackingError, match="no space left on device.*Make room on its disk.*--resume"):
        tracker.log_model(tmp_path, name="lost-model", params={}, step=1)
    experiment_id = client.get_run(run_id).info.experiment_id
    found = client.search_logged_models([experiment_id], filter_string="name = 'lost-model'")
    assert not found
    assert client.get_run(run_id).outputs.model_outputs == []


def models_of(client, run_id):
    experiment_id = client.get_run(run_id).info.experiment_id
    found = client.search_logged_models([experiment_id], f"source_run_id = '{run_id}'")
    return [(model.model_id, str(model.status)) for model in found]


def test_a_run_that_is_gone_on_with_keeps_its_model_and_removes_half_of_one(started, store, client, tmp_path):
    tracker, run_id = started
    (tmp_path / "weights").write_bytes(b"weights")
    whole = tracker.log_model(tmp_path, name="model", params={}, step=1)
    half = client.create_logged_model(client.get_run(run_id).info.experiment_id, source_run_id=run_id)
    client.log_model_artifacts(half.model_id, str(tmp_path))
    tracker.end("KILLED")

    again = MlflowTracker(store)
    assert again.resume(run_id)
    assert again.log_model(tmp_path, name="model", params={}, step=1) == whole
    assert models_of(client, run_id) == [(whole.model_id, "READY")]
    assert not list((store / "artifacts").rglob(half.model_id))
    (tmp_path / "weights").write_bytes(b"others ")  # of another number of processes, say
    other = again.log_model(tmp_path, name="model", params={}, step=1)
    assert models_of(client, run_id) == [(other.model_id, "READY")]
    assert find_model(store, run_id) == other
    again.end("FINISHED")


def test_the_half_of_a_model_that_a_dead_process_left_is_removed_by_the_next_run(store, client, tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    dead = start_with(store, experiment="pos")
    machine, _, began = client.get_run(dead).data.tags["process"].split()
    client.set_tag(dead, "process", f"{machine} {ended.pid} {began}")
    client.create_logged_model(client.get_run(dead).info.experiment_id, source_run_id=dead)
    start_with(store, experiment="pos")
    assert models_of(client, dead) == []


def test_a_model_gets_the_scores_that_a_killed_process_had_given_to_the_run_alone(
    started, store, client, tmp_path, monkeypatch
):
    tracker, run_id = started
    model = tracker.log_model(tmp_path, name="model", params={}, step=1)
    scores = {"test/accuracy/de": 40.5, "test/accuracy/mean": float("nan")}
    scores |= {f"test/entropy/{place}": float(place) for place in range(121)}  # 20 languages have as many
    with monkeypatch.context() as patch:
        patch.setattr(SqlAlchemyStore, "_log_model_metrics", lambda *_args, **_given: None)
        tracker.log_metrics(scores, step=20, model_id=model.model_id)
        tracker.end("KILLED")
    for _ in range(2):
        again = MlflowTracker(store)
        again.resume(run_id)
        again.log_metrics(scores, step=20, model_id=model.model_id)
        again.end("FINISHED")
        assert len(client.get_metric_history(run_id, "test/accuracy/mean")) == 1
        assert curve(client, run_id, "test/accuracy/de") == [(20, 40.5)]
        assert sorted(m.key for m in client.get_logged_model(model.model_id).metrics) == sorted(scores)


def test_a_run_that_another_process_is_at_work_on_is_not_gone_on_with(store, client):
    worker = start_worker(store, "xnli", 120)
    run_id = worker.stdout.readline().strip()
    try:
        with pytest.raises(TrackingError, match=f"run {run_id}: another process is at work on it"):
            MlflowTracker(store).resume(run_id)
    finally:
        worker.kill()
        worker.communicate()
    assert MlflowTracker(store).resume(run_id)


def test_a_figure_that_was_to_come_when_a_run_was_interrupted_comes_when_it_goes_on(store, client):
    tracker = MlflowTracker(store)
    run_id = tracker.start(experiment="xnli", run_name="run", params={}, tags={})
    tracker.log_metrics({"score/gap": nan})
    tracker.end("KILLED")
    for _ in range(2):
        again = MlflowTracker(store)
        again.resume(run_id)
        again.log_metrics({"score/gap": 3.5})
        again.end("FINISHED")
    assert client.get_run(run_id).data.metrics == {"score/gap": 3.5}
    assert len(client.get_metric_history(run_id, "score/gap")) == 2


def test_a_run_that_finishes_after_an_interruption_says_no_more_what_it_was_interrupted_by(store, client):
    tracker = MlflowTracker(store)
    run_id = tracker.start(experiment="xnli", run_name="run", params={}, tags={})
    tracker.end("KILLED", error="SystemExit: 143")
    again = MlflowTracker(store)
    again.resume(run_id)
    again.end("FINISHED")
    assert "error" not in client.get_run(run_id).data.tags


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


def test_a_checkpoint_that_was_deleted_is_told_as_such(started, store, client, tmp_path):
    tracker, run_id = started
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "a.txt").write_text("a")
    model = tracker.log_model(tmp_path / "weights", name="prompt-tiny", params={}, step=1)
    tracker.end("FINISHED")
    client.delete_logged_model(model.model_id)
    with pytest.raises(
        TrackingError, match=r"\(FINISHED\) has no checkpoint: it was deleted\. Its scores remain"
    ):
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
from xlprompt.training.store.mlflow_tracker import MlflowTracker
from xlprompt.training.store.tracker import true_end_state
tracker = MlflowTracker(Path(sys.argv[1]))
with true_end_state(tracker):
    run_id = tracker.start(experiment=sys.argv[2], run_name="worker", params={"a": 1}, tags={})
    tracker.log_metrics({"train/loss": 1.0}, step=1)
    if len(sys.argv) > 4:
        tracker.log_artifact(Path(sys.argv[4]) / "weights")
        tracker.log_model(Path(sys.argv[4]), name="model", params={}, step=1)
    print(run_id, flush=True)
    time.sleep(float(sys.argv[3]))
"""


def start_worker(store, experiment, seconds, *checkpoint, **variables):
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        **variables,
    }
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, str(store), experiment, str(seconds), *map(str, checkpoint)],
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


def half_made(folder, _empty_store=None):
    """A store as versions before this one left it, killed in the midst of a migration."""
    folder.mkdir()
    InitialBase.metadata.create_all(sqlalchemy.create_engine(store_uri(folder)))
    with sqlite3.connect(folder / "mlflow.db") as database:
        database.execute("CREATE TABLE _alembic_tmp_params (key TEXT)")
        database.execute("CREATE TABLE alembic_version (version_num TEXT)")
        database.execute("INSERT INTO alembic_version VALUES ('90e64c465722')")


def old_schema(folder, empty_store):
    """All tables, and the mark of a migration before the last: killed between its two writes."""
    shutil.copytree(empty_store, folder)
    with sqlite3.connect(folder / "mlflow.db") as database:
        database.execute("UPDATE alembic_version SET version_num = '90e64c465722'")


def nothing(folder, _empty_store):
    folder.mkdir()
    (folder / "mlflow.db").touch()


def killed_under_the_new_name(folder, _empty_store):
    folder.mkdir()
    (folder / ".mlflow.db.new").write_bytes(b"half a database")
    (folder / ".mlflow.db.new-journal").write_bytes(b"half a journal")


@pytest.mark.parametrize("left", [half_made, old_schema, nothing, killed_under_the_new_name])
def test_a_store_whose_making_was_interrupted_is_made_anew(left, empty_store, tmp_path, monkeypatch):
    monkeypatch.setattr(database, "make_database", make_database)  # and none copied
    folder = tmp_path / "mlruns"
    left(folder, empty_store)
    run_id = start_with(folder)
    client = mlflow.MlflowClient(tracking_uri=store_uri(folder))
    assert client.get_run(run_id).info.status == "RUNNING"
    assert {path.name for path in folder.iterdir()} == {".lock", "mlflow.db"}


@pytest.mark.parametrize("table", ["runs", "_alembic_tmp_runs"])  # a migration's copy may be all there is
def test_a_store_that_holds_a_run_is_never_made_anew(table, tmp_path):
    folder = tmp_path / "mlruns"
    half_made(folder)
    with sqlite3.connect(folder / "mlflow.db") as database:
        database.execute("DROP TABLE runs")
        database.execute(f"CREATE TABLE {table} (run_uuid TEXT)")
        database.execute(f"INSERT INTO {table} VALUES ('precious')")
    with pytest.raises(TrackingError, match=r"mlflow\.db: the MLflow store cannot be used .*--mlruns"):
        create_store(folder)
    with sqlite3.connect(folder / "mlflow.db") as database:
        assert database.execute(f"SELECT * FROM {table}").fetchall() == [("precious",)]


def test_a_store_is_made_in_a_folder_of_any_name(tmp_path):
    store = tmp_path / "100%25 of what? é [x]" / "mlruns"
    assert MlflowTracker(store).start(experiment="xnli", run_name="run", params={}, tags={})
    assert [path.name for path in tmp_path.iterdir()] == [store.parent.name]


def test_what_stands_in_a_store_may_be_read_and_written_by_whom_the_umask_lets(tmp_path):
    before = os.umask(0o002)
    try:
        folder = tmp_path / "mlruns"
        tracker = MlflowTracker(folder)
        tracker.start(experiment="xnli", run_name="run", params={}, tags={})
        (tmp_path / "checkpoint").mkdir()
        (tmp_path / "checkpoint" / "weights").write_bytes(b"weights")
        tracker.log_model(tmp_path / "checkpoint", name="model", params={}, step=1)
        log_text(tracker, "scores.txt", "50.0")
        tracker.end("FINISHED")
    finally:
        os.umask(before)
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in folder.rglob("*") if path.is_file()}
    assert modes == dict.fromkeys((".lock", "mlflow.db", "weights", "scores.txt"), oct(0o664))
    assert {path.stat().st_mode & 0o777 for path in folder.rglob("*") if path.is_dir()} == {0o775}


def test_a_deleted_experiment_is_explained(store, client):
    run_id = start_with(store, experiment="pawsx")
    client.delete_experiment(client.get_run(run_id).info.experiment_id)
    with pytest.raises(TrackingError, match="'pawsx' was deleted.*mlflow experiments restore"):
        start_with(store, experiment="pawsx")


# ------------------------------------------------------------------------------------------ outages

HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.read()
"""


@contextmanager
def locked(store):
    """Another process holds the database, as a database browser in the middle of an edit would."""
    command = [sys.executable, "-c", HOLD, str(store / "mlflow.db")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline().strip() == "locked"
        try:
            yield
        finally:
            other.stdin.close()


@contextmanager
def being_read(store):
    """Another program has begun to read and does not finish: writes work, commits do not."""
    reader = sqlite3.connect(store / "mlflow.db", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT COUNT(*) FROM runs")
    try:
        yield
    finally:
        reader.close()


@contextmanager
def read_only(store):
    """Make sqlite itself hold the file for read-only, which also works for root, whom no mode bits stop.

    Byte 18 of a database is the version needed to write it; of one above sqlite's own it says "attempt to
    write a readonly database" (sqlite.org/fileformat.html, section 1.3.3).
    """
    version = write_version(store, 3)
    try:
        yield
    finally:
        write_version(store, version)


def write_version(store, value):
    with (store / "mlflow.db").open("r+b") as file:
        header = bytearray(file.read(100))
        before, header[18] = header[18], value
        file.seek(0)
        file.write(header)
    return before


@contextmanager
def full(store):
    """Allow the database no page more than it has: sqlite's "database or disk is full"."""

    def no_growth(connection, _record):
        connection.execute("PRAGMA max_page_count = 1")  # sqlite takes the present size for less than that

    sqlalchemy.event.listen(sqlalchemy.Engine, "connect", no_growth)
    try:
        yield
    finally:
        sqlalchemy.event.remove(sqlalchemy.Engine, "connect", no_growth)


OUTAGES = {
    "locked": (locked, "database is locked", "Close the program"),
    "being_read": (being_read, "database is locked", "Close the program"),
    "read_only": (read_only, "readonly database", "Make the file and its folder writable"),
    "full": (full, "database or disk is full", "Make room"),
}


@pytest.fixture(params=OUTAGES)
def outage(request):
    return OUTAGES[request.param]


@pytest.fixture
def impatient(monkeypatch):
    """Waits that are a minute in life are a tenth of a second here, and the next try comes at once."""
    for name in ("WAIT_TO_START", "WAIT_TO_FINISH"):
        monkeypatch.setattr(database, name, 0.1)
        monkeypatch.setattr(tracker_module, name, 0.1)
    for name in ("_WAIT_WHEN_KILLED", "_WAIT_IN_TRAINING"):
        monkeypatch.setattr(tracker_module, name, 0.1)
    monkeypatch.setattr(tracker_module, "_RETRY_SECONDS", 1e-6)
    monkeypatch.setattr(tracker_module, "_RETRY_AT_MOST", 1e-6)


def warnings_of(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def curve(client, run_id, key="train/loss"):
    return [(metric.step, metric.value) for metric in client.get_metric_history(run_id, key)]


def test_training_outlives_a_store_that_cannot_be_written_and_loses_no_figure(
    started, store, client, outage, impatient, caplog
):
    make, reason, remedy = outage
    tracker, run_id = started
    long = {f"train/{'x' * 100}/{i}": 0.0 for i in range(300)}  # more than fits into the database as it is
    tracker.log_metrics({"train/loss": 1.0}, step=1)
    tracker.flush()
    with make(store):
        for step in (2, 3, 4):
            tracker.log_metrics({"train/loss": 1 / step, **long}, step=step)
            tracker.flush()
    tracker.log_metrics({"train/loss": 0.2}, step=5)
    tracker.flush()
    assert curve(client, run_id) == [(1, 1.0), (2, 1 / 2), (3, 1 / 3), (4, 1 / 4), (5, 0.2)]
    cut, back = warnings_of(caplog)
    assert str(store / "mlflow.db") in cut
    assert reason in cut
    assert remedy in cut
    assert "can be written again" in back


def test_a_locked_store_holds_training_up_for_one_second_and_then_not_at_every_flush(started, store, caplog):
    tracker, _ = started
    with locked(store):
        begun = time.monotonic()
        for step in range(200):
            tracker.log_metrics({"train/loss": 1.0}, step=step)
            tracker.flush()
        # One try with the real wait of 1 s; MLflow alone would take 20 s at every flush.
        assert 0.9 < time.monotonic() - begun < 20
    assert len(warnings_of(caplog)) == 1
    tracker.end("FINISHED")


def test_in_an_hour_without_a_store_training_waits_for_it_less_than_twenty_times(started, monkeypatch):
    tracker, _ = started
    tries, clock = [], [0.0]
    monkeypatch.setattr(tracker_module, "why_unusable", lambda *_: tries.append(clock[0]) or "locked")
    monkeypatch.setattr(tracker_module.time, "monotonic", lambda: clock[0])
    for second in range(3600):
        clock[0] = float(second)
        tracker.log_metrics({"train/loss": 1.0}, step=second)
        tracker.flush()
    assert tries[:7] == [0, 15, 45, 105, 225, 465, 765]
    assert len(tries) == 16


def test_figures_that_wait_are_bounded_and_each_curve_keeps_its_shape(
    started, store, client, impatient, monkeypatch, caplog
):
    monkeypatch.setattr(tracker_module, "_MAX_PENDING", 100)
    tracker, run_id = started
    with read_only(store):
        tracker.log_metrics({"best/step": 7}, step=1)
        for step in range(1, 201):
            tracker.log_metrics({"train/loss": step}, step=step)
            tracker.flush()
            assert len(tracker._pending) <= 101
    tracker.flush()
    steps = [step for step, _ in curve(client, run_id)]
    assert steps == sorted(set(steps))
    assert steps[-1] == 200
    assert steps[0] <= 8  # thinned three times, the gaps are at most 8 steps wide
    assert max(after - before for before, after in zip(steps, steps[1:], strict=False)) <= 8
    assert curve(client, run_id, "best/step") == [(1, 7.0)]
    assert "every second point" in "".join(warnings_of(caplog))


def test_a_batch_that_was_written_in_part_is_not_logged_twice(
    started, client, tmp_path, impatient, monkeypatch
):
    """MLflow commits a batch in two transactions: the run's figures, then the model's."""
    tracker, run_id = started
    model = tracker.log_model(tmp_path, name="prompt-tiny", params={}, step=1)
    written = SqlAlchemyStore._log_model_metrics

    def stopped(*_args, **_given):
        raise sqlite3.OperationalError("disk I/O error")

    tracker.log_metrics({"test/accuracy/de": 40.5, "test/f1/de": float("nan")}, model_id=model.model_id)
    monkeypatch.setattr(SqlAlchemyStore, "_log_model_metrics", stopped)
    tracker.flush()
    assert curve(client, run_id, "test/accuracy/de") == [(0, 40.5)]
    assert not client.get_logged_model(model.model_id).metrics
    monkeypatch.setattr(SqlAlchemyStore, "_log_model_metrics", written)
    tracker.flush()
    assert curve(client, run_id, "test/accuracy/de") == [(0, 40.5)]
    assert len(curve(client, run_id, "test/f1/de")) == 1
    assert sorted(m.key for m in client.get_logged_model(model.model_id).metrics) == [
        "test/accuracy/de",
        "test/f1/de",
    ]


def test_an_interrupt_while_figures_are_sent_does_not_lose_them(started, client, monkeypatch):
    tracker, run_id = started
    tracker.log_metrics({"train/loss": 1.0}, step=1)
    with monkeypatch.context() as patch:

        def interrupt(*_args, **_given):
            raise KeyboardInterrupt

        patch.setattr(SqlAlchemyStore, "_log_metrics", interrupt)
        with pytest.raises(KeyboardInterrupt):
            tracker.flush()
    tracker.end("KILLED")
    assert curve(client, run_id) == [(1, 1.0)]


def test_a_deleted_run_stops_training_with_what_to_do(started, client):
    tracker, run_id = started
    client.delete_run(run_id)
    tracker.log_metrics({"train/loss": 1.0}, step=1)
    with pytest.raises(TrackingError, match="is deleted.*mlflow runs restore"):
        tracker.flush()


@pytest.mark.parametrize("outage", ["locked", "being_read", "read_only"], indirect=True)
def test_a_run_does_not_start_on_a_store_that_cannot_be_written(store, outage, impatient):
    make, reason, remedy = outage
    with make(store):
        begun = time.monotonic()
        with pytest.raises(TrackingError, match=rf"mlflow\.db: .*{reason}.*{remedy}") as raised:
            start_with(store)
        assert time.monotonic() - begun < 20  # MLflow alone would try for minutes
    assert "\n" not in str(raised.value)


def test_a_store_that_is_locked_for_a_moment_is_waited_for(store, client):
    with locked(store):
        thread = threading.Thread(target=lambda: ids.append(start_with(store)))
        ids = []
        thread.start()
        time.sleep(1.5)
    thread.join()
    assert client.get_run(ids[0]).info.status == "RUNNING"


def test_a_file_that_is_no_database_is_explained(tmp_path):
    (tmp_path / "mlflow.db").write_text("not a database at all, but long enough to look like a file" * 20)
    with pytest.raises(TrackingError, match="file is not a database.*name another store with --mlruns"):
        MlflowTracker(tmp_path)


def test_a_store_that_cannot_be_made_is_explained(tmp_path):
    (tmp_path / "mlruns").write_text("a file where the folder should be")
    with pytest.raises(TrackingError, match="File exists"):
        create_store(tmp_path / "mlruns")


def test_a_read_only_store_can_still_be_read(started, store, tmp_path):
    tracker, run_id = started
    (tmp_path / "checkpoint.json").write_text("{}")
    stored = tracker.log_model(tmp_path, name="prompt-tiny", params={}, step=1)
    with read_only(store):
        create_store(store)
        assert find_model(store, run_id) == stored


@pytest.mark.parametrize("outage", ["locked", "read_only"], indirect=True)
def test_a_model_is_not_kept_by_a_store_that_cannot_be_written(
    started, store, client, outage, impatient, tmp_path
):
    make, reason, remedy = outage
    tracker, run_id = started
    with make(store), pytest.raises(TrackingError, match=rf"{reason}.*{remedy}.*--resume \(make: RESUME=1\)"):
        tracker.log_model(tmp_path, name="prompt-tiny", params={}, step=1)
    tracker.end("FAILED")
    assert client.get_run(run_id).outputs.model_outputs == []


@pytest.mark.parametrize("outage", ["locked", "read_only"], indirect=True)
@pytest.mark.parametrize("error", [ValueError("bad row 7"), KeyboardInterrupt(), SystemExit(143)])
def test_an_error_is_not_hidden_by_a_store_that_cannot_be_written(
    started, store, client, outage, error, impatient, caplog
):
    tracker, run_id = started
    with pytest.raises(type(error)) as raised, outage[0](store), true_end_state(tracker):
        raise error
    assert raised.value is error
    (warning,) = warnings_of(caplog)
    assert "The run stays RUNNING in the store" in warning
    assert outage[1] in warning
    assert end_state(client, run_id) == ("RUNNING", None, False)


def test_a_run_whose_end_cannot_be_written_is_no_success(started, store, impatient):
    tracker, _ = started
    with locked(store), pytest.raises(TrackingError, match="database is locked"), true_end_state(tracker):
        pass


def test_after_a_wait_in_vain_the_end_does_not_wait_again(started, store, monkeypatch, tmp_path):
    monkeypatch.setattr(tracker_module, "WAIT_TO_FINISH", 10.0)
    tracker, _ = started
    begun = time.monotonic()
    with locked(store), pytest.raises(TrackingError), true_end_state(tracker):
        tracker.log_model(tmp_path, name="prompt-tiny", params={}, step=1)
    assert 10 <= time.monotonic() - begun < 20  # a second wait would make it 20


def test_figures_that_could_not_be_sent_before_the_end_are_sent_on_resuming(
    started, store, client, impatient, caplog
):
    tracker, run_id = started
    tracker.log_metrics({"train/loss": 0.5}, step=10)
    tracker.flush()
    tracker.log_metrics({"train/loss": 0.4}, step=20)
    tracker.log_metrics({"train/loss": 0.3}, step=30)
    with locked(store), pytest.raises(KeyboardInterrupt), true_end_state(tracker):
        raise KeyboardInterrupt
    assert f"last 2 figures are in {store / f'unsent-{run_id}.json'}" in "".join(warnings_of(caplog))

    again = MlflowTracker(store)
    assert again.resume(run_id)
    again.log_metrics({"train/loss": 0.31}, step=30)  # done again since the training state of step 20
    again.log_metrics({"train/loss": 0.2}, step=40)
    again.end("FINISHED")
    assert curve(client, run_id) == [(10, 0.5), (20, 0.4), (30, 0.3), (40, 0.2)]
    assert not (store / f"unsent-{run_id}.json").exists()
    assert end_state(client, run_id)[0] == "FINISHED"


def test_a_locked_store_is_not_taken_for_one_without_the_run(started, store, impatient):
    _, run_id = started
    again = MlflowTracker(store)
    with locked(store), pytest.raises(TrackingError, match="database is locked"):
        again.resume(run_id)
    assert again.resume("0" * 32) is False


def test_a_store_that_is_deleted_during_a_run_costs_the_record_and_not_the_run(
    store, tmp_path, impatient, caplog
):
    shutil.copytree(store, tmp_path / "mlruns")
    tracker = MlflowTracker(tmp_path / "mlruns")
    tracker.start(experiment="pos", run_name="run", params={}, tags={})
    shutil.rmtree(tmp_path / "mlruns")
    tracker.log_metrics({"train/loss": 1.0}, step=1)
    tracker.flush()
    with pytest.raises(ValueError, match="bad row"), true_end_state(tracker):
        raise ValueError("bad row 7")
    assert not (tmp_path / "mlruns").exists()
    assert "1 figures are lost" in "".join(warnings_of(caplog))


def test_mlflows_global_state_is_left_alone(started, store):
    assert mlflow.active_run() is None
    assert not mlflow.is_tracking_uri_set()


def test_the_tracker_turns_mlflows_usage_reporting_off_and_does_not_load_torch():
    code = (
        "import xlprompt.training.store.mlflow_tracker, sys, mlflow.telemetry.utils as telemetry\n"
        "print(telemetry.MLFLOW_DISABLE_TELEMETRY.get(), 'torch' in sys.modules)"
    )
    environment = {key: value for key, value in os.environ.items() if key != "MLFLOW_DISABLE_TELEMETRY"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    assert done.stdout.split() == ["True", "False"]


def test_runs_whose_process_is_gone_are_ended_when_the_next_begins(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    dead, alive, elsewhere = (MlflowTracker(tmp_path) for _ in range(3))
    ids = [
        tracker.start(experiment="xnli", run_name=name, params={}, tags={})
        for name, tracker in (("dead", dead), ("alive", alive), ("elsewhere", elsewhere))
    ]
    client = mlflow.MlflowClient(tracking_uri=store_uri(tmp_path))
    own = client.get_run(ids[1]).data.tags["process"].split()
    client.set_tag(ids[0], "process", f"{own[0]} {ended.pid} {own[2]}")
    client.set_tag(ids[2], "process", f"another-{own[0]} {ended.pid} {own[2]}")
    held = []

    def another_looks():  # which would find the run RUNNING as well, and give it the same new tag
        try:
            store_lock(tmp_path).acquire(timeout=0).lock.release()
        except Timeout:
            held.append(True)

    with before_the_first("INSERT INTO tags", another_looks):
        MlflowTracker(tmp_path).start(experiment="xnli", run_name="next", params={}, tags={})
    assert held
    assert [client.get_run(run_id).info.status for run_id in ids] == ["KILLED", "RUNNING", "RUNNING"]
    # It may be gone on with all the same.
    assert MlflowTracker(tmp_path).resume(ids[0])
    MlflowTracker(tmp_path).start(experiment="xnli", run_name="another", params={}, tags={})
    assert client.get_run(ids[0]).info.status == "RUNNING"
