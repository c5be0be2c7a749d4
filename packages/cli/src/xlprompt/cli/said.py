"""Sentences that a command prints without a console: as they are typed here, and folded for a terminal."""

from __future__ import annotations

import shutil
import sys
from contextlib import AbstractContextManager
from pathlib import Path
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


def in_store(mlruns: Path) -> str:
    """What a command that is offered ends with where the store is another than without it."""
    from xlprompt.training.store.store_option import in_store as as_option

    return as_option(mlruns)


def wait(what: str) -> AbstractContextManager[None]:
    """Show on a terminal what is waited for within; the standard output is left to what is found.

    Args:
        what: See `waiting` of xlprompt.evaluation.
    """
    from xlprompt.evaluation.terminal import open_console
    from xlprompt.evaluation.waiting import waiting

    return waiting(open_console(stderr=True), what)


def command_in_width(line: str) -> str:
    """A shell's command as it is printed to the standard output: on a terminal it stays the same command."""
    if not sys.stdout.isatty():
        return line
    from xlprompt.evaluation.folding import folded_command

    return folded_command(line, shutil.get_terminal_size().columns)


def in_width(text: str, stream: Any, hanging: int = 0) -> str:
    """The text as it is printed to a stream; in a file lines stay whole."""
    typed = as_typed(text)
    if not stream.isatty():
        return typed
    from xlprompt.evaluation.folding import folded

    return folded(typed, shutil.get_terminal_size().columns, hanging=hanging)
