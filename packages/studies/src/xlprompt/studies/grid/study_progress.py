"""What a person sees while the cells of a study run: live lines on a terminal, plain lines elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TaskID
from rich.table import Column

from xlprompt.evaluation.waiting import Left, clock, folded_column
from xlprompt.studies.executors.worker_process import Event

_LINE_SECONDS = 60.0
_REFRESHES = 2  # a second


@dataclass
class _Running:
    """A cell that a worker is busy with."""

    since: float
    last: str
    step: int = 0
    steps: int = 0
    score: str = ""
    told: float = 0.0
    bar: TaskID | None = None

    @property
    def told_score(self) -> str:
        return f"best development {self.score}" if self.score else ""

    @property
    def stage(self) -> str:
        if not self.steps:
            return "loading"
        return self.last if self.step >= self.steps else "training"


class StudyProgress:
    """Follows all cells; may be told of events from any thread."""

    def __init__(
        self,
        console: Console,
        bars: Progress | None,
        *,
        cells: int,
        left: Callable[[], str],
        what: str = "cells",
        last: str = "scoring languages",
    ) -> None:
        """Show nothing yet.

        Args:
            console: Where to.
            bars: Live bars, or None for plain lines.
            cells: Number of cells to do.
            left: Says how much time is left, such as `12 min left`; empty where that is unknown.
            what: What cells are called.
            last: What one does when it has done its steps.
        """
        self._console, self._bars, self._left = console, bars, left
        self._cells, self._last = cells, last
        self._done, self._began = 0, time.monotonic()
        self._running: dict[str, _Running] = {}
        self._lock = threading.RLock()  # a signal handler may speak in the middle of a sentence
        self._total = bars.add_task(f"all {what}", total=cells, figures="", left=left()) if bars else None

    def event(self, name: str, event: Event) -> None:
        """A worker has told something."""
        with self._lock:
            now = time.monotonic()
            cell = self._running.get(name)
            if cell is None:
                cell = self._running[name] = _Running(since=now, last=self._last, told=now)
                if self._bars:
                    cell.bar = self._bars.add_task(f"  {name}", total=None, figures="loading")
            kind = event["event"]
            if kind == "started" and not self._bars:
                self._line(f"{name}: started")
            elif kind == "placed" and "job" in event:
                self._line(f"{name}: Slurm job {event['job']} on {event['node']}")
            elif kind == "taken_over":
                self._line(f"{name}: cancelling Slurm job {event['job']}, which an earlier call has left")
            elif kind == "resumed":
                self._line(f"{name}: goes on from step {event['step']}")
            elif kind == "lost":
                after = "trying again" if event["again"] else "giving up"
                self._line(f"{name}: its process died ({event['reason']}); {after}")
            elif kind == "step":
                cell.step, cell.steps = int(event["step"]), int(event["steps"])
            elif kind == "score":
                cell.score = f"{event['metric']} {event['best']:.1f}"
            self._show(name, cell, now, event)

    def ended(self, name: str, word: str, *, counts: bool = True) -> None:
        """A cell has an outcome, told in `word`; it counts as done, unless it was interrupted."""
        with self._lock:
            cell = self._running.pop(name, None)
            self._done += counts
            took = f" after {time.monotonic() - cell.since:.0f} s" if cell else ""
            if self._bars and self._total is not None:
                if cell and cell.bar is not None:
                    self._bars.remove_task(cell.bar)
                left = self._left() if self._done < self._cells else f"took {self._so_far()}"
                self._bars.update(self._total, completed=self._done, left=left)
            self._line(f"{name}: {word}{took} ({self._done}/{self._cells}{self._tail()})")

    def say(self, line: str) -> None:
        """A line that is about no cell."""
        with self._lock:
            self._line(line)

    def _so_far(self) -> str:
        return clock(time.monotonic() - self._began)

    def _tail(self) -> str:
        left = self._left()
        return f", {left}" if left and not self._bars else ""

    def _show(self, name: str, cell: _Running, now: float, event: Event) -> None:
        figures = f"{cell.stage}  {cell.score}"
        if self._bars and cell.bar is not None:
            total: dict[str, Any] = {"total": cell.steps, "completed": cell.step} if cell.steps else {}
            if cell.steps and cell.step >= cell.steps:
                total["left"] = ""  # of its steps none; how long scoring takes, only the study knows
            self._bars.update(cell.bar, figures=figures, **total)
        elif event["event"] in ("step", "score"):
            over = event["event"] == "score" and cell.step >= cell.steps
            # What follows the last step may take as long as the steps.
            if over and now - cell.since > _LINE_SECONDS:
                self._line(f"{name}: {cell.last}  {cell.told_score}")
            elif now - cell.told > _LINE_SECONDS:
                cell.told = now
                self._line(f"{name}: step {cell.step}/{cell.steps}  {cell.told_score}")

    def _line(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)


@contextmanager
def study_progress(
    console: Console,
    *,
    cells: int,
    left: Callable[[], str],
    what: str = "cells",
    last: str = "scoring languages",
) -> Iterator[StudyProgress]:
    """The kind of progress that fits the console; see `StudyProgress`."""
    if not console.is_terminal:
        yield StudyProgress(console, None, cells=cells, left=left, what=what, last=last)
        return
    columns = (
        folded_column("{task.description}"),
        MofNCompleteColumn(table_column=Column(no_wrap=True)),
        Left(),
        folded_column("{task.fields[figures]}"),
    )
    with Progress(*columns, console=console, refresh_per_second=_REFRESHES) as live:
        yield StudyProgress(console, live, cells=cells, left=left, what=what, last=last)
