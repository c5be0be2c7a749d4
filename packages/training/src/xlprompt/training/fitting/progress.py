"""What a person sees while a run trains and evaluates: a live line on a terminal, plain lines elsewhere.

Nothing here measures or decides; it listens to the loop.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Column

from xlprompt.training.fitting.listeners import Development, Listener, Step

_LINE_SECONDS = 10.0
_WIDE = 110  # columns of a terminal that take the whole line with its bar


class ShowProgress(Protocol):
    """Makes the progress of one run, as `training_progress` does."""

    def __call__(self, console: Console, *, steps: int, metric: str) -> AbstractContextManager[Listener]:
        """What receives the figures while the context is open."""


class LineProgress(Listener):
    """One plain line every ten seconds and for each evaluation, for logs and pipes."""

    def __init__(self, console: Console, *, steps: int, metric: str) -> None:
        """Start the clock that the time left is estimated from."""
        self._console = console
        self._steps = steps
        self._metric = metric
        self._started = self._last_line = time.monotonic()
        self._first_step: int | None = None  # a resumed run does not begin at 1

    def stepped(self, step: Step) -> None:
        """Print a line if the last one is some seconds old."""
        now = time.monotonic()
        if self._first_step is None:
            self._first_step = step.number
        if now - self._last_line < _LINE_SECONDS and step.number < self._steps:
            return
        self._last_line = now
        left = (now - self._started) / (step.number - self._first_step + 1) * (self._steps - step.number)
        self._print(
            f"step {step.number}/{self._steps}  loss {step.loss:.4f}  lr {step.learning_rate:.2e}  "
            f"{step.tokens_per_second:,.0f} tokens/s  {_clock(left)} left"
        )

    def scored(self, development: Development) -> None:
        """Print the development score and the best so far."""
        score, best, at = development.score.value, development.best_score, development.best_step
        self._print(
            f"step {development.step}/{self._steps}  development {self._metric} {score:.2f}  "
            f"(best {best:.2f} at step {at})"
        )

    def _print(self, line: str) -> None:
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)


class LiveProgress(Listener):
    """One line that is rewritten in place."""

    def __init__(self, progress: Progress, task: TaskID, *, metric: str) -> None:
        """Show the figures in the columns of `progress`."""
        self._progress = progress
        self._task = task
        self._metric = metric

    def stepped(self, step: Step) -> None:
        """Move the bar and rewrite the figures."""
        figures = f"loss {step.loss:.3f}  lr {step.learning_rate:.1e}  {step.tokens_per_second:,.0f} tok/s"
        self._progress.update(self._task, completed=step.number, figures=figures)

    def scored(self, development: Development) -> None:
        """Show the best development score."""
        best = f"dev {self._metric} {development.best_score:.2f} @ {development.best_step}"
        self._progress.update(self._task, best=best)


@contextmanager
def training_progress(console: Console, *, steps: int, metric: str) -> Iterator[Listener]:
    """The kind of progress that fits the console."""
    if not console.is_terminal:
        yield LineProgress(console, steps=steps, metric=metric)
        return
    columns = (
        *bars(console, "train"),
        MofNCompleteColumn(),
        folded("{task.fields[figures]}"),
        folded("{task.fields[best]}"),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("train", total=steps, figures="", best="")
        yield LiveProgress(progress, task, metric=metric)


def bars(console: Console, name: str) -> tuple[ProgressColumn, ...]:
    """The columns of a bar and its name; of narrow terminals figures need all the room."""
    return (folded(name), BarColumn(bar_width=20)) if console.width >= _WIDE else ()


def folded(text: str) -> ProgressColumn:
    """A column of text that is folded where it does not fit, and not cut off."""
    return TextColumn(text, markup=False, table_column=Column(overflow="fold"))


def duration(seconds: float) -> str:
    """Such as `45 s`, `12 min` or `3 h 20 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
