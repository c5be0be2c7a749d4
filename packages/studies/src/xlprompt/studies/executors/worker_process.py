"""A process that does one job for whoever started it, as `xlprompt.studies.executors.local` does.

It reads its job from standard input, as a line of JSON, and tells how it goes on standard output, an event
a line. What the job itself prints goes to standard error, which is its log. Standard input stays open as long
as somebody waits for the result: when it closes, the process ends as a SIGTERM would end it.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TextIO

if TYPE_CHECKING:
    from rich.console import Console

    from xlprompt.training.fitting.listeners import Listener
    from xlprompt.training.fitting.progress import ShowProgress

Event = Mapping[str, Any]
Report = Callable[[Event], None]

ORPHAN_SECONDS = 60.0  # that a process which nobody waits for may take to end
_EVENT_SECONDS = 0.5

_log = logging.getLogger(__name__)


class Job(Protocol):
    """What a worker is to do, told in plain data so that any process on any machine can do it."""

    @property
    def name(self) -> str:
        """What it is called in messages."""

    @property
    def module(self) -> str:
        """The module whose main program reads this kind of job."""

    @property
    def threads(self) -> int:
        """CPU threads."""

    @property
    def directory(self) -> str:
        """What relative paths are relative to."""

    @property
    def store(self) -> str:
        """Folder of the MLflow store, which every worker must see."""

    @property
    def log(self) -> Path:
        """Where its own output goes."""

    def to_json(self) -> str:
        """One line."""

    def run(self, report: Report, console: Console) -> str:
        """Do it in this process; returns the id of the MLflow run that holds what came of it."""


def serve(read: Callable[[str], Job]) -> int:
    """Run the job on standard input, a line that `read` turns into it; returns the process's exit code."""
    # MLflow, rich and stray prints must not get between the events.
    events = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    job = read(sys.stdin.readline())
    os.chdir(job.directory)
    threading.Thread(target=_end_with_the_supervisor, daemon=True).start()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("xlprompt").setLevel(logging.INFO)

    import torch

    from xlprompt.evaluation.terminal import open_console
    from xlprompt.training.store.shared.patience import begin_work

    begin_work()  # that of whoever started it
    torch.set_num_threads(job.threads)
    report = _reporter(events)
    try:
        run_id = job.run(report, open_console(file=sys.stderr, width=110))
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


def shown_as_events(report: Report) -> ShowProgress:
    """Progress for `train` that goes to whoever waits for a worker."""

    @contextmanager
    def show(console: Console, *, steps: int, metric: str) -> Iterator[Listener]:
        from xlprompt.training.fitting.listeners import Development, Step
        from xlprompt.training.fitting.progress import LineProgress

        class Reported(LineProgress):
            """Lines in the cell's log, and events, two steps a second at most."""

            last = 0.0

            def stepped(self, step: Step) -> None:
                super().stepped(step)
                now = time.monotonic()
                if now - self.last >= _EVENT_SECONDS or step.number == steps:
                    self.last = now
                    report({"event": "step", "step": step.number, "steps": steps, "loss": step.loss})

            def scored(self, development: Development) -> None:
                super().scored(development)
                best = development.best_score
                report({"event": "score", "metric": metric, "best": best, "step": development.step})

        yield Reported(console, steps=steps, metric=metric)

    return show
