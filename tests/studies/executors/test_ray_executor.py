"""Studies on a real Ray cluster of this machine, against the same in local processes."""

import io
import threading
import time

import psutil
import pytest
from rich.console import Console
from small import write_data
from studies import check_all_finished, runs_of, scores, write_study

from xlprompt.studies.errors import StudyError
from xlprompt.studies.grid.study import run_study
from xlprompt.training.store.training_state import saved_steps

pytest.importorskip("ray", reason="Ray is an extra (xlprompt-studies[ray]) and not installed")

pytestmark = [pytest.mark.integration, pytest.mark.slow]

RAY = {"executor.kind": "ray", "executor.workers": 2}


@pytest.fixture
def study(tmp_path, tiny_xglm):
    changes = {"schedule": {"steps": 400, "evaluate_every": 100, "checkpoint_every": 20}}
    return write_study(tmp_path / "study", tiny_xglm, write_data(tmp_path / "data"), **changes)


@pytest.fixture
def console():
    return Console(file=io.StringIO(), width=120)


def kill_a_ray_worker(store, killed):
    """Kill the Ray worker (and not the process it supervises) of the first cell that has a training state."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        if any(saved_steps(folder) for folder in store.glob("training-states/*")):
            for process in psutil.Process().children(recursive=True):
                if process.name().startswith("ray::") and "_supervise" in " ".join(process.cmdline()):
                    killed.append(process.pid)
                    process.kill()
                    return
        time.sleep(0.05)


def test_ray_gives_the_same_figures_as_local_processes_and_a_killed_worker_loses_no_cell(
    study, tmp_path, console
):
    on_ray, local = tmp_path / "ray", tmp_path / "local"
    killed: list[int] = []
    killer = threading.Thread(target=kill_a_ray_worker, args=(on_ray, killed), daemon=True)
    killer.start()
    result = run_study(study, store=on_ray, console=console, grid_overrides=RAY)
    assert killed
    assert result.finished, console.file.getvalue()
    check_all_finished(on_ray, 2)
    assert len(runs_of(on_ray)[1]) == 2  # the killed cell went on in its own MLflow run
    assert "a local Ray cluster, 2 at a time, each 1 CPU" in console.file.getvalue()
    assert "goes on from step" in console.file.getvalue()

    assert run_study(study, store=local, console=console, grid_overrides={"executor.workers": 2}).finished
    assert scores(on_ray) == scores(local)


def test_a_cell_that_is_larger_than_the_cluster_is_refused(study, tmp_path, console):
    with pytest.raises(StudyError, match="a cell takes 1 CPU and 4 GPUs, and the cluster has"):
        run_study(
            study, store=tmp_path / "mlruns", console=console, grid_overrides=RAY | {"executor.gpus": 4}
        )


def test_an_address_needs_the_ray_executor(study, tmp_path, console):
    with pytest.raises(StudyError, match="--executor ray"):
        run_study(study, store=tmp_path / "mlruns", console=console, address="auto")
