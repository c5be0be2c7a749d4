"""Stores in folders with any letter in their names."""

import shutil

import pytest
from sqlalchemy.engine import make_url

from xlprompt.studies.search.database import database_beside
from xlprompt.training.store.database import find_model, open_client
from xlprompt.training.store.mlflow_tracker import MlflowTracker
from xlprompt.training.store.sqlite_uri import sqlite_uri
from xlprompt.training.store.stored_models import local_path

ODD = ["a%20b?c#d [x] é", "100 % sure", "[red]", "why?mode=ro", "ज\"'$&;", "a+b=c,d@e:f"]


@pytest.mark.parametrize("name", ODD)
def test_the_address_of_a_database_is_that_of_its_file(tmp_path, name):
    file = tmp_path / name / "mlflow.db"
    assert make_url(f"{sqlite_uri(file)}?timeout=60").database == str(file)
    assert make_url(database_beside(tmp_path / name)).database == str(tmp_path / name / "search.db")


@pytest.mark.integration
@pytest.mark.parametrize("name", ODD)
def test_a_store_keeps_and_finds_files_in_a_folder_of_any_name(tmp_path, empty_store, name):
    store = tmp_path / name / "mlruns"
    shutil.copytree(empty_store, store)
    checkpoint = tmp_path / "checkpoint"
    checkpoint.mkdir()
    (checkpoint / "file").write_text("text")
    tracker = MlflowTracker(store)
    run_id = tracker.start(experiment="x", run_name=name, params={"model": name}, tags={})
    tracker.log_artifact(checkpoint / "file", "folder")
    tracker.log_model(checkpoint, name="model", params={}, step=1)
    tracker.end("FINISHED")
    assert (find_model(store, run_id).directory / "file").read_text() == "text"
    artifacts = local_path(open_client(store).get_run(run_id).info.artifact_uri)
    assert (artifacts / "folder" / "file").read_text() == "text"
    assert artifacts.is_relative_to(store)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, "checkpoint"])
