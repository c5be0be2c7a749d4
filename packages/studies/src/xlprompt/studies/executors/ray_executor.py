"""Cells on a Ray cluster: one that runs already, or one of this machine that lives as long as the study.

A Ray task supervises one worker process, the same that `xlprompt.studies.executors.local` starts, so the
figures are the same. Ray chooses the node by the cell's resources; if a node or a Ray worker is lost, it runs
the task again elsewhere, where the cell goes on from its training state. So the folder of the MLflow store,
and data and models that are folders, must be shared by all nodes under the same path, and xlprompt be
installed on each.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Generator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from xlprompt.data.how_many import how_many
from xlprompt.studies.errors import StudyError
from xlprompt.studies.executors.executor import JobReport, Outcome, expected_workers, visible_gpus
from xlprompt.studies.executors.local import Supervisor
from xlprompt.studies.executors.settings import ExecutorSettings
from xlprompt.studies.executors.worker_process import Event, Job

_POLL_SECONDS = 0.5
_OBJECT_STORE_BYTES = (
    100 * 2**20
)  # nothing but small messages goes through it; Ray would take a third of memory


class RayExecutor:
    """Tasks of a Ray cluster."""

    def __init__(self, settings: ExecutorSettings, *, address: str | None) -> None:
        """Connect to nothing yet.

        Args:
            settings: Threads and GPUs of a cell; workers, which sets the size of a local cluster and is the
                most that is asked of a running one at a time.
            address: A running cluster's, such as `auto` or `ray://host:10001`; None starts a local one.

        Raises:
            StudyError: Ray is not installed.
        """
        try:
            import ray
        except ImportError as error:
            raise StudyError(
                "Ray is not installed. Install it (pip install 'xlprompt-studies[ray]'), or take "
                "--executor local"
            ) from error
        self._ray = ray
        self._settings, self._address = settings, address
        self._gpus = settings.gpus
        self._stops = 0
        self.workers = 1

    @property
    def description(self) -> str:
        """Such as `Ray, 2 cells at a time, each 1 CPU`."""
        gpus = f" and {self._gpus:g} GPU" if self._gpus else ""
        where = f"the Ray cluster {self._address}" if self._address else "a local Ray cluster"
        return f"{where}, {self.workers} at a time, each {self._settings.threads} CPU{gpus}"

    def __enter__(self) -> Self:
        """Start or join the cluster.

        Raises:
            StudyError: It cannot be reached, or has nothing of the size of a cell.
        """
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        # Ray's coming behavior, and its wish to be asked for it.
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
        if self._address:
            options["address"] = self._address
        else:
            # Ray's monitor would kill the tasks, which are small, and not the processes that took the memory.
            os.environ.setdefault("RAY_memory_monitor_refresh_ms", "0")
            cells = expected_workers(self._settings)
            gpus = len(visible_gpus()) if self._gpus != 0 else 0
            options |= {
                "address": "local",
                "num_cpus": cells * self._settings.threads,
                "num_gpus": gpus,
                "object_store_memory": _OBJECT_STORE_BYTES,
                "include_dashboard": False,
            }
        try:
            self._ray.init(**options)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise StudyError(
                f"no Ray cluster can be had at {self._address or 'this machine'} ({error}). Check the "
                "address (`ray status` there), or take --executor local"
            ) from error
        there = self._ray.cluster_resources()
        if self._gpus is None:
            self._gpus = 1.0 if there.get("GPU") else 0.0
        cells = int(there.get("CPU", 0) // self._settings.threads)
        if self._gpus:
            cells = min(cells, int(there.get("GPU", 0) / self._gpus))
        if cells < 1:
            self._ray.shutdown()
            raise StudyError(
                f"a cell takes {how_many(self._settings.threads, 'CPU')} and {self._gpus:g} GPUs, and the "
                f"cluster has {there.get('CPU', 0):g} and {there.get('GPU', 0):g}. Lower executor.threads or "
                "executor.gpus"
            )
        self.workers = min(cells, self._settings.workers or cells)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the cluster, which ends a local one."""
        self._ray.shutdown()

    def run(self, jobs: Sequence[Job], report: JobReport) -> Generator[Outcome]:
        """See `xlprompt.studies.executors.executor.Executor`."""
        ray = self._ray
        # Lost with its node, it comes back empty: some progress goes unseen, and nothing else.
        mailbox = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(_Mailbox).remote()
        task = ray.remote(
            num_cpus=self._settings.threads,
            num_gpus=self._gpus or 0,
            max_retries=self._settings.retries,
            max_calls=1,
        )(_supervise)
        waiting, at_a_time = deque(jobs), self._settings.workers or len(jobs)
        pending: dict[Any, Job] = {}
        begun: set[str] = set()
        cancelled = False
        while waiting or pending:
            if self._stops:
                yield from (Outcome(job, "stopped") for job in waiting)
                waiting.clear()
                if not pending:
                    return
            while waiting and len(pending) < at_a_time:
                job = waiting.popleft()
                pending[task.remote(job, mailbox, self._settings.retries, bool(self._gpus))] = job
            ended, _ = ray.wait(list(pending), num_returns=1, timeout=_POLL_SECONDS)
            for name, event in ray.get(mailbox.take.remote(self._stops)):
                begun.add(name)
                report(next(job for job in jobs if job.name == name), event)
            if self._stops and not cancelled:
                cancelled = True
                for reference, job in pending.items():
                    if (
                        job.name not in begun
                    ):  # those that have begun hear of it by mail, and write their states
                        ray.cancel(reference)
            for reference in ended:
                yield self._outcome(reference, pending.pop(reference))

    def stop(self) -> None:
        """See `xlprompt.studies.executors.executor.Executor`; passed on by `run`."""
        self._stops += 1

    def _outcome(self, reference: Any, job: Job) -> Outcome:
        try:
            outcome: Outcome = self._ray.get(reference)
        except self._ray.exceptions.TaskCancelledError:
            return Outcome(job, "stopped")
        except self._ray.exceptions.RayError as error:
            if self._stops:
                return Outcome(job, "stopped")
            reason = str(error).strip().splitlines()[0]
            return Outcome(job, "failed", error=f"lost by the cluster: {type(error).__name__}: {reason}")
        return outcome


class _Mailbox:
    """An actor between tasks and the study: events one way, the wish to stop the other."""

    def __init__(self) -> None:
        self._events: list[tuple[str, Event]] = []
        self._stops = 0

    def post(self, name: str, events: Sequence[Event]) -> int:
        self._events.extend((name, event) for event in events)
        return self._stops

    def take(self, stops: int) -> list[tuple[str, Event]]:
        self._stops = stops
        taken, self._events = self._events, []
        return taken


def _supervise(job: Job, mailbox: Any, retries: int, on_gpu: bool) -> Outcome:
    """The Ray task: one cell in a worker process of this node."""
    if not Path(job.store).is_dir():
        return Outcome(
            job,
            "failed",
            error=f"{job.store}: is not there on this node. The folder of the store must be shared by all "
            "nodes",
        )
    events: deque[Event] = deque([{"event": "placed", "node": os.uname().nodename}])
    over = threading.Event()
    # A card is named by Ray, in this process's environment.
    environment = {} if on_gpu else {"CUDA_VISIBLE_DEVICES": ""}
    supervisor = Supervisor(job, retries=retries, report=events.append, environment=environment)
    poster = threading.Thread(target=_post, args=(job, mailbox, events, supervisor, over), daemon=True)
    poster.start()
    try:
        return supervisor.run()
    finally:
        over.set()
        poster.join(timeout=10)
        supervisor.kill()  # where Ray interrupts this task


def _post(
    job: Job, mailbox: Any, events: deque[Event], supervisor: Supervisor, over: threading.Event
) -> None:
    """Hand events over twice a second, and pass on the wish to stop."""
    import ray

    told = 0
    ended = False
    while not ended:
        ended = over.wait(_POLL_SECONDS)
        batch = [events.popleft() for _ in range(len(events))]
        stops = ray.get(mailbox.post.remote(job.name, batch))
        if stops > told:
            told = stops
            if stops > 1:
                supervisor.kill()
            else:
                supervisor.stop()
