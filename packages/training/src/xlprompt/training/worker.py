"""The process that runs one cell of a study: `python -m xlprompt.training.worker`.

It reads its job from standard input, as a line of JSON, and tells how it goes on standard output, an event a
line. What the run itself prints goes to standard error, which is the cell's log. Standard input stays open as
long as somebody waits for the result: when it closes, the process writes its training state and ends.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import Console

    from xlprompt.training.progress import ShowProgress, TrainingProgress

Event = Mapping[str, Any]
Report = Callable[[Event], None]

# How long a cell waits for a process that was told to stop, and how long that one may take.
LOCK_SECONDS = 180.0
ORPHAN_SECONDS = 60.0
_EVENT_SECONDS = 0.5

_log = logging.getLogger("xlprompt.training.worker")  # and not __main__


@dataclass(frozen=True)
class Job:
    """A cell, told in plain data so that any process on any machine can run it.

    Attributes:
        name: Such as `xnli-prompt seed 0`.
        task: The task's name.
        fingerprint: The cell's fingerprint.
        group: Its group's fingerprint.
        recipe: All of the recipe's values.
        recipe_path: The recipe's file; the git revision of its repository is recorded.
        store: Folder of the MLflow store, which every worker must see.
        parent_run_id: The run that stands for the group.
        threads: CPU threads.
        directory: What relative paths are relative to.
    """

    name: str
    task: str
    fingerprint: str
    group: str
    recipe: dict[str, Any]
    recipe_path: str
    store: str
    parent_run_id: str
    threads: int
    directory: str

    @property
    def log(self) -> Path:
        """Where the run's own output goes."""
        return Path(self.store) / "study-logs" / f"{self.name.replace(' ', '-')}.log"

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self), ensure_ascii=True)


def run_job(job: Job, report: Report, console: Console) -> str:
    """Run a cell, or go on with it; returns the id of its finished MLflow run.

    If the cell has a finished run by now, nothing is done. A run that was interrupted goes on from its
    training state; where that is damaged or missing, the run is closed and a new one begun.
    """
    from xlprompt.training.checkpoint import CheckpointError
    from xlprompt.training.ledger import CELL_TAG, GROUP_TAG, KILLED, Ledger
    from xlprompt.training.recipe import recipe_from_dict
    from xlprompt.training.run import train

    store = Path(job.store)
    recipe = recipe_from_dict(job.recipe, origin=job.name)
    ledger = Ledger(store)

    def attempt(resume: str | None) -> str:
        result = train(
            recipe,
            store=store,
            console=console,
            recipe_path=Path(job.recipe_path),
            resume=resume,
            parent_run_id=job.parent_run_id,
            tags={CELL_TAG: job.fingerprint, GROUP_TAG: job.group, "threads": str(job.threads)},
            show=_shown_as_events(report),
        )
        assert result is not None  # a cell is one process, so it is the first
        return result.run_id

    with ledger.working_on_cell(job.fingerprint, timeout=LOCK_SECONDS):
        runs = ledger.runs_of_cell(job.task, job.fingerprint)
        finished = next((run for run in runs if run.status == "FINISHED"), None)
        if finished:
            return finished.run_id
        resumable = next((run for run in runs if run.step is not None), None)
        for run in runs:
            if run.status == "RUNNING" and run is not resumable:
                ledger.end(run.run_id, "KILLED", KILLED)
        if resumable is None:
            return attempt(None)
        report({"event": "resumed", "step": resumable.step})
        try:
            run_id = attempt(resumable.run_id)
        except CheckpointError as error:
            _log.warning("%s\nThis run begins anew.", error)
            ledger.end(resumable.run_id, "KILLED", str(error))
            for folder in (store / "training-states").glob(f"*-{resumable.run_id}"):
                shutil.rmtree(folder, ignore_errors=True)
            return attempt(None)
        ledger.forget_error(run_id)
        return run_id


def main() -> int:
    """Run the job on standard input."""
    # MLflow, rich and stray prints must not get between the events.
    events = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    job = Job(**json.loads(sys.stdin.readline()))
    os.chdir(job.directory)
    threading.Thread(target=_end_with_the_supervisor, daemon=True).start()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("xlprompt").setLevel(logging.INFO)

    import torch
    from rich.console import Console

    torch.set_num_threads(job.threads)
    report = _reporter(events)
    try:
        run_id = run_job(job, report, Console(file=sys.stderr, width=110))
    except Exception as error:
        logging.getLogger("xlprompt").exception("%s failed", job.name)
        report({"event": "failed", "error": f"{type(error).__name__}: {error}"})
        return 1
    report({"event": "finished", "run_id": run_id})
    return 0


def _reporter(events: TextIO) -> Report:
    def report(event: Event) -> None:
        try:
            events.write(json.dumps(event) + "\n")
            events.flush()
        except OSError:
            return  # nobody listens any more; standard input says so too, and ends this process

    return report


def _end_with_the_supervisor() -> None:
    """Wait until standard input closes, and then stop as a SIGTERM would; in the end by force."""
    while os.read(0, 1):  # and not sys.stdin, whose lock would be held when the interpreter ends
        continue
    _log.warning("Nobody waits for this run any more: stopping")
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(ORPHAN_SECONDS)
    os._exit(128 + signal.SIGTERM)


class _ReportedProgress:
    """The loop's figures as lines in the cell's log, and as events, two a second at most."""

    def __init__(self, lines: TrainingProgress, report: Report, *, steps: int, metric: str) -> None:
        self._lines, self._report, self._steps, self._metric = lines, report, steps, metric
        self._last = 0.0

    def stepped(self, step: int, *, loss: float, learning_rate: float, tokens_per_second: float) -> None:
        self._lines.stepped(step, loss=loss, learning_rate=learning_rate, tokens_per_second=tokens_per_second)
        now = time.monotonic()
        if now - self._last >= _EVENT_SECONDS or step == self._steps:
            self._last = now
            self._report({"event": "step", "step": step, "steps": self._steps, "loss": loss})

    def evaluated(self, step: int, *, score: float, best_score: float, best_step: int) -> None:
        self._lines.evaluated(step, score=score, best_score=best_score, best_step=best_step)
        self._report({"event": "score", "metric": self._metric, "best": best_score, "step": step})


def _shown_as_events(report: Report) -> ShowProgress:
    @contextmanager
    def show(console: Console, *, steps: int, metric: str) -> Iterator[TrainingProgress]:
        from xlprompt.training.progress import LineProgress

        lines = LineProgress(console, steps=steps, metric=metric)
        yield _ReportedProgress(lines, report, steps=steps, metric=metric)

    return show


if __name__ == "__main__":
    sys.exit(main())
