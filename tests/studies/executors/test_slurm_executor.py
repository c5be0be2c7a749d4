"""Studies on a real Slurm of one node, against the same in local processes."""

import io
import os
import signal
import subprocess
import threading
import time

import pytest
from one_node_slurm import NoSlurm, ask, one_node_slurm
from rich.console import Console
from small import write_data
from studies import check_all_finished, runs_of, scores, start_study, write_study

from xlprompt.studies.errors import StudyError
from xlprompt.studies.grid.study import run_study
from xlprompt.training.store.training_state import saved_steps

pytest.importorskip("submitit", reason="submitit is an extra (xlprompt-studies[slurm]) and not installed")

pytestmark = pytest.mark.integration

SLURM = {"executor.kind": "slurm", "executor.slurm.minutes": 10}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """The environment of a Slurm of two cores; skips where there can be none."""
    try:
        with one_node_slurm(tmp_path_factory.mktemp("slurm")) as variables:
            yield variables
    except NoSlurm as reason:
        pytest.skip(f"no Slurm: {reason}")


@pytest.fixture
def slurm(cluster, monkeypatch):
    for name, value in cluster.items():
        monkeypatch.setenv(name, value)
    return cluster


@pytest.fixture
def study(tmp_path, tiny_xglm):
    changes = {"schedule": {"steps": 400, "evaluate_every": 100, "checkpoint_every": 20}}
    return write_study(tmp_path / "study", tiny_xglm, write_data(tmp_path / "data"), **changes)


@pytest.fixture
def console():
    return Console(file=io.StringIO(), width=120)


def numbers(slurm):
    return ask(slurm, "squeue", "--noheader", "--states=RUNNING", "--format=%i").split()


def cancel_a_job_in_training(store, slurm, cancelled):
    """`scancel` the only running job once its cell has a training state."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not cancelled:
        if any(saved_steps(folder) for folder in store.glob("training-states/*")):
            for number in numbers(slurm)[:1]:
                ask(slurm, "scancel", number)
                cancelled.append(number)
        time.sleep(0.1)


def test_slurm_gives_the_same_figures_as_local_processes_and_a_cancelled_job_loses_no_cell(
    slurm, study, tmp_path, console
):
    on_slurm, local = tmp_path / "slurm-store", tmp_path / "local"
    cancelled: list[str] = []
    arguments = (on_slurm, slurm, cancelled)
    threading.Thread(target=cancel_a_job_in_training, args=arguments, daemon=True).start()
    result = run_study(study, store=on_slurm, console=console, grid_overrides=SLURM)
    said = console.file.getvalue()
    print(said)
    assert cancelled
    assert result.finished, said
    check_all_finished(on_slurm, 2)
    assert len(runs_of(on_slurm)[1]) == 2  # the cancelled cell went on in its own MLflow run
    assert f"Slurm job {cancelled[0]} CANCELLED); trying again" in said
    assert "goes on from step" in said
    assert not list((on_slurm / "slurm").iterdir())

    assert run_study(study, store=local, console=console, grid_overrides={"executor.workers": 2}).finished
    assert scores(on_slurm) == scores(local)
