"""Sections of tables, as a report has them: on a terminal, and as files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console

    from xlprompt.studies.reports.page import Section


def show_section(console: Console, section: Section, folder: Path) -> None:
    """`show_sections` of one."""
    show_sections(console, [section], folder)


def show_sections(console: Console, sections: Sequence[Section], folder: Path) -> None:
    """Print the tables and notes of sections, write their page and Markdown, and say where these are.

    Args:
        console: Where the tables go.
        sections: The sections.
        folder: Where `analysis.html`, which has the figures, and `analysis.md` go.
    """
    from xlprompt.data.whole_files import write_whole
    from xlprompt.studies.reports.page import html_page, markdown_page
    from xlprompt.studies.reports.summary import DocumentError

    for section in sections:
        _print(console, section)
    for name, write in (("analysis.html", html_page), ("analysis.md", markdown_page)):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_whole(folder / name, write("Analysis", sections, ()))
        except OSError as error:
            raise DocumentError(f"{folder}: cannot be written ({error}). Name another with --out") from error
        click.echo(folder / name)


def _print(console: Console, section: Section) -> None:
    from rich import box
    from rich.table import Table as Grid

    from xlprompt.evaluation.fitted_table import show_table
    from xlprompt.studies.reports.page import Table

    for part in section.content:
        if not isinstance(part, Table):
            continue
        grid = Grid(title=part.title, title_justify="left", box=box.SIMPLE_HEAD, padding=0, pad_edge=False)
        for place, name in enumerate(part.columns):
            figures = all(_is_figure(row[place]) for row in part.rows)
            grid.add_column(name, justify="right" if figures else "left")
        for row in part.rows:
            grid.add_row(*row)
        show_table(console, grid)
        if part.note:
            console.print(f"{part.note}\n", highlight=False, markup=False)
    if section.note:
        console.print(section.note, highlight=False, markup=False)


def _is_figure(cell: str) -> bool:
    """Whether a cell holds a number, an interval or nothing, and no words."""
    return not any(letter.isalpha() for letter in cell)
