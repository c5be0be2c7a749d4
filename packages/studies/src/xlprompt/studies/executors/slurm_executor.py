"""Cells as jobs of a Slurm cluster, submitted through submitit.

A Slurm job supervises one worker process, the same that `xlprompt.studies.executors.local` starts, so the
figures are the same. A job that is cancelled, runs out of its time or is lost with its node is submitted
again, and its cell goes on from its training state. The folder of the MLflow store, and data and models that
are folders, must be shared by all nodes under the same path, and so must this Python.

The jobs of a study that was killed go on by themselves; when the study is called again, it cancels those that
are left, and goes on from their states.
"""

from __future__ import annotations

import json
import logging
import shutil
import time
import uuid
from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from xlprompt.data.how_many import how_many
from xlprompt.studies.errors import StudyError
from xlprompt.studies.executors import slurm_queue
from xlprompt.studies.executors.executor import JobReport, Outcome, expected_workers
from xlprompt.studies.executors.settings import ExecutorSettings
from xlprompt.studies.executors.slurm_job import ENDED, EVENTS_FILE, STOP_SIGNAL, supervise
from xlprompt.studies.executors.slurm_queue import FORGOTTEN, JobState, SlurmError
from xlprompt.studies.executors.worker_process import Event, Job

_POLL_SECONDS = 1.0
_GRACE_SECONDS = 10.0  # that a shared file system may take to show what a job wrote last
_HOPELESS_SECONDS = 15.0  # a reason to wait is looked at for so long before it is believed
_SHARED_FOLDERS = "The folder of the store must be shared by all nodes, and this Python be there too"

_log = logging.getLogger(__name__)


@dataclass
class _Sent:
    """A cell's newest Slurm job.

    Attributes:
        job: The cell.
        folder: Of the files of this attempt.
        number: Slurm's number of it.
        failures: Jobs that were lost one after another without having come further. One that was told to
            stop, its time being over, counts where it went on from no later step than the job before it.
        resumed: The step that it, or an earlier one, went on from.
        came_further: Whether it went on from a later step than those before it, or is the first.
        read: Bytes of its events that were read.
        ended: Its last word, where it has come.
        gone: Since when Slurm has called it ended, in `time.monotonic()`.
        hopeless: Since when it waits for what does not come.
    """

    job: Job
    folder: Path
    number: str
    failures: int = 0
    resumed: int = 0
    came_further: bool = True
    read: int = 0
    ended: Event | None = None
    gone: float | None = None
    hopeless: float | None = None


class SlurmExecutor:
    """Jobs of a Slurm cluster."""

    def __init__(self, settings: ExecutorSettings) -> None:
        """Ask for nothing yet.

        Raises:
            StudyError: submitit or Slurm is not installed, or a cell is given part of a GPU.
        """
        try:
            import submitit
        except ImportError as error:
            raise StudyError(
                "submitit is not installed. Install it (pip install 'xlprompt-studies[slurm]'), or take "
                "--executor local"
            ) from error
        if settings.gpus is not None and settings.gpus != int(settings.gpus):
            raise StudyError(
                f"executor.gpus is {settings.gpus:g}, and Slurm grants whole GPUs. Ask for 0, 1 or more"
            )
        self._submitit: Any = submitit
        self._settings = settings
        self._gpus = settings.gpus
        self._stops = 0
        self._stops_passed_on = 0
        self._sent: dict[str, _Sent] = {}  # by Slurm's number
        self._deaf_since: float | None = None  # while the controller does not answer
        self.workers = expected_workers(settings)

    @property
    def description(self) -> str:
        """Such as `Slurm, partition main, 8 at a time, each 1 CPU`."""
        slurm, gpus = self._settings.slurm, f" and {self._gpus:g} GPU" if self._gpus else ""
        where = f"Slurm, partition {slurm.partition}" if slurm.partition else "Slurm"
        many = f"{self.workers} at a time" if self._settings.workers else "as many at a time as it grants"
        return f"{where}, {many}, each {self._cpus} CPU{gpus}"

    def __enter__(self) -> Self:
        """Ask whether Slurm answers, and whether it has GPUs.

        Raises:
            StudyError: It does not.
        """
        try:
            slurm_queue.states()
            if self._gpus is None:
                self._gpus = 1.0 if slurm_queue.has_gpus(self._settings.slurm.partition) else 0.0
        except SlurmError as error:
            raise StudyError(
                f"Slurm does not answer here ({error}). Call this on a machine of the cluster where `squeue` "
                "works, or take --executor local"
            ) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave no job behind."""
        if self._sent:
            try:
                slurm_queue.cancel(list(self._sent))
            except SlurmError as unheard:
                _log.warning("Jobs %s may be left in Slurm's queue (%s)", ", ".join(self._sent), unheard)

    def run(self, jobs: Sequence[Job], report: JobReport) -> Generator[Outcome]:
        """See `xlprompt.studies.executors.executor.Executor`."""
        _cancel_left(jobs, report)
        waiting = deque(jobs)
        at_a_time = self._settings.workers or len(jobs)
        while waiting or self._sent:
            if self._stops:
                yield from (Outcome(job, "stopped") for job in waiting)
                waiting.clear()
                self._pass_on_stops()
            while waiting and len(self._sent) < at_a_time:
                refused = self._submit(waiting.popleft())
                if refused:
                    yield refused
            states = self._ask_states()
            for sent in list(self._sent.values()):
                for event in _new_events(sent):
                    report(sent.job, event)
                if outcome := self._outcome(sent, states, report):
                    yield outcome
            if self._sent:
                time.sleep(_POLL_SECONDS)

    def stop(self) -> None:
        """See `xlprompt.studies.executors.executor.Executor`; passed on by `run`."""
        self._stops += 1

    @property
    def _cpus(self) -> int:
        return self._settings.slurm.cpus or self._settings.threads

    def _submit(self, job: Job, before: _Sent | None = None) -> Outcome | None:
        """Put a job into Slurm's queue; gives an outcome where it is refused."""
        folder = Path(job.store) / "slurm" / f"{_name_of(job)}-{uuid.uuid4().hex[:8]}"
        slurm = self._settings.slurm
        parameters: dict[str, Any] = {
            "job_name": _name_of(job),
            "cpus_per_task": self._cpus,
            "time": slurm.minutes,
            # Not before half of the time is over: Slurm would send it at once.
            "signal_delay_s": min(slurm.stop_seconds, slurm.minutes * 30),
            "stderr_to_stdout": True,
            "partition": slurm.partition,
            "account": slurm.account,
            "mem": f"{int(slurm.memory_gb * 1024)}M" if slurm.memory_gb else None,
            "gpus_per_node": int(self._gpus) if self._gpus else None,
            "additional_parameters": dict(slurm.extra) or None,
        }
        try:
            folder.mkdir(parents=True)
            executor = self._submitit.SlurmExecutor(folder=folder)
            executor.update_parameters(**{k: value for k, value in parameters.items() if value is not None})
            number = executor.submit(
                supervise, job, str(folder), retries=self._settings.retries, on_gpu=bool(self._gpus)
            ).job_id
        except (RuntimeError, OSError) as error:  # submitit's own are among them
            shutil.rmtree(folder, ignore_errors=True)
            said = " ".join(str(error).split())
            return Outcome(job, "failed", error=f"Slurm refuses the job: {said}. Check executor.slurm")
        sent = _Sent(job, folder, number)
        if before is not None:
            sent.failures, sent.resumed, sent.came_further = before.failures, before.resumed, False
        self._sent[number] = sent
        return None

    def _ask_states(self) -> dict[str, JobState] | None:
        """What Slurm says of its jobs; None while it does not answer, as in a restart of its controller."""
        try:
            states = slurm_queue.states()
        except SlurmError as error:
            if self._deaf_since is None:
                self._deaf_since = time.monotonic()
                _log.warning(
                    "Slurm does not answer (%s). Its jobs go on, and are asked for until it does", error
                )
            return None
        self._deaf_since = None
        return states

    def _outcome(self, sent: _Sent, states: dict[str, JobState] | None, report: JobReport) -> Outcome | None:
        """How a cell ended, if it has; a job that was lost is submitted again."""
        word = sent.ended
        if word is not None and word["state"] != "stopped":
            del self._sent[sent.number]
            if word["state"] == "finished":
                shutil.rmtree(sent.folder, ignore_errors=True)
                return Outcome(sent.job, "finished", run_id=word["run_id"])
            return Outcome(sent.job, "failed", error=word["error"])
        if states is None:
            return None
        state = states.get(sent.number, FORGOTTEN)
        if state.is_active:
            sent.gone = None
            return self._given_up(sent, state)
        now = time.monotonic()
        sent.gone = sent.gone or now
        if word is None and now - sent.gone < _GRACE_SECONDS and not self._stops:
            return None
        del self._sent[sent.number]
        if self._stops:
            shutil.rmtree(sent.folder, ignore_errors=True)
            return Outcome(sent.job, "stopped")
        return self._again(sent, state, report)

    def _again(self, sent: _Sent, state: JobState, report: JobReport) -> Outcome | None:
        told = sent.ended is not None and state.word in ("COMPLETED", "UNKNOWN")
        if sent.came_further:
            sent.failures = 0
        if not (told and sent.came_further):  # that its time is over is no failure of a cell that gets on
            sent.failures += 1
        again = sent.failures <= self._settings.retries
        reason = f"Slurm job {sent.number} {'was told to stop, its time being over' if told else state.word}"
        report(sent.job, {"event": "lost", "reason": reason, "again": again})
        if again:
            shutil.rmtree(sent.folder, ignore_errors=True)
            return self._submit(sent.job, before=sent)
        last = _last_lines(sent.folder)
        times = "" if sent.came_further else f", {how_many(sent.failures, 'time')} without getting further"
        return Outcome(
            sent.job,
            "failed",
            error=f"{reason}{times}. Give it more time or memory (executor.slurm.minutes, "
            f"executor.slurm.memory_gb). {last or _SHARED_FOLDERS}",
        )

    def _given_up(self, sent: _Sent, state: JobState) -> Outcome | None:
        """A failure where Slurm will never begin the job, which it tells nobody."""
        if not state.is_hopeless:
            sent.hopeless = None
            return None
        now = time.monotonic()
        sent.hopeless = sent.hopeless or now
        if now - sent.hopeless < _HOPELESS_SECONDS:
            return None
        del self._sent[sent.number]
        _cancel_quietly([sent.number])
        return Outcome(
            sent.job,
            "failed",
            error=f"Slurm never begins the job ({state.reason}): its partition has no node of "
            f"{how_many(self._cpus, 'CPU')}, this memory, these GPUs or "
            f"{how_many(self._settings.slurm.minutes, 'minute')}. Lower executor.slurm, or name another "
            "partition",
        )

    def _pass_on_stops(self) -> None:
        """Cancel what waits; what runs is asked to write its state, and at the second wish ended."""
        states = self._ask_states()
        if states is None:
            return
        if self._stops > 1:
            _cancel_quietly(list(self._sent))
            return
        pending = [number for number in self._sent if states.get(number, FORGOTTEN).is_pending]
        _cancel_quietly(pending)
        if not self._stops_passed_on:
            running = [number for number in self._sent if number not in pending]
            _cancel_quietly(running, signal=STOP_SIGNAL.name.removeprefix("SIG"))
        self._stops_passed_on = self._stops


def _name_of(job: Job) -> str:
    """A job's name in Slurm's queue: the same in each call of a study, and another for any other cell."""
    return f"xlprompt-{job.log.stem}-{uuid.uuid5(uuid.NAMESPACE_OID, job.to_json()).hex[:8]}"


def _cancel_left(jobs: Sequence[Job], report: JobReport) -> None:
    """End Slurm jobs of these cells, which a study that was killed has left, and wait until they are gone."""
    try:
        cells = {_name_of(job): job for job in jobs}
        found = slurm_queue.named(list(cells))
        for number, name in found.items():
            report(cells[name], {"event": "taken_over", "job": number})
        left = list(found)
        if left:
            slurm_queue.cancel(left, signal=STOP_SIGNAL.name.removeprefix("SIG"))
        deadline = time.monotonic() + 120
        while left and time.monotonic() < deadline:
            states = slurm_queue.states()
            left = [number for number in left if states.get(number, FORGOTTEN).is_active]
            slurm_queue.cancel([number for number in left if states[number].is_pending])
            time.sleep(_POLL_SECONDS if left else 0)
        slurm_queue.cancel(left)
    except SlurmError as error:
        raise StudyError(f"Slurm does not answer ({error}). Call again when `squeue` works") from error


def _cancel_quietly(numbers: Sequence[str], *, signal: str | None = None) -> None:
    try:
        slurm_queue.cancel(numbers, signal=signal)
    except SlurmError as error:
        _log.warning("Jobs %s could not be told (%s)", ", ".join(numbers), error)


def _new_events(sent: _Sent) -> list[Event]:
    """What a job has told since it was read last; notes how it ended and whether it came further."""
    file = sent.folder / EVENTS_FILE
    if not file.is_file():
        return []
    with file.open("rb") as lines:
        lines.seek(sent.read)
        whole = lines.read().rpartition(b"\n")[0]
    if not whole:
        return []
    sent.read += len(whole) + 1
    events = [json.loads(line) for line in whole.splitlines()]
    for event in events:
        if event["event"] == ENDED:
            sent.ended = event
        elif event["event"] == "placed":
            sent.ended = None  # Slurm has begun the job anew, after a preemption
        elif event["event"] == "resumed" and event["step"] > sent.resumed:
            sent.resumed, sent.came_further = int(event["step"]), True
    return [event for event in events if event["event"] != ENDED]


def _last_lines(folder: Path) -> str:
    """What a job printed last, which is not the worker's own output."""
    logs = sorted(folder.glob("*.out"))
    lines = [line for log in logs for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return f"It said: {' | '.join(lines[-3:])}" if lines else ""
