"""A stopwatch that says where a run's time went: one phase runs at a time, and their sum is the whole."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path

import psutil

_SHOWN_FROM = 0.005  # of the whole: what would be rounded to nothing is left out of the line


class Phase(StrEnum):
    """What a run does, in the order in which it is told; each has the name of its metric."""

    EARLIER = "earlier_attempts"
    IMPORTS = "imports"
    DATA = "data"
    ENCODING = "encoding"
    MODEL = "model"
    LOSSES_BEFORE = "losses_before"
    TRAINING = "training"
    DEVELOPMENT = "development"
    CURVE = "curve"
    TEST = "test"
    LOSSES_AFTER = "losses_after"
    STORING = "storing"
    REST = "rest"


class Phases:
    """Wall-clock seconds by phase. One that begins within another stops that one's clock until it ends.

    Attributes:
        began: When the whole began, by `time.perf_counter`.
    """

    def __init__(self, began: float | None = None) -> None:
        """Begin with what belongs to no phase.

        Args:
            began: When a process began that does nothing else, by `time.perf_counter`: what has passed since
                went into its imports. None for a run in a process that does other things too.
        """
        now = time.perf_counter()
        self.began = now if began is None else began
        self._seconds = dict.fromkeys(Phase, 0.0)
        self._seconds[Phase.IMPORTS] = now - self.began
        self._open, self._since = [Phase.REST], now

    @contextmanager
    def of(self, phase: Phase) -> Iterator[None]:
        """Within it time counts for this phase."""
        self._count()
        self._open.append(phase)
        try:
            yield
        finally:
            self._count()
            self._open.pop()

    def seconds(self, earlier: float = 0.0) -> dict[str, float]:
        """Seconds by phase until now, without those that took none.

        Args:
            earlier: What earlier attempts at the run took.
        """
        self._count()
        found = {**self._seconds, Phase.EARLIER: earlier}
        return {phase.value: found[phase] for phase in Phase if found[phase] > 0}

    def _count(self) -> None:
        now = time.perf_counter()
        self._seconds[self._open[-1]] += now - self._since
        self._since = now


def in_words(seconds: Mapping[str, float]) -> str:
    """Each phase's share of the whole, in percent."""
    total = sum(seconds.values())
    return ", ".join(
        f"{phase.replace('_', ' ')} {100 * taken / total:.0f} %"
        for phase, taken in seconds.items()
        if taken >= _SHOWN_FROM * total
    )


def process_began() -> float:
    """When this process began, by `time.perf_counter`."""
    return time.perf_counter() - max(0.0, _age())


def _age() -> float:
    """Seconds that this process has been there; Linux tells them to a hundredth of one (proc_pid_stat(5))."""
    try:
        fields = Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError, ValueError):
        return time.time() - psutil.Process().create_time()
