"""Studies on a real Slurm of one node, against the same in local processes."""

import io
import os
import re
import signal
import threading
import time

import pytest
from one_node_slurm import NoSlurm, ask, one_node_slurm
from rich.console import Console
from small import write_data
from studies import check_all_finished, runs_of, scores, start_study, wait_for_training, write_study

from xlprompt.studies.errors import StudyError
from xlprompt.studies.executors import slurm_executor, slurm_queue
from xlprompt.studies.executors.choose import make_executor
from xlprompt.studies.executors.settings import ExecutorSettings
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
    schedule = {"steps": 100, "evaluate_every": 50, "checkpoint_every": 10}
    return write_study(tmp_path / "study", tiny_xglm, write_data(tmp_path / "data"), schedule=schedule)


@pytest.fixture
def console():
    return Console(file=io.StringIO(), width=120)


def running(slurm):
    return ask(slurm, "squeue", "--noheader", "--states=RUNNING", "--format=%i").split()


def queued(slurm):
    return ask(slurm, "squeue", "--noheader").split()


def once_in_training(store, do):
    """Call `do` in another thread as soon as a cell has a training state."""

    def wait():
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            if any(saved_steps(folder) for folder in store.glob("training-states/*")):
                do()
                return
            time.sleep(0.05)

    threading.Thread(target=wait, daemon=True).start()


def test_slurm_gives_the_same_figures_as_local_processes_and_a_cancelled_job_loses_no_cell(
    slurm, study, tmp_path, console
):
    on_slurm, local = tmp_path / "on-slurm", tmp_path / "local"
    cancelled: list[str] = []

    def cancel_one():
        cancelled.extend(running(slurm)[:1])
        ask(slurm, "scancel", *cancelled)

    once_in_training(on_slurm, cancel_one)
    result = run_study(study, store=on_slurm, console=console, grid_overrides=SLURM)
    said = console.file.getvalue()
    assert cancelled
    assert result.finished, said
    check_all_finished(on_slurm, 2)
    assert len(runs_of(on_slurm)[1]) == 2  # the cancelled cell went on in its own MLflow run
    assert f"Slurm job {cancelled[0]} CANCELLED); trying again" in said
    assert not list((on_slurm / "slurm").iterdir())

    assert run_study(study, store=local, console=console, grid_overrides={"executor.workers": 0}).finished
    assert scores(on_slurm) == scores(local)


@pytest.mark.slow
def test_ctrl_c_cancels_the_jobs_and_the_same_command_goes_on(slurm, study, tmp_path, console):
    store = tmp_path / "mlruns"
    one = SLURM | {"executor.workers": 1, "seeds": [0]}
    once_in_training(store, lambda: os.kill(os.getpid(), signal.SIGINT))
    stopped = run_study(study, store=store, console=console, grid_overrides=one)
    assert stopped.stopped_by == signal.SIGINT
    assert not queued(slurm)
    assert {run.info.status for run in runs_of(store)[1]} == {"KILLED"}

    assert run_study(study, store=store, console=console, grid_overrides=one).finished
    check_all_finished(store, 1)
    assert "goes on from step" in console.file.getvalue()


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ({"partition": "nowhere"}, "invalid partition"),
        ({"memory_gb": 4}, "Memory specification can not be satisfied"),
        ({"cpus": 64}, r"Slurm never begins the job \(PartitionConfig\)"),
    ],
)
def test_what_the_cluster_does_not_have_is_told_in_slurms_words(
    slurm, study, tmp_path, console, monkeypatch, asked, answer
):
    monkeypatch.setattr(slurm_executor, "_HOPELESS_SECONDS", 1.0)
    keys = {f"executor.slurm.{key}": value for key, value in asked.items()}
    result = run_study(
        study, store=tmp_path / "mlruns", console=console, grid_overrides=SLURM | {"seeds": [0]} | keys
    )
    assert re.search(answer, result.failures["xnli-prompt seed 0"])
    assert not queued(slurm)


def test_slurm_grants_no_part_of_a_gpu():
    with pytest.raises(StudyError, match="whole GPUs"):
        make_executor(ExecutorSettings(kind="slurm", gpus=0.5))


@pytest.mark.parametrize(
    ("told", "retries", "submitted", "said"),
    [
        (True, 0, 3, "its time being over, 1 time without getting further. Give it more time"),
        (False, 0, 0, "Slurm job 1 NODE_FAIL. Give it more time"),
        (False, 2, 4, "NODE_FAIL, 3 times without getting further. Give it more time"),
    ],
)
def test_a_cell_whose_time_is_over_goes_on_while_it_gets_further_though_nothing_is_tried_again(
    tmp_path, monkeypatch, told, retries, submitted, said
):
    executor = make_executor(ExecutorSettings(kind="slurm", retries=retries))
    again, sent = [], slurm_executor._Sent(None, tmp_path / "job", "1")
    monkeypatch.setattr(executor, "_submit", lambda job, before: again.append(before))
    for step in (None, 20, 40, 40, 40, 40):  # where each job goes on from
        if again:
            before = again[-1]
            sent = slurm_executor._Sent(None, tmp_path / "job", "2", before.failures, before.resumed, False)
        if step is not None and step > sent.resumed:
            sent.resumed, sent.came_further = step, True
        sent.ended = {"state": "stopped"} if told else None
        word = "COMPLETED" if told else "NODE_FAIL"
        outcome = executor._again(sent, slurm_queue.JobState(word), lambda job, event: None)
        if outcome:
            break
    assert len(again) == submitted
    assert said in outcome.error


def test_what_a_job_asks_for_needs_the_slurm_executor(study, tmp_path, console):
    with pytest.raises(StudyError, match="--executor slurm"):
        run_study(
            study,
            store=tmp_path / "mlruns",
            console=console,
            grid_overrides={"executor.slurm.partition": "gpu"},
        )


@pytest.fixture
def long_study(tmp_path, tiny_xglm):
    schedule = {"steps": 3000, "evaluate_every": 1500, "checkpoint_every": 20}
    return write_study(tmp_path / "study", tiny_xglm, write_data(tmp_path / "data"), schedule=schedule)


@pytest.mark.slow
def test_the_jobs_of_a_killed_study_are_taken_over_by_the_next_call(slurm, long_study, tmp_path):
    store = tmp_path / "mlruns"
    options = ("--executor", "slurm", "--slurm", "minutes=10", "--seeds", "1")
    killed = start_study(long_study, store, *options)
    wait_for_training(killed, store)
    killed.kill()
    killed.wait()
    assert queued(slurm)
    again = start_study(long_study, store, *options)
    said, _ = again.communicate(timeout=300)
    assert again.returncode == 0, said
    assert "which an earlier call has left" in said, said
    assert "goes on from step" in said
    check_all_finished(store, 1)


@pytest.mark.slow
def test_a_job_that_runs_out_of_its_time_goes_on_in_another(slurm, long_study, tmp_path, console):
    store = tmp_path / "mlruns"
    minute = SLURM | {"executor.slurm.minutes": 1, "executor.slurm.stop_seconds": 10, "seeds": [0]}
    longer = {"schedule.steps": 10_000}  # more than a minute's, also on two quiet cores
    result = run_study(
        long_study, store=store, console=console, grid_overrides=minute, recipe_overrides=longer
    )
    said = console.file.getvalue()
    assert result.finished, said
    check_all_finished(store, 1)
    assert "was told to stop, its time being over); trying again" in said
    assert "goes on from step" in said
