"""What a person sees while a run trains and evaluates: a live line on a terminal, plain lines elsewhere.

Nothing here measures or decides; it listens to the loop.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from rich.console import Console, RenderableType
from rich.progress import Progress, TaskID
from rich.text import Text

from xlprompt.evaluation.waiting import LINE_SECONDS, bar_columns, clock
from xlprompt.training.fitting.listeners import Development, Listener, Step


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
        if now - self._last_line < LINE_SECONDS and step.number < self._steps:
            return
        self._last_line = now
        left = (now - self._started) / (step.number - self._first_step + 1) * (self._steps - step.number)
        self._print(
            f"step {step.number}/{self._steps}  loss {step.loss:.4f}  lr {step.learning_rate:.2e}  "
            f"{step.tokens_per_second:,.0f} tokens/s  {clock(left)} left"
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


class _TwoLines(Progress):
    """The bar with count and time left, and below it the figures, which would take their room."""

    figures = best = ""

    def get_renderables(self) -> Iterable[RenderableType]:
        yield from super().get_renderables()
        if told := "  ".join(filter(None, (self.figures, self.best))):
            yield Text(f"  {told}", overflow="fold")


class LiveProgress(Listener):
    """Two lines that are rewritten in place."""

    def __init__(self, progress: _TwoLines, task: TaskID, *, metric: str) -> None:
        """Show the figures below the bar of `progress`."""
        self._progress = progress
        self._task = task
        self._metric = metric

    def stepped(self, step: Step) -> None:
        """Move the bar and rewrite the figures."""
        self._progress.figures = (
            f"loss {step.loss:.3f}  lr {step.learning_rate:.1e}  {step.tokens_per_second:,.0f} tokens/s"
        )
        self._progress.update(self._task, completed=step.number)

    def scored(self, development: Development) -> None:
        """Show the best development score."""
        self._progress.best = f"{self._metric} {development.best_score:.2f} at {development.best_step}"


@contextmanager
def training_progress(console: Console, *, steps: int, metric: str) -> Iterator[Listener]:
    """The kind of progress that fits the console."""
    if not console.is_terminal:
        yield LineProgress(console, steps=steps, metric=metric)
        return
    with _TwoLines(*bar_columns(), console=console, expand=True) as progress:
        task = progress.add_task("training", total=steps)
        yield LiveProgress(progress, task, metric=metric)


def duration(seconds: float) -> str:
    """Such as `45 s`, `12 min` or `3 h 20 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min"
