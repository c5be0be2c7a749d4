"""What a person sees while waiting: what is done, how far it is, and how long it will take.

On a terminal a line is rewritten in place and goes away at the end. In a log there is nothing for what is
short, and a line now and then for what is counted.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
)
from rich.table import Column
from rich.text import Text

from xlprompt.data.fingerprints import fingerprint_of
from xlprompt.models.pretrained.cache import recall, remember

LINE_SECONDS = 10.0
_KEPT_FROM = 2.0  # seconds; what is shorter needs no announcement
_KIND = "waits"
_WHOLE = 10  # letters of a word that stays in one piece


class Left(ProgressColumn):
    """The time left, as `1:20 left`; at the end what it took.

    A task's field `left`, where it has one, says it better; where that is empty it is not known.
    """

    def __init__(self) -> None:
        """Keep the figure on one line."""
        super().__init__(table_column=Column(no_wrap=True, justify="right"))

    def render(self, task: Task) -> Text:
        """The column's text."""
        if task.fields.get("left"):
            return Text(task.fields["left"])
        if task.finished and "left" not in task.fields:
            return Text(f"took {clock(task.finished_time or 0)}")
        if task.total is None or "left" in task.fields:
            return Text(f"{clock(task.elapsed or 0)} so far")
        if task.time_remaining is None:
            return Text("-:-- left")
        return Text(f"{clock(task.time_remaining)} left")


class _Took(ProgressColumn):
    """The time so far, and what it took the last time."""

    def render(self, task: Task) -> Text:
        return Text(f"{clock(task.elapsed or 0)}{task.fields['usual']}")


@contextmanager
def waiting(console: Console, what: str) -> Iterator[None]:
    """Show on a terminal what is waited for within, for how long, and how long that took the last time.

    Args:
        console: Where to; nothing is shown in a log, nor by launched processes but the first.
        what: Such as `Reading the data`; what is called the same is expected to take as long again.
    """
    if not console.is_terminal or console.quiet or os.environ.get("RANK", "0") != "0":
        yield
        return
    key = fingerprint_of(what)
    usual = _usual(key)
    told = "" if usual is None else f", about {clock(usual)} the last time"
    columns = (SpinnerColumn(), folded_column("{task.description}"), _Took())
    began = time.monotonic()
    with _passing(console, *columns) as progress:
        progress.add_task(what, total=None, usual=told)
        yield
    took = time.monotonic() - began
    if took >= _KEPT_FROM:
        remember(_KIND, key, f"{took:.1f}")


def _passing(console: Console, *columns: ProgressColumn) -> Progress:
    """A line that goes away; what is printed to a file meanwhile goes there, and not above the line."""
    return Progress(*columns, console=console, transient=True, redirect_stdout=sys.stdout.isatty())


def _usual(key: str) -> float | None:
    with suppress(ValueError):
        return float(recall(_KIND, key) or "")
    return None


@contextmanager
def counted(console: Console, what: str, total: int, *, in_logs: bool = True) -> Iterator[Callable[[], None]]:
    """Show how many of so many things are done within, and the time left.

    Args:
        console: On a terminal a bar; in a log a line now and then.
        what: Such as `Scoring languages`.
        total: How many there are.
        in_logs: Whether a log is told; not where each thing has a line of its own.

    Yields:
        What is called when one is done.
    """
    if not console.is_terminal or console.quiet:
        yield _Lines(console, what, total).advance if in_logs else _nothing
        return
    with _passing(console, *bar_columns()) as progress:
        bar = progress.add_task(what, total=total)
        yield lambda: progress.advance(bar)


def _nothing() -> None:
    """Is told, and says nothing."""


class _Lines:
    """Lines of a log, some seconds apart."""

    def __init__(self, console: Console, what: str, total: int) -> None:
        self._console, self._what, self._total = console, what, total
        self._done, self._began = 0, time.monotonic()
        self._told = self._began

    def advance(self) -> None:
        self._done += 1
        now = time.monotonic()
        if now - self._told < LINE_SECONDS or self._done >= self._total:
            return
        self._told = now
        left = (now - self._began) / self._done * (self._total - self._done)
        line = f"{self._what}: {self._done}/{self._total}, {clock(left)} left"
        self._console.print(line, highlight=False, soft_wrap=True)


def bar_columns() -> tuple[ProgressColumn, ...]:
    """Name, bar, count and time left; where there is little room it is the bar that gives way."""
    return (
        folded_column("{task.description}"),
        BarColumn(bar_width=None, table_column=Column(ratio=1)),
        MofNCompleteColumn(table_column=Column(no_wrap=True)),
        Left(),
    )


def folded_column(text: str) -> ProgressColumn:
    """A column of text that is folded between words where it does not fit, and not cut off."""
    column = Column(overflow="fold", min_width=_WHOLE if "{" in text else None)
    return TextColumn(text, markup=False, table_column=column)


def clock(seconds: float) -> str:
    """Such as `0:45`, `12:00` or `3:20:00`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
