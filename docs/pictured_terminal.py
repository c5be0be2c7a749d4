"""What a command shows in a terminal of 80 columns, as an SVG picture.

The command runs in a pseudo-terminal, pyte reads what it sends there as a terminal would, and rich draws the
rows with their colors. The picture names a font of the reader's machine, so nothing is fetched.
"""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyte
from pyte.screens import Char
from rich.console import Console
from rich.style import Style
from rich.terminal_theme import MONOKAI
from rich.text import Text

COLUMNS, ROWS = 80, 24
_KEPT_ROWS = 5000
_FETCHED_FONTS = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


def screen_of(command: Sequence[str], folder: Path) -> list[Text]:
    """Run a command and return all rows that it has shown, those that scrolled away first.

    Args:
        command: The program with its arguments.
        folder: Where it runs.

    Raises:
        subprocess.CalledProcessError: It fails; the error holds the rows as text.
    """
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    hidden = ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment | {"TERM": "xterm-256color"},
        stdin=its,
        stdout=its,
        stderr=its,
        start_new_session=True,
    )
    os.close(its)
    screen = pyte.HistoryScreen(COLUMNS, ROWS, history=_KEPT_ROWS)
    stream = pyte.ByteStream(screen)
    try:
        while sent := os.read(ours, 65536):
            stream.feed(sent)
    except OSError:  # how Linux tells that the other end is closed
        pass
    finally:
        os.close(ours)
    shown = [*screen.history.top, *(screen.buffer[row] for row in range(ROWS))]
    rows = [_row(row) for row in shown]
    while rows and not rows[-1].plain:
        rows.pop()
    if process.wait():
        raise subprocess.CalledProcessError(process.returncode, command, "\n".join(row.plain for row in rows))
    return rows


def draw(rows: Sequence[Text], path: Path) -> None:
    """Write rows as an SVG picture of a terminal."""
    console = Console(record=True, file=io.StringIO(), width=COLUMNS, force_terminal=True)
    for row in rows:
        console.print(row, no_wrap=True, overflow="crop", crop=True)
    picture = console.export_svg(
        title="",
        theme=MONOKAI,
        unique_id=path.stem,
    )
    path.write_text(_FETCHED_FONTS.sub("", picture), encoding="utf-8")


def _row(row: Mapping[int, Char]) -> Text:
    text = Text()
    for column in range(COLUMNS):
        cell = row[column]
        text.append(cell.data, _style(cell))
    text.rstrip()
    return text


def _style(cell: Char) -> Style:
    return Style(
        color=_color(cell.fg),
        bgcolor=_color(cell.bg),
        bold=cell.bold or None,
        italic=cell.italics or None,
        underline=cell.underscore or None,
        reverse=cell.reverse or None,
    )


def _color(name: str) -> str | None:
    if name == "default":
        return None
    if re.fullmatch(r"[0-9a-f]{6}", name):
        return f"#{name}"
    return re.sub(r"^bright", "bright_", name).replace("brown", "yellow")  # pyte's names for rich's
