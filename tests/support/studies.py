"""Studies with tiny recipes, the processes that run them, and what they must leave in the store."""

import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import mlflow
import psutil
import yaml
from small import tiny_recipe

from xlprompt.training.recipes.recipe import recipe_to_dict
from xlprompt.training.store.database import store_uri

FORK_SERVER = "xlprompt.studies.executors.fork_server"
DRIVER = "from xlprompt.cli.main import main; main()"


def write_study(
    folder: Path, model: Path, data: Path, *, tasks=("xnli",), methods=("prompt",), **changes
) -> Path:
    """A grid file with tiny recipes beside it; `changes` as in `tiny_recipe`. Two seeds, a thread a cell."""
    folder.mkdir(parents=True, exist_ok=True)
    for task in tasks:
        for method in methods:
            recipe = tiny_recipe(task, model, data, method=method, **changes)
            (folder / f"{task}-{method}.yaml").write_text(yaml.safe_dump(recipe_to_dict(recipe)))
    grid = folder / "study.yaml"
    values = {
        "tasks": list(tasks),
        "methods": list(methods),
        "seeds": 2,
        "executor": {"threads": 1, "gpus": 0},
    }
    grid.write_text(yaml.safe_dump(values))
    return grid


def runs_of(store: Path, *tasks: str):
    client = mlflow.MlflowClient(tracking_uri=store_uri(store))
    ids = [client.get_experiment_by_name(task).experiment_id for task in tasks or ("xnli",)]
    runs = client.search_runs(ids, max_results=1000)
    parents = [run for run in runs if run.data.tags["job"] == "study"]
    return parents, [run for run in runs if run not in parents]


def finished_children(store: Path, *tasks: str) -> Counter:
    """Finished children by task and seed, each of which must be there once."""
    parents, others = runs_of(store, *tasks)
    ids = {parent.info.run_id for parent in parents}
    return Counter(
        (run.data.tags["task"], run.data.tags["method"], run.data.params["seed"])
        for run in others
        if run.info.status == "FINISHED" and run.data.tags.get("mlflow.parentRunId") in ids
    )


def check_all_finished(store: Path, cells: int, *tasks: str) -> None:
    parents, others = runs_of(store, *tasks)
    counts = finished_children(store, *tasks)
    assert len(counts) == cells
    assert set(counts.values()) == {1}
    assert {parent.info.status for parent in parents} == {"FINISHED"}
    assert "RUNNING" not in {run.info.status for run in others}
    assert not [run for run in parents + others if run.info.status == "FINISHED" and "error" in run.data.tags]
    assert not list((store / "training-states").glob("*"))


def scores(store: Path, *tasks: str):
    """Test metrics of the finished children, by task and seed."""
    return {
        (run.data.tags["task"], run.data.tags["method"], run.data.params["seed"]): {
            key: value for key, value in run.data.metrics.items() if key.startswith("test/")
        }
        for run in runs_of(store, *tasks)[1]
        if run.info.status == "FINISHED" and "cell_fingerprint" in run.data.tags
    }


def start_study(grid: Path, store: Path, *options: str) -> subprocess.Popen[str]:
    return start_command("study", grid, store, *options)


def start_command(command: str, file: Path, store: Path, *options: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.Popen(
        [sys.executable, "-u", "-c", DRIVER, command, str(file), "--mlruns", str(store), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    )


def workers_of(
    process: subprocess.Popen[str], module: str = "xlprompt.studies.grid.worker"
) -> list[psutil.Process]:
    """Processes that do jobs: begun by the module's name, or forked from the one that imports it for them."""
    there = [
        each for each in psutil.Process(process.pid).children(recursive=True) if module in each.cmdline()
    ]
    servers = {each.pid for each in there if FORK_SERVER in each.cmdline()}
    return [each for each in there if each.pid not in servers or each.ppid() in servers]


def wait_for_training(process: subprocess.Popen[str], store: Path) -> None:
    """Until a training state has been written that was not there before."""

    def states() -> set[Path]:
        return set(store.glob("training-states/*/step-*"))

    before = states()
    while states() <= before:
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.1)


def gone(processes: list[psutil.Process], seconds: float) -> bool:
    _, alive = psutil.wait_procs(processes, timeout=seconds)
    return not [each for each in alive if each.status() != psutil.STATUS_ZOMBIE]
