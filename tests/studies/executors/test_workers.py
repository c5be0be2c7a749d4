"""How many jobs run at a time, and what those in this process see."""

import os

import pytest

from xlprompt.studies.executors import executor, local
from xlprompt.studies.executors.choose import make_executor
from xlprompt.studies.executors.executor import MANY, expected_workers
from xlprompt.studies.executors.settings import ExecutorSettings


@pytest.mark.parametrize(
    ("settings", "gpus", "workers"),
    [
        ({}, 0, 8),
        ({"threads": 3}, 0, 2),
        ({"threads": 9}, 0, 1),
        ({"workers": 5, "threads": 9}, 0, 5),
        ({"workers": 0}, 0, 1),
        ({}, 2, 2),
        ({"gpus": 0.5}, 2, 4),
        ({"gpus": 0.4}, 2, 4),  # two fit on each, and no fifth between them
        ({"gpus": 1 / 3}, 2, 6),
        ({"gpus": 0, "threads": 2}, 2, 4),
        ({"kind": "ray", "threads": 2}, 2, 4),
        ({"kind": "ray", "workers": 3}, 0, 3),
        ({"kind": "slurm"}, 0, MANY),
        ({"kind": "slurm", "workers": 3}, 0, 3),
    ],
)
def test_workers_are_known_before_an_executor_starts(monkeypatch, settings, gpus, workers):
    monkeypatch.setattr(executor, "usable_cores", lambda: 8)
    monkeypatch.setattr(executor, "visible_gpus", lambda: [str(number) for number in range(gpus)])
    assert expected_workers(ExecutorSettings(**settings)) == workers


@pytest.mark.parametrize(
    ("gpus", "seen"), [(0.33, ["a", "b", "a", "b", "a", "b"]), (1, ["a", "b"]), (2, ["a,b"])]
)
def test_cells_that_share_a_gpu_are_no_more_than_fit_on_it(monkeypatch, gpus, seen):
    for module in (executor, local):
        monkeypatch.setattr(module, "visible_gpus", lambda: ["a", "b"])
    here = local.LocalExecutor(ExecutorSettings(gpus=gpus))
    assert [here._gpus_of(slot)["CUDA_VISIBLE_DEVICES"] for slot in range(here.workers)] == seen


@pytest.mark.parametrize(("gpus", "seen"), [(0, ""), (None, "3")])
def test_a_job_in_this_process_sees_no_gpu_where_none_is_to_be_used(tmp_path, monkeypatch, gpus, seen):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")

    class Look:
        """A job that tells which GPUs it sees."""

        log = tmp_path / "log"

        def run(self, report, console):
            """What stands for the id of its run."""
            return os.environ["CUDA_VISIBLE_DEVICES"]

    with make_executor(ExecutorSettings(workers=0, gpus=gpus)) as here:
        (outcome,) = here.run([Look()], lambda job, event: None)
    assert outcome.run_id == seen
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "3"
