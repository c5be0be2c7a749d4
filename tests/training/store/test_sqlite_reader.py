"""The reader of a folder's own store answers as MLflow does."""

import shutil
import sqlite3

import pytest
from mlflow.entities import Metric
from mlflow.store.db.utils import _get_latest_schema_revision

from xlprompt.training.store.database import connect, database_file, find_experiment, open_reader
from xlprompt.training.store.mlflow_tracker import MlflowTracker
from xlprompt.training.store.reading.sqlite_reader import SCHEMA, NotInStore, SqliteReader, open_sqlite
from xlprompt.training.store.stored_models import models_of

pytestmark = pytest.mark.integration

CONDITIONS = (
    "",
    "tags.job = 'train'",
    "attributes.status = 'FINISHED' and tags.job = 'train'",
    "attributes.run_name = 'second'",
    "tags.note LIKE '_%'",
    "attributes.run_name = 'black and white' and tags.job = 'train'",
)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    store = tmp_path_factory.mktemp("mlruns")
    for name, state in (("first", "FINISHED"), ("second", "FAILED"), ("black and white", "FINISHED")):
        tracker = MlflowTracker(store)
        tags = {"job": "train", **({"note": "seen"} if name == "black and white" else {})}
        run = tracker.start(experiment="xnli", run_name=name, params={"seed": 1}, tags=tags)
        tracker.log_metrics({"score": 1.0}, step=1)
        tracker.log_metrics({"score": float("nan"), "other": 2.5}, step=2)
        files = store / "files"
        files.mkdir(exist_ok=True)
        (files / "weights").write_bytes(name.encode())
        model = tracker.log_model(files, name="model", params={}, step=2)
        tracker.end(state)
        if name == "second":
            deleted = run
    evaluation = MlflowTracker(store)
    evaluation.start(experiment="xnli", run_name="evaluate-second", params={}, tags={"job": "evaluate"})
    evaluation.use_model(model.model_id)
    evaluation.end("FINISHED")
    client = connect(store)
    experiment = find_experiment(client, "xnli", store)
    gone = client.create_run(experiment)
    client.delete_run(gone.info.run_id)
    client.log_batch(deleted, metrics=[Metric("late", 3.0, 1, 0)], synchronous=True)
    find_experiment(client, "pos", store)
    return store


def told(run):
    info, data = run.info, run.data
    return (
        (info.run_id, info.run_name, info.experiment_id, info.status, info.start_time, info.end_time),
        (info.lifecycle_stage, info.artifact_uri),
        (dict(data.params), dict(data.tags), repr(sorted(data.metrics.items()))),
        [(each.model_id, each.step) for each in run.outputs.model_outputs],
    )


def test_a_folders_own_store_is_read_by_sqlite(store):
    assert isinstance(open_reader(store), SqliteReader)


def test_the_known_schema_is_that_of_the_installed_mlflow():
    assert _get_latest_schema_revision() == SCHEMA


@pytest.mark.parametrize("condition", CONDITIONS)
def test_runs_are_found_as_mlflow_finds_them(store, condition):
    ours, theirs = open_reader(store), connect(store)
    experiments = [each.experiment_id for each in theirs.search_experiments()]
    assert [each.experiment_id for each in ours.search_experiments()] == experiments
    order = ["attributes.start_time DESC"]
    expected = theirs.search_runs(experiments, condition, order_by=order)
    found = ours.search_runs(experiments, condition, order_by=order)
    assert list(map(told, found)) == list(map(told, expected))


def test_pages_follow_each_other(store):
    ours = open_reader(store)
    experiments = [each.experiment_id for each in ours.search_experiments()]
    first = ours.search_runs(experiments, max_results=3)
    second = ours.search_runs(experiments, max_results=3, page_token=first.token)
    names = [run.info.run_name for run in (*first, *second)]
    assert names == ["evaluate-second", "black and white", "second", "first"]
    assert second.token is None


def test_a_run_its_history_and_its_model_are_as_mlflow_has_them(store):
    ours, theirs = open_reader(store), connect(store)
    experiment = theirs.get_experiment_by_name("xnli")
    assert ours.get_experiment_by_name("xnli").experiment_id == experiment.experiment_id
    assert ours.get_experiment_by_name("none") is None
    run = theirs.search_runs([experiment.experiment_id], "tags.job = 'train'")[0]
    assert told(ours.get_run(run.info.run_id)) == told(theirs.get_run(run.info.run_id))
    (points, expected) = (each.get_metric_history(run.info.run_id, "score") for each in (ours, theirs))
    assert [(repr(p.value), p.timestamp, p.step) for p in points] == [
        (repr(p.value), p.timestamp, p.step) for p in expected
    ]
    (output,) = run.outputs.model_outputs
    model, expected_model = ours.get_logged_model(output.model_id), theirs.get_logged_model(output.model_id)
    assert model.artifact_location == expected_model.artifact_location
    assert model.source_run_id == run.info.run_id
    assert model.status == str(expected_model.status)


def test_the_model_that_an_evaluation_has_scored_is_the_one_that_mlflow_has(store):
    ours, theirs = open_reader(store), connect(store)
    (evaluation,) = ours.search_runs(["1"], "tags.job = 'evaluate'")
    (model,) = models_of(theirs.get_run(evaluation.info.run_id))
    assert models_of(evaluation) == [model]
    assert ours.get_run(ours.get_logged_model(model).source_run_id).info.run_name == "black and white"


def test_what_is_not_there_is_told(store):
    with pytest.raises(NotInStore):
        open_reader(store).get_run("0" * 32)
    with pytest.raises(NotInStore):
        open_reader(store).get_logged_model("m-0")


def test_a_condition_that_is_not_known_is_refused(store):
    with pytest.raises(ValueError, match="no condition that is known here"):
        open_reader(store).search_runs(["1"], "metrics.score > 1")


def test_another_schema_and_no_database_are_left_to_mlflow(store, tmp_path):
    copy = tmp_path / "mlflow.db"
    shutil.copy(database_file(store), copy)
    with sqlite3.connect(copy) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'another'")
    assert open_sqlite(copy) is None
    copy.write_text("no database")
    assert open_sqlite(copy) is None
