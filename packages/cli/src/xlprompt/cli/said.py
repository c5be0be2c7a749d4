"""Sentences that a command prints without a console: as they are typed here, and folded for a terminal."""

from __future__ import annotations

import shutil
import sys
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


def in_width(text: str, stream: Any, hanging: int = 0) -> str:
    """The text as it is printed to a stream; in a file lines stay whole."""
    typed = as_typed(text)
    if not stream.isatty():
        return typed
    from xlprompt.evaluation.folding import folded

    return folded(typed, shutil.get_terminal_size().columns, hanging=hanging)
