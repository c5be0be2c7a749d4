"""Which server or database runs go to, what it is called, and how long it is waited for."""

import os
import socket
import threading

import mlflow
import pytest
from mlflow.entities import Metric

from xlprompt.training.store.database import (
    explained,
    find_experiment,
    open_client,
    open_reader,
    outage,
    store_exists,
    store_problem,
    store_uri,
)
from xlprompt.training.store.mlflow_tracker import MlflowTracker
from xlprompt.training.store.shared import patience
from xlprompt.training.store.shared.patience import begin_work, in_haste, patient_at_work
from xlprompt.training.store.shared.server import (
    experiment_name,
    is_of_others,
    tracking_server,
    why_unreachable,
    without_password,
)
from xlprompt.training.store.sqlite_uri import sqlite_uri
from xlprompt.training.store.tracker import TrackingError

RETRIES, SECONDS = "MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_TIMEOUT"


@pytest.fixture(autouse=True)
def nothing_begun(monkeypatch):
    """This process has no work to lose, whatever ran in it before."""
    monkeypatch.setattr(patience, "_at_work", threading.Event())
    monkeypatch.delenv(RETRIES, raising=False)
    monkeypatch.delenv(SECONDS, raising=False)


@pytest.fixture
def nobody():
    """The address of a port where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


def test_a_folders_own_database_is_no_server(tmp_path, monkeypatch):
    assert tracking_server(tmp_path) is None
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store_uri(tmp_path))
    assert tracking_server(tmp_path) is None
    assert experiment_name("pos", tmp_path) == "pos"
    assert not store_exists(tmp_path)


@pytest.mark.parametrize(
    "address", ["sqlite:///mlflow.db", "sqlite:////{}/mlflow.db", "sqlite+pysqlite:///./mlflow.db"]
)
def test_the_folders_own_database_is_no_server_however_it_is_written(tmp_path, monkeypatch, address):
    """As it stands in the variable after `mlflow.set_tracking_uri`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address.format(str(tmp_path).lstrip("/")))
    assert tracking_server(tmp_path) is None
    assert tracking_server(tmp_path / "another") is not None


def test_on_a_server_experiments_have_a_room_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://mlflow.example.org/")
    assert tracking_server(tmp_path) == "https://mlflow.example.org"
    assert experiment_name("pos", tmp_path) == "xlprompt/pos"
    assert store_exists(tmp_path)


def test_a_run_of_a_server_is_of_others_unless_its_training_states_are_here(tmp_path, monkeypatch):
    (tmp_path / "training-states" / "pos-prompt-seed0-abc").mkdir(parents=True)
    assert not is_of_others(tmp_path, "def")  # without a server, whoever works here holds the locks of here
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://mlflow.example.org")
    assert is_of_others(tmp_path, "def")
    assert not is_of_others(tmp_path, "abc")


@pytest.mark.parametrize("uri", ["./mlruns", "file:///runs", "databricks", "ftp://host"])
def test_what_is_neither_server_nor_database_is_refused(tmp_path, monkeypatch, uri):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(TrackingError, match=r"no address of a server or database\. Give one such as http"):
        tracking_server(tmp_path)


@pytest.mark.parametrize("scheme", ["https", "postgresql"])
def test_passwords_are_not_shown(scheme):
    shown = without_password(f"{scheme}://name:secret@host:5000/mlflow")
    assert "secret" not in shown
    assert "host:5000/mlflow" in shown


def test_a_silent_server_is_told_with_what_to_do(tmp_path, monkeypatch, nobody):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", nobody)
    reason = why_unreachable(nobody, 0.1)
    assert reason.startswith("it does not answer: ")
    assert reason.endswith("refused")
    assert "retries" not in reason
    assert "Start its server again, or correct MLFLOW_TRACKING_URI" in explained(tmp_path, reason)
    assert nobody in store_problem(tmp_path)[0]


def test_mlflow_is_hasty_only_where_it_may_be_and_the_user_has_not_said(monkeypatch):
    with in_haste():
        assert (os.environ[RETRIES], os.environ[SECONDS]) == ("1", "30")
    assert not {RETRIES, SECONDS} & os.environ.keys()
    monkeypatch.setenv(RETRIES, "9")
    with in_haste():
        assert os.environ[RETRIES] == "9"
    assert os.environ[RETRIES] == "9"


def test_a_store_whose_server_is_away_is_not_waited_for_as_a_run_that_has_begun_waits(
    tmp_path, monkeypatch, nobody
):
    monkeypatch.setattr(patience, "_AT_START", 0.0)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", nobody)
    for opens in (open_reader, open_client, MlflowTracker):
        with pytest.raises(TrackingError, match=f"{nobody}: .* does not answer.* Start its server again, or"):
            opens(tmp_path)
    assert patience.patience() == 0.0
    begin_work()
    assert patience.patience() >= 60


def test_a_client_is_hasty_until_there_is_work_to_lose():
    class Client:
        tracking_uri = "http://127.0.0.1:5000"

        def get_run(self, run_id):
            return run_id, os.environ.get(RETRIES)

    client = patient_at_work(Client(), Client.tracking_uri)
    assert client.tracking_uri == Client.tracking_uri
    assert client.get_run("one") == ("one", "1")
    begin_work()
    assert client.get_run("two") == ("two", None)


def test_a_call_that_finds_no_server_is_an_outage_and_no_refusal(nobody):
    with in_haste(), pytest.raises(mlflow.MlflowException) as error:
        mlflow.MlflowClient(tracking_uri=nobody).log_batch("0" * 32, metrics=[Metric("loss", 1.0, 1, 1)])
    assert "127.0.0.1" in outage(error.value)


def test_another_database_holds_runs_with_their_files_beside_the_folder(tmp_path, monkeypatch):
    folder, shared = tmp_path / "mlruns", sqlite_uri(tmp_path / "shared.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", shared)
    client = open_client(folder)
    experiment = client.get_experiment(find_experiment(client, "pos", folder))
    assert experiment.name == "xlprompt/pos"
    assert experiment.artifact_location == (folder / "artifacts").as_uri()
    assert patience.patience() < 60
    run_id = MlflowTracker(folder).start(experiment="pos", run_name="one", params={}, tags={})
    assert patience.patience() >= 60
    assert mlflow.MlflowClient(tracking_uri=shared).get_run(run_id).info.status == "RUNNING"
    assert not (folder / "mlflow.db").exists()
