"""A store whose one run has been multiplied, as `experiments/bench/scale.py` measures stores."""

import importlib.util
from pathlib import Path

import pytest

from xlprompt.studies.grid.ledger import Ledger
from xlprompt.training.store.database import database_file
from xlprompt.training.store.listing import list_runs
from xlprompt.training.store.mlflow_tracker import MlflowTracker
from xlprompt.training.store.tracker import true_end_state

pytestmark = pytest.mark.integration

SCALE = Path(__file__).resolve().parents[3] / "experiments" / "bench" / "scale.py"


def test_the_copies_of_a_run_are_listed_and_known_to_studies(store):
    spec = importlib.util.spec_from_file_location("scale", SCALE)
    scale = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(scale)
    tracker = MlflowTracker(store)
    with true_end_state(tracker):
        tags = {"job": "train", "task": "xnli", "method": "prompt", "model": "nano"}
        tracker.start(experiment="xnli", run_name="one", params={"seed": 0}, tags=tags)
        tracker.log_metrics({"best/accuracy": 50.0, "test/accuracy/en": 60.0})
    scale.multiply_runs(database_file(store), 12)
    listed = list_runs(store)
    assert len({run.run for run in listed}) == 12
    assert sorted(run.seed for run in listed) == list(range(12))
    assert {(run.metric, run.score, run.state) for run in listed} == {("accuracy", 60.0, "FINISHED")}
    assert len(Ledger(store).training_runs(["xnli"])) == 12
