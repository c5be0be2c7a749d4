"""Studies whose runs go to a real MLflow server, which dies and comes back, on sqlite and on PostgreSQL."""

import importlib.util
import io
import shutil
import threading
import time
from pathlib import Path

import mlflow
import pytest
from mlflow_server import NoPostgres, mlflow_server, postgres
from rich.console import Console
from small import write_data
from studies import write_study

from xlprompt.studies.grid.ledger import Ledger
from xlprompt.studies.grid.study import run_study
from xlprompt.training.exchange.run_facts import facts_of_model
from xlprompt.training.store.find import find_checkpoint
from xlprompt.training.store.training_state import saved_steps

pytestmark = pytest.mark.integration


@pytest.fixture
def study(tmp_path, tiny_xglm):
    schedule = {"steps": 100, "evaluate_every": 50, "checkpoint_every": 10}
    return write_study(tmp_path / "study", tiny_xglm, write_data(tmp_path / "data"), schedule=schedule)


@pytest.fixture
def console():
    return Console(file=io.StringIO(), width=120)


def kill_and_start_again(server, store, away):
    """Take the server away for some seconds as soon as a cell has a training state."""
    while not any(saved_steps(folder) for folder in store.glob("training-states/*")):
        time.sleep(0.05)
    server.kill()
    time.sleep(5)
    server.start()
    away.append(True)


def check_on_server(uri: str, cells: int) -> list[str]:
    client = mlflow.MlflowClient(tracking_uri=uri)
    assert {each.name for each in client.search_experiments()} == {"Default", "xlprompt/xnli"}
    experiment = client.get_experiment_by_name("xlprompt/xnli")
    runs = client.search_runs([experiment.experiment_id])
    assert {run.info.status for run in runs} == {"FINISHED"}
    trained = [run for run in runs if run.data.tags["job"] == "train"]
    assert len(trained) == cells
    assert len(runs) == cells + 1
    assert all(run.info.artifact_uri.startswith("mlflow-artifacts:") for run in trained)
    return [run.info.run_id for run in trained]


def test_a_server_that_dies_and_comes_back_costs_a_study_nothing(
    study, tmp_path, console, monkeypatch, capfd
):
    store, folder = tmp_path / "mlruns", tmp_path / "server"
    folder.mkdir()
    away: list[bool] = []
    with mlflow_server(folder) as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
        arguments = (server, store, away)
        threading.Thread(target=kill_and_start_again, args=arguments, daemon=True).start()
        result = run_study(study, store=store, console=console, grid_overrides={"executor.workers": 2})
        assert away
        assert result.finished, console.file.getvalue()
        first, _ = check_on_server(server.uri, 2)
        assert not (store / "mlflow.db").exists()
        assert not list((store / "training-states").glob("*"))

        assert run_study(study, store=store, console=console).plan.to_do == ()
        assert "View run" not in capfd.readouterr().out  # which MLflow prints for each run
        shutil.rmtree(store)  # another machine, which has nothing but the server
        checkpoint, model_id = find_checkpoint(first, store)
        assert checkpoint.metadata.task == "xnli"
        assert {"en", "de"} <= facts_of_model(store, model_id).report["results"].keys()
        predictions = Ledger(store).predictions(first)
        assert {"en", "de"} <= predictions.keys()
        assert all(path.is_file() for path in predictions.values())
        assert run_study(study, store=store, console=console).plan.to_do == ()


def test_a_server_on_postgresql_holds_a_study_as_well(study, tmp_path, console, monkeypatch):
    if importlib.util.find_spec("psycopg") is None:
        pytest.skip("no driver for PostgreSQL (psycopg)")
    store, folder = tmp_path / "mlruns", tmp_path / "server"
    folder.mkdir()
    try:
        with postgres(Path(tmp_path / "postgres")) as database, mlflow_server(folder, database) as server:
            monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
            one = {"executor.workers": 0, "seeds": [0]}
            assert run_study(study, store=store, console=console, grid_overrides=one).finished
            check_on_server(server.uri, 1)
    except NoPostgres as reason:
        pytest.skip(f"no PostgreSQL: {reason}")
