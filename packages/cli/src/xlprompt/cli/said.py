"""Sentences that a command prints without a console: as they are typed here, and folded for a terminal."""

from __future__ import annotations

import shutil
import sys
from contextlib import AbstractContextManager
from typing import Any

import click

from xlprompt.evaluation.commands import as_typed


def say(text: str, *, err: bool = False, hanging: int = 0, **style: Any) -> None:
    """Print a text; on a terminal no word of it is broken.

    Args:
        text: One line or several.
        err: To the standard error output.
        hanging: Columns by which lines that are added are moved in.
        style: Of `click.secho`.
    """
    click.secho(in_width(text, sys.stderr if err else sys.stdout, hanging), err=err, **style)


def wait(what: str) -> AbstractContextManager[None]:
    """Show on a terminal what is waited for within; the standard output is left to what is found.

    Args:
        what: See `waiting` of xlprompt.evaluation.
    """
    from xlprompt.evaluation.terminal import open_console
    from xlprompt.evaluation.waiting import waiting

    return waiting(open_console(stderr=True), what)


def in_width(text: str, stream: Any, hanging: int = 0) -> str:
    """The text as it is printed to a stream; in a file lines stay whole."""
    typed = as_typed(text)
    if not stream.isatty():
        return typed
    from xlprompt.evaluation.folding import folded

    return folded(typed, shutil.get_terminal_size().columns, hanging=hanging)
