"""Runs by what people call them: latest, names, beginnings of ids; and the table of a store's runs."""

import logging
import re
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from itertools import product

import pytest

from xlprompt.training import TrackingError, find_checkpoint
from xlprompt.training.errors import CheckpointError
from xlprompt.training.store.database import open_client
from xlprompt.training.store.find import find_place, find_run_id
from xlprompt.training.store.interrupted import LATEST
from xlprompt.training.store.labels import PARENT_TAG, VARIANT_TAG
from xlprompt.training.store.listing import list_runs
from xlprompt.training.store.mlflow_tracker import MlflowTracker
from xlprompt.training.store.sqlite_uri import sqlite_uri

IDS = ("abcd" + "0" * 28, "abcd" + "1" * 28, "ef01" + "2" * 28)


@pytest.fixture
def add(store):
    """Adds a run to the store, each a second after the one before."""
    made = []

    def run(
        task="xnli",
        method="prompt",
        state="FINISHED",
        job="train",
        name=None,
        scores=(),
        experiment=None,
        more=(),
    ):
        client, experiment = open_client(store), experiment or task
        found = client.get_experiment_by_name(experiment)
        experiment = found.experiment_id if found else client.create_experiment(experiment)
        tags = {"job": job, "task": task, "method": method, "model": "bigscience/bloom-560m", **dict(more)}
        begun = 1_700_000_000_000 + 1000 * len(made)
        new = client.create_run(
            experiment, start_time=begun, tags=tags, run_name=name or f"{task}-{method}-bloom-560m-seed0"
        )
        made.append(new.info.run_id)
        for key, value in {"total_params": 2000, "trainable_params": 3, "seed": 4}.items():
            client.log_param(new.info.run_id, key, value)
        for key, value in dict(scores).items():
            client.log_metric(new.info.run_id, key, value)
        client.set_terminated(new.info.run_id, state)
        return new.info.run_id

    return run


def test_latest_is_the_newest_training_run_that_has_finished(add, store):
    with pytest.raises(TrackingError, match="no training run has finished"):
        find_run_id(LATEST, store)
    add()
    newest = add(task="pos")
    add(state="KILLED")
    add(job="evaluate")
    assert find_run_id(LATEST, store) == newest


def test_latest_is_of_those_with_a_checkpoint_where_one_is_needed_and_that_is_said(
    add, store, tmp_path, caplog
):
    add(method="zeroshot")
    with pytest.raises(TrackingError, match="no finished run of this store has a checkpoint, as xnli-zero"):
        find_place(LATEST, store)
    tracker = MlflowTracker(store)
    trained = tracker.start(
        experiment="xnli", run_name="lora", params={}, tags={"job": "train", "task": "xnli"}
    )
    (tmp_path / "weights").mkdir()
    tracker.log_model(tmp_path / "weights", name="lora", params={}, step=1)
    tracker.end("FINISHED")
    assert find_place(LATEST, store) == trained
    assert not caplog.records
    with closing(sqlite3.connect(store / "mlflow.db")) as database, database:
        database.execute("UPDATE runs SET start_time = 1 WHERE run_uuid = ?", (trained,))
    assert find_place(LATEST, store) == trained
    assert f"{trained} (xnli-lora) is taken, the newest with a checkpoint: xnli-zeroshot" in caplog.text
    assert find_run_id(LATEST, store) != trained


def test_a_name_means_the_newest_finished_run_that_has_it_and_that_is_said(add, store, caplog):
    only = add(method="lora")
    assert find_run_id("xnli-lora-bloom-560m-seed0", store) == only
    assert not caplog.records
    add()
    newest = add()
    add(state="FAILED")
    with caplog.at_level(logging.WARNING):
        assert find_run_id("xnli-prompt-bloom-560m-seed0", store) == newest
    assert (
        f"3 runs are called xnli-prompt-bloom-560m-seed0: {newest} is taken, the newest that has"
        in caplog.text
    )


def test_of_unfinished_runs_of_a_name_the_newest_is_taken_and_that_none_has_finished_is_said(
    add, store, caplog
):
    add(state="KILLED")
    newest = add(state="FAILED")
    with caplog.at_level(logging.WARNING):
        assert find_run_id("xnli-prompt-bloom-560m-seed0", store) == newest
    assert f"{newest} is taken, the newest; none has finished. Others" in caplog.text


def test_a_name_with_and_in_it_is_a_name(add, store):
    named = add(name="black and white")
    assert find_run_id("black and white", store) == named
    with pytest.raises(TrackingError, match="white and black"):
        find_run_id("white and black", store)


def test_a_run_that_an_earlier_version_named_without_its_task_is_found_by_the_whole_name(add, store):
    add(task="pos", name="prompt-bloom-560m-seed0")
    old = add(name="prompt-bloom-560m-seed0")
    assert find_run_id("xnli-prompt-bloom-560m-seed0", store) == old
    assert [run.name for run in list_runs(store, limit=1)] == ["xnli-prompt-bloom-560m-seed0"]


def test_the_beginning_of_an_id_is_enough_and_more_of_it_is_asked_for_where_several_begin_so(add, store):
    made = [add() for _ in IDS]
    with closing(sqlite3.connect(store / "mlflow.db")) as database, database:
        for (old, new), table in product(zip(made, IDS, strict=True), ("runs", "tags")):
            database.execute(f"UPDATE {table} SET run_uuid = ? WHERE run_uuid = ?", (new, old))
    assert find_run_id("ef01", store) == IDS[2]
    assert find_run_id(IDS[0][:5], store) == IDS[0]
    with pytest.raises(
        TrackingError, match=rf"begins the ids of 2 runs: {IDS[1]} \(xnli.*{IDS[0]}.*more of it"
    ):
        find_run_id("abcd", store)
    with pytest.raises(TrackingError, match="no run 'ef0'"):
        find_run_id("ef0", store)
    evaluation = add(job="evaluate", name="evaluate-xnli")
    assert find_run_id(evaluation[:8], store) == find_run_id("evaluate-xnli", store) == evaluation
    with pytest.raises(TrackingError, match="no checkpoint: it scored one that is not in this store"):
        find_checkpoint(evaluation[:8], store)
    with pytest.raises(TrackingError, match="no checkpoint: it is no training run"):
        find_checkpoint(add(job="study"), store)
    with pytest.raises(TrackingError, match="it trained nothing"):
        find_checkpoint(IDS[2], store)


def test_an_unknown_run_is_answered_with_those_that_may_be_meant(add, store):
    with pytest.raises(TrackingError, match="has no training run"):
        find_run_id("it's one", store)
    run = add(method="lora")
    for _ in range(6):
        add(task="pos", method="prompt")
    with pytest.raises(TrackingError, match=rf"no run 'xnli-lora-bloom'.*Near it: .*{run} \(xnli-lora"):
        find_run_id("xnli-lora-bloom", store)
    with pytest.raises(TrackingError, match=r"no run 'zz'.*The newest: .* and 2 more.*xlprompt runs"):
        find_run_id("zz", store)
    with pytest.raises(
        TrackingError, match=r"store, and of a folder it has no answers.*more of its id; `xlp"
    ):
        find_run_id(str(store.parent), store)


def test_looking_for_a_run_makes_no_store(tmp_path):
    for look in (lambda: find_run_id(LATEST, tmp_path / "no"), lambda: list_runs(tmp_path / "no")):
        with pytest.raises(TrackingError, match="no MLflow store here"):
            look()
    assert not (tmp_path / "no").exists()


def test_a_folder_comes_before_a_run_and_the_hub_after_both(tmp_path, store, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "owner").mkdir()
    assert find_place("owner", store) == tmp_path.__class__("owner")
    with pytest.raises(CheckpointError, match="owner/name: no checkpoint here"):
        find_checkpoint("owner/name", store)
    with pytest.raises(CheckpointError, match="other/name: no such folder here, and as a hub id"):
        find_checkpoint("other/name", store)


def test_runs_are_listed_newest_first_with_what_they_came_to(add, store):
    scores = {"best/step": 3.0, "best/f1": 70.0, "test/f1/en": 80.5, "test/f1/mean_zero_shot": 40.25}
    first = add(task="ner", method="lora", scores=scores)
    add(state="FAILED")
    unfinished, finished = list_runs(store)
    assert (finished.run, finished.name, finished.model) == (first, "ner-lora-bloom-560m-seed0", "bloom-560m")
    assert (finished.metric, finished.score, finished.zero_shot) == ("f1", 80.5, 40.25)
    assert (finished.trainable_percent, finished.seed) == (0.15, 4)
    assert finished.started == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    assert finished.to_dict()["started"] == "2023-11-14T22:13:20+00:00"
    assert (unfinished.state, unfinished.metric, unfinished.score) == ("FAILED", None, None)
    for asked in ({"task": "ner"}, {"method": "lora"}, {"task": "ner", "model": "bloom-560m"}):
        assert [run.run for run in list_runs(store, **asked)] == [first]
    assert [run.run for run in list_runs(store, model="bigscience/bloom-560m", limit=1)] == [unfinished.run]
    assert list_runs(store, model="xglm-nano") == list_runs(store, task="pos", method="lora") == []
    for asked, near in (
        ({"task": "nerr"}, "no task is called 'nerr'. Did you mean ner?"),
        ({"method": "loar"}, "Did you mean lora? Runs are of: prompt, lora"),
        ({"model": "facebook/xglm-564m"}, "Did you mean xglm-564M? Runs are of: bloom-560m"),
    ):
        with pytest.raises(TrackingError, match=re.escape(near)):
            list_runs(store, **asked)


def test_runs_of_an_ablation_are_listed_with_the_name_of_their_variant(add, store):
    add()
    add(more={PARENT_TAG: add(job="study")})
    add(more={PARENT_TAG: add(job="study", more={VARIANT_TAG: "two-positions"})})
    listed = list_runs(store)
    assert [run.variant for run in listed] == ["two-positions", "", ""]
    assert listed[0].to_dict()["variant"] == "two-positions"


def test_on_a_shared_server_other_peoples_runs_are_not_meant(add, store, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", sqlite_uri(tmp_path / "shared.db"))
    ours = add(experiment="xlprompt/xnli")
    theirs = add(experiment="their classifier")
    assert find_run_id(LATEST, store) == ours
    assert [run.run for run in list_runs(store)] == [ours]
    with pytest.raises(TrackingError, match="no run"):
        find_run_id(theirs[:12], store)
