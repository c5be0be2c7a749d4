"""A run that is killed at every kind of moment of its life ends with one of everything, as one left alone."""

import math
import os
import random
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import mlflow
import pytest
import yaml
from small import tiny_recipe, write_data

from xlprompt.training import load_recipe
from xlprompt.training.store.database import store_uri
from xlprompt.training.store.interrupted import LATEST, find_interrupted, remove_leftovers
from xlprompt.training.store.metric_names import PHASE_SECONDS
from xlprompt.training.store.mlflow_tracker import MlflowTracker
from xlprompt.training.store.stored_models import local_path

pytestmark = pytest.mark.integration

STATES = "xlprompt.training.store.training_state:TrainingStates"
CLIENT = "mlflow:MlflowClient"
SQL = "mlflow.store.tracking.sqlalchemy_store:SqlAlchemyStore"

MAKING = [  # MLflow's migrations are some 1,500 statements
    "sqlalchemy.engine.default:DefaultDialect.do_execute 40 before",
    "sqlalchemy.engine.default:DefaultDialect.do_execute 700 after",
    "xlprompt.training.store.new_database:Path.replace 1 before",
]
TRAINING = [
    f"{CLIENT}.create_run 1 after",
    f"{CLIENT}.log_inputs 1 after",
    f"{STATES}.save 1 before",
    f"{STATES}.save_best 1 after",  # which no state refers to yet
    f"{STATES}.save 2 after",
    f"{STATES}._prune 2 before",
    "xlprompt.training.fitting.engine:TorchEngine.step 3 after",
]
STORING = [
    "xlprompt.training.runs.train:save_checkpoint 1 before",
    f"{CLIENT}.create_logged_model 1 after",
    "shutil:copy2 1 after",  # one of a checkpoint's files
    f"{CLIENT}.finalize_logged_model 1 after",  # the run does not know of it yet
    f"{CLIENT}.log_outputs 1 after",
]
SCORING = [
    "xlprompt.training.runs.scoring:save_predictions 2 after",
    "shutil:copystat 2 before",  # an artifact under its temporary name
    f"{SQL}._log_model_metrics 1 before",  # the run has the scores, the model not
    f"{SQL}._log_model_metrics 1 after",
    "xlprompt.training.runs.train:measured 1 before",
    f"{CLIENT}.set_terminated 1 before",
]

OF_TIME = ("cost/", "train/tokens_per_second")  # which differ from run to run


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture
def recipe(tiny_xglm, data, tmp_path):
    def write(method, **schedule):
        values = tiny_recipe(
            "xnli",
            tiny_xglm,
            data,
            method=method,
            data={"source": str(data), "languages": ["en", "de"], "limit": 16},
            backbone_dropout="pretrained",  # so that the random generators matter
            schedule={"steps": 24, "evaluate_every": 3, "checkpoint_every": 2, **schedule},
        )
        path = tmp_path / f"{method}.yaml"
        path.write_text(yaml.safe_dump(values.model_dump(mode="json")))
        return path

    return write


def attempts(recipe: Path | str, *points: tuple[Path, str], engine: str = "torch") -> list[int]:
    """How processes ended that were to die at these points, each going on where the one before died.

    Args:
        recipe: Its file, or nothing to make a store only.
        points: Each process's store and point, see tests/support/killed.py.
        engine: What trains.
    """
    script = Path(__file__).parents[2] / "support" / "killed.py"
    arguments = [str(part) for pair in points for part in pair]
    done = subprocess.run(
        [sys.executable, str(script), str(recipe), engine, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    ends = [int(line.rpartition(" ")[2]) for line in done.stdout.splitlines() if line.startswith("== ")]
    assert len(ends) == len(points), done.stdout + done.stderr
    assert all(end in (0, -signal.SIGKILL) for end in ends), done.stdout + done.stderr
    return ends


def contents(store: Path) -> dict:
    """What a store holds of its one finished run, without what differs in names and times."""
    client = mlflow.MlflowClient(tracking_uri=store_uri(store))
    experiment = client.get_experiment_by_name("xnli").experiment_id
    runs = client.search_runs([experiment])
    assert Counter(run.info.status for run in runs)["FINISHED"] == 1
    assert {run.info.status for run in runs} <= {"FINISHED", "KILLED"}
    (run,) = [run for run in runs if run.info.status == "FINISHED"]
    assert "error" not in run.data.tags
    (model,) = client.search_logged_models([experiment])
    assert str(model.status) == "READY"
    assert [output.model_id for output in run.outputs.model_outputs] == [model.model_id]
    folder = local_path(model.artifact_location)
    assert [path.name for path in (store / "artifacts" / "models").iterdir()] == [model.model_id]
    assert not list((store / "training-states").glob("*"))
    hidden = [path for path in store.rglob(".*") if path.name != ".lock"]
    assert not [*hidden, *store.glob("tmp*"), *store.glob("unsent*")]

    curves = {}
    # Phases are told of the last attempt, and all earlier ones are one.
    for key in (key for key in run.data.metrics if not key.startswith(PHASE_SECONDS)):
        history = client.get_metric_history(run.info.run_id, key)
        points = [(point.step, point.value) for point in history if not math.isnan(point.value)]  # as yet
        assert len({step for step, _ in points}) == len(points), key  # each of them once
        curves[key] = [step if key.startswith(OF_TIME) else (step, value) for step, value in sorted(points)]
    artifacts = local_path(run.info.artifact_uri)
    files = {path.relative_to(artifacts).as_posix(): path for path in artifacts.rglob("*") if path.is_file()}
    return {
        "curves": curves,
        "artifacts": files.keys(),
        "predictions": {name: path.read_bytes() for name, path in files.items() if "predictions/" in name},
        "checkpoint": {path.name: path.read_bytes() for path in folder.iterdir()},
        "figures of the model": Counter(metric.key for metric in model.metrics),
        "inputs": Counter(each.dataset.name for each in run.inputs.dataset_inputs),
        "params": run.data.params,
    }


def check(store: Path, twin: Path) -> None:
    ours, theirs = contents(store), contents(twin)
    for what, value in theirs.items():
        assert ours[what] == value, what


def check_kills(points: list[str], recipe: Path, store: Path, twin: Path) -> None:
    """Kill at every point and, when all is done, once more; compare with a run that was left alone."""
    points = [*points, f"{STATES}.delete 1 before"]
    ends = attempts(recipe, (twin, "alone"), *((store, point) for point in points))
    assert dict(zip(["alone", *points], ends, strict=True)) == {
        "alone": 0,
        **dict.fromkeys(points, -signal.SIGKILL),
    }
    assert list((store / "training-states").glob("*"))
    remove_leftovers(store)
    assert find_interrupted(store, load_recipe(recipe), LATEST) is None
    check(store, twin)


def test_a_store_whose_making_is_killed_is_made_by_the_next_call(tmp_path):
    store = tmp_path / "mlruns"
    points = MAKING[1:]
    ends = attempts("", *((store, point) for point in points), (store, "alone"))
    assert ends == [-signal.SIGKILL] * len(points) + [0]
    assert {path.name for path in store.iterdir()} == {".lock", "mlflow.db"}
    assert MlflowTracker(store).start(experiment="xnli", run_name="run", params={}, tags={})


def test_a_run_killed_while_its_checkpoint_is_stored_or_scored_ends_as_one_left_alone(
    recipe, store, empty_store, tmp_path, own_cache
):
    twin = Path(shutil.copytree(empty_store, tmp_path / "twin"))
    points = [STORING[2], STORING[3], SCORING[1], SCORING[2], SCORING[5]]
    check_kills(points, recipe("prompt"), store, twin)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["prompt", "finetune"])
def test_a_run_killed_at_twenty_points_of_its_life_ends_as_one_left_alone(
    method, recipe, tmp_path, own_cache
):
    points = [*MAKING, *TRAINING, *STORING, *SCORING]
    assert len(points) > 20
    check_kills(points, recipe(method), tmp_path / "mlruns", tmp_path / "twin")


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["torch", "deepspeed"])
def test_a_run_killed_after_twenty_lengths_of_time_ends_as_one_left_alone(
    engine, recipe, tmp_path, own_cache
):
    path = recipe("finetune", steps=60)
    store, twin = tmp_path / "mlruns", tmp_path / "twin"
    attempts(path, (twin, "alone"), engine=engine)
    # One that comes to its end in time is the last: there is nothing left to go on with.
    for moment in [*(f"{random.Random(number).uniform(0.05, 4.0):.3f}" for number in range(20)), "alone"]:
        if attempts(path, (store, moment), engine=engine) == [0]:
            break
    check(store, twin)
