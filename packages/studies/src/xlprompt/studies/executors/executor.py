"""What an executor is: jobs go in, outcomes come out."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Protocol, Self

import psutil

from xlprompt.studies.executors.settings import ExecutorSettings
from xlprompt.studies.executors.worker_process import Event, Job
from xlprompt.training.machine.environment import usable_cores

JobReport = Callable[[Job, Event], None]

MANY = 10_000
"""Stands for as many jobs at a time as there are."""


@dataclass(frozen=True)
class Outcome:
    """How a cell ended.

    Attributes:
        job: The cell.
        state: `stopped` if it was asked to stop, whether it had begun or not.
        run_id: The finished MLflow run.
        error: Why it failed.
    """

    job: Job
    state: Literal["finished", "failed", "stopped"]
    run_id: str | None = None
    error: str | None = None


class Executor(Protocol):
    """Runs cells, several at a time perhaps; a context manager that gives back what it holds."""

    @property
    def description(self) -> str:
        """Such as `2 processes of 1 thread`."""

    @property
    def workers(self) -> int:
        """Cells at a time."""

    def __enter__(self) -> Self:
        """Get ready."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give back what was held."""

    def run(self, jobs: Sequence[Job], report: JobReport) -> Generator[Outcome]:
        """Run all jobs, in this order where it matters; yields each one's outcome when it has ended.

        `report` gets what workers tell, from any thread. Closing the generator stops what runs.
        """

    def stop(self) -> None:
        """Ask all workers to write their training states and end; at the second call, kill them.

        May be called from a signal handler. `run` goes on yielding until all jobs have an outcome.
        """


def shared_memory(settings: ExecutorSettings) -> int | None:
    """Free bytes of what this machine's cells share; None where each has a GPU or a cluster's machine."""
    if settings.kind != "local" or (settings.gpus != 0 and visible_gpus()):
        return None
    return int(psutil.virtual_memory().available)


def expected_workers(settings: ExecutorSettings) -> int:
    """How many jobs an executor has at a time, as far as that is known before it starts.

    A Ray cluster may have fewer, and Slurm grants what it has: there it is MANY without `workers`.
    """
    if settings.kind == "slurm":
        return settings.workers or MANY
    if settings.workers == 0 and settings.kind == "local":
        return 1
    if settings.workers:
        return settings.workers
    gpus = visible_gpus() if settings.kind == "local" and settings.gpus != 0 else []
    if gpus:
        of_cell = settings.gpus or 1.0  # below 1 a cell lies within one GPU
        return len(gpus) * int(1 / of_cell) if of_cell < 1 else max(1, int(len(gpus) / of_cell))
    return max(1, usable_cores() // settings.threads)


def visible_gpus() -> list[str]:
    """Names of the GPUs that this process may use, as `CUDA_VISIBLE_DEVICES` takes them."""
    import torch

    if not torch.cuda.is_available():
        return []
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name.strip() for name in named.split(",") if name.strip()]
    return [str(index) for index in range(torch.cuda.device_count())]
