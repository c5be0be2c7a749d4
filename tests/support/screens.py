"""A pseudo-terminal of 80 x 24, and what a person sees on it."""

import fcntl
import os
import pty
import re
import struct
import sys
import termios
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import pyte
import pytest

COLUMNS, ROWS = 80, 24
_FAR = 400  # columns of a screen on which nothing wraps, so that what is too wide is seen
_STEERING = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class _Ruled(pyte.Screen):
    """A screen that remembers how far to the right anything was drawn."""

    widest = 0

    def draw(self, data: str) -> None:
        super().draw(data)
        self.widest = max(self.widest, self.cursor.x)


@dataclass(frozen=True)
class Seen:
    """What was written to a terminal.

    Attributes:
        widest: The columns that it takes.
        lines: Every line that was drawn, those that were drawn over among them.
        screen: What is there at the end, scrolled lines included.
        status: The exit code.
    """

    widest: int
    lines: tuple[str, ...]
    screen: tuple[str, ...]
    status: int = 0


def replay(written: str, status: int = 0) -> Seen:
    """Draw what was written on a terminal."""
    far, near = _Ruled(_FAR, 2000), pyte.HistoryScreen(COLUMNS, ROWS, history=2000)
    for screen in (far, near):
        screen.set_mode(pyte.modes.LNM)  # the line discipline of a terminal returns at each new line
        pyte.Stream(screen).feed(written)
    gone = ["".join(row[place].data for place in range(COLUMNS)).rstrip() for row in near.history.top]
    plain = _STEERING.sub("", written)
    lines = tuple(line.rstrip() for line in re.split(r"[\r\n]+", plain) if line.strip())
    return Seen(far.widest, lines, (*gone, *(line.rstrip() for line in near.display)), status)


def on_terminal(call: Callable[[], object]) -> Seen:
    """Call something whose standard output and errors are a pseudo-terminal of 80 x 24."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    written: list[bytes] = []
    reader = threading.Thread(target=_read_all, args=(ours, written))
    reader.start()
    status = 0
    with pytest.MonkeyPatch.context() as patch, open(theirs, "w", encoding="utf-8", buffering=1) as terminal:
        # Rich and click ask the process' own streams for the size, which are those of the tests.
        for name, value in {"COLUMNS": COLUMNS, "LINES": ROWS, "TERM": "xterm-256color"}.items():
            patch.setenv(name, str(value))
        for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "RANK"):
            patch.delenv(name, raising=False)
        patch.setattr(sys, "stdout", terminal)
        patch.setattr(sys, "stderr", terminal)
        try:
            call()
        except SystemExit as end:
            status = int(end.code or 0)
    reader.join()
    os.close(ours)
    return replay(b"".join(written).decode(), status)


def _read_all(descriptor: int, written: list[bytes]) -> None:
    with suppress(OSError):  # how Linux says that the other end is closed
        while chunk := os.read(descriptor, 1 << 16):
            written.append(chunk)
