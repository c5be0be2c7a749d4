"""Executors run jobs, such as the cells of a study: in processes of this machine, or in this process itself.

Every job gets a process of its own (`xlprompt.studies.executors.worker_process`) with a fixed number of
threads, so that it leaves nothing behind, its death costs no other, and its figures do not depend on who
started it. Several jobs are forked from a process that has imported what they need
(`xlprompt.studies.executors.fork_server`).
The third executor is `xlprompt.studies.executors.ray_executor`.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, nullcontext
from types import TracebackType
from typing import IO, Self

from xlprompt.data.how_many import how_many
from xlprompt.studies.executors.executor import JobReport, Outcome, expected_workers, visible_gpus
from xlprompt.studies.executors.fork_server import ForkServer, WorkerProcess, begun_from_nothing
from xlprompt.studies.executors.settings import ExecutorSettings
from xlprompt.studies.executors.worker_process import Event, Job, Report

# What a worker may take to end its step and write its training state before it is killed.
STOP_SECONDS = 120.0

Start = Callable[[Job, IO[str], Mapping[str, str]], WorkerProcess]


class LocalExecutor:
    """Worker processes of this machine."""

    def __init__(self, settings: ExecutorSettings) -> None:
        """Share out cores and GPUs."""
        self._settings = settings
        self._gpus = visible_gpus() if settings.gpus != 0 else []
        self.workers = expected_workers(settings)
        self._supervisors: set[Supervisor] = set()
        self._forks = ForkServer()
        self._stopping = False

    @property
    def description(self) -> str:
        """Such as `2 processes of 1 thread`."""
        workers, threads = self.workers, self._settings.threads
        place = f" on {how_many(len(self._gpus), 'GPU')}" if self._gpus else ""
        return f"{how_many(workers, 'process', 'processes')} of {how_many(threads, 'thread')}{place}"

    def __enter__(self) -> Self:
        """Nothing to get ready."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave no worker behind."""
        for supervisor in list(self._supervisors):
            supervisor.kill()
        self._forks.close()

    def run(self, jobs: Sequence[Job], report: JobReport) -> Generator[Outcome]:
        """See `Executor`."""
        slots: queue.SimpleQueue[int] = queue.SimpleQueue()
        for slot in range(self.workers):
            slots.put(slot)
        alike = len({(job.module, job.threads, job.directory) for job in jobs}) == 1
        start = self._forks.start if alike and len(jobs) > 1 else begun_from_nothing

        def one(job: Job) -> Outcome:
            if self._stopping:
                return Outcome(job, "stopped")
            slot = slots.get()
            supervisor = Supervisor(
                job,
                retries=self._settings.retries,
                report=lambda event: report(job, event),
                environment=self._gpus_of(slot),
                start=start,
            )
            self._supervisors.add(supervisor)
            if self._stopping:  # between the question above and here
                supervisor.stop()
            try:
                return supervisor.run()
            finally:
                self._supervisors.discard(supervisor)
                slots.put(slot)

        with ThreadPoolExecutor(self.workers) as pool:
            try:
                for ended in as_completed([pool.submit(one, job) for job in jobs]):
                    yield ended.result()
            except BaseException:  # of whoever asks for outcomes, who will not ask for the others
                self.stop()
                raise

    def stop(self) -> None:
        """See `Executor`."""
        again, self._stopping = self._stopping, True
        for supervisor in list(self._supervisors):
            if again:
                supervisor.kill()
            else:
                supervisor.stop()
        if again:
            self._forks.close()

    def _gpus_of(self, slot: int) -> dict[str, str]:
        if not self._gpus:
            return {"CUDA_VISIBLE_DEVICES": ""}
        each = max(1, int(self._settings.gpus or 1))  # cells that share a GPU take turns at which
        chosen = [self._gpus[(slot * each + number) % len(self._gpus)] for number in range(each)]
        return {"CUDA_VISIBLE_DEVICES": ",".join(dict.fromkeys(chosen))}


@contextmanager
def _without_gpus() -> Iterator[None]:
    """Let torch see no GPU; it looks when it is first asked for one."""
    known = os.environ.get("CUDA_VISIBLE_DEVICES")
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    try:
        yield
    finally:
        if known is None:
            del os.environ["CUDA_VISIBLE_DEVICES"]
        else:
            os.environ["CUDA_VISIBLE_DEVICES"] = known


class InProcessExecutor:
    """One cell after another in this very process, where a debugger sees them."""

    workers = 1

    def __init__(self, settings: ExecutorSettings) -> None:
        """Take the number of threads, and whether a GPU may be used."""
        self._threads, self._hides_gpus = settings.threads, settings.gpus == 0
        self._stopping = False

    @property
    def description(self) -> str:
        """That it is this process."""
        return f"this process, {how_many(self._threads, 'thread')}"

    def __enter__(self) -> Self:
        """Nothing to get ready."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to give back."""

    def run(self, jobs: Sequence[Job], report: JobReport) -> Generator[Outcome]:
        """See `Executor`."""
        import torch
        from rich.console import Console

        before = torch.get_num_threads()
        torch.set_num_threads(self._threads)
        try:
            with _without_gpus() if self._hides_gpus else nullcontext():
                for job in jobs:
                    yield Outcome(job, "stopped") if self._stopping else self._one(job, report, Console)
        finally:
            torch.set_num_threads(before)

    def stop(self) -> None:
        """See `Executor`; the training loop has its own handler and comes here only outside of it."""
        self._stopping = True
        raise KeyboardInterrupt

    def _one(self, job: Job, report: JobReport, console: Callable[..., object]) -> Outcome:
        job.log.parent.mkdir(parents=True, exist_ok=True)
        with job.log.open("a", encoding="utf-8") as log:
            try:
                run_id = job.run(lambda event: report(job, event), console(file=log, width=110))  # type: ignore[arg-type]
            except (KeyboardInterrupt, SystemExit):
                self._stopping = True
                return Outcome(job, "stopped")
            except Exception as error:
                return Outcome(job, "failed", error=f"{type(error).__name__}: {error}")
        return Outcome(job, "finished", run_id)


class Supervisor:
    """Runs one job in a worker process, and again if that dies.

    Its state is touched by the thread in `run` and by whoever calls `stop` or `kill`, a signal handler
    perhaps, so there are no locks in it.
    """

    def __init__(
        self,
        job: Job,
        *,
        retries: int,
        report: Report,
        environment: Mapping[str, str] | None = None,
        start: Start = begun_from_nothing,
    ) -> None:
        """Start nothing yet.

        Args:
            job: The cell.
            retries: How often a process that died is replaced.
            report: Receives the worker's events, and `lost` when it died.
            environment: Variables on top of this process's.
            start: Begins a process for the job.
        """
        self._job, self._retries, self._report, self._start = job, retries, report, start
        self._environment = {**os.environ, **_threads(job.threads), **(environment or {})}
        self._process: WorkerProcess | None = None
        self._stopping = False

    def run(self) -> Outcome:
        """Blocks until the job has an outcome."""
        reason = ""
        for attempt in range(1, self._retries + 2):
            if self._stopping:
                break
            try:
                last = self._attempt()
            except OSError as error:
                return Outcome(self._job, "failed", error=f"no process could be started: {error}")
            if last.get("event") == "finished":
                return Outcome(self._job, "finished", run_id=str(last["run_id"]))
            if self._stopping:
                break
            if last.get("event") == "failed":
                return Outcome(self._job, "failed", error=str(last["error"]))
            reason = str(last["reason"])
            self._report({"event": "lost", "reason": reason, "again": attempt <= self._retries})
        if self._stopping:
            return Outcome(self._job, "stopped")
        times = "once" if self._retries == 0 else f"{self._retries + 1} times"
        why = f"its process died {times}: {reason}. Where memory ran out, take fewer workers"
        return Outcome(self._job, "failed", error=why)

    def stop(self, *, tell: bool = True) -> None:
        """Ask the worker to write its training state and end; kill it if it takes too long.

        Args:
            tell: False where somebody else has told it, since a second SIGTERM would act at once.
        """
        self._stopping = True
        process = self._process
        if process is not None:
            if tell:
                process.terminate()
            timer = threading.Timer(STOP_SECONDS, process.kill)
            timer.daemon = True
            timer.start()

    def kill(self) -> None:
        """End the worker at once; its last training state stays."""
        self._stopping = True
        if self._process is not None:
            self._process.kill()

    def _attempt(self) -> Event:
        """One process; returns its last word, or the event `died` where it had none."""
        self._job.log.parent.mkdir(parents=True, exist_ok=True)
        last: Event = {}
        with self._job.log.open("a", encoding="utf-8") as log:
            self._process = self._start(self._job, log, self._environment)
        with self._process as process:
            if self._stopping:  # since before there was a process to tell
                process.terminate()
            assert process.stdin is not None
            assert process.stdout is not None
            if _say(process.stdin, self._job.to_json()):
                self._report({"event": "started", "pid": process.pid})
            for line in process.stdout:
                event = json.loads(line)
                if event["event"] in ("finished", "failed"):
                    last = event
                else:
                    self._report(event)
            code = process.wait()
        return last or {"event": "died", "reason": _cause(code)}


def _say(pipe: IO[str], line: str) -> bool:
    try:
        pipe.write(line + "\n")
        pipe.flush()  # and not closed: an end of input tells the worker to stop
    except BrokenPipeError:
        return False
    return True


def _cause(code: int | None) -> str:
    if code is None:
        return "the process that had begun it was killed too"
    if code >= 0:
        return f"exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"{name} (the system kills so when memory runs out)" if name == "SIGKILL" else name


def _threads(number: int) -> dict[str, str]:
    """What libraries take their number of threads from; read when they are loaded."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")
    return {name: str(number) for name in names} | {
        "GOMP_SPINCOUNT": os.environ.get("GOMP_SPINCOUNT", "20000")
    }
