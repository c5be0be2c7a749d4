"""Sections of tables, as a report has them: on a terminal, and as files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console

    from xlprompt.studies.reports.page import Section, Table


def show_sections(console: Console, sections: Sequence[Section], folder: Path) -> None:
    """Print the tables and notes of sections, write their page and Markdown, and say where these are.

    Args:
        console: Where the tables go.
        sections: The sections.
        folder: Where `analysis.html`, which has the figures, and `analysis.md` go.
    """
    from xlprompt.data.whole_files import write_whole
    from xlprompt.studies.reports.page import Table, html_page, markdown_page
    from xlprompt.studies.reports.summary import DocumentError

    for section in sections:
        show_tables(console, [part for part in section.content if isinstance(part, Table)])
        if section.note:
            console.print(section.note, highlight=False, markup=False)
    for name, write in (("analysis.html", html_page), ("analysis.md", markdown_page)):
        try:
            write_whole(folder / name, write("Analysis", sections, ()))
        except OSError as error:
            raise DocumentError(f"{folder}: cannot be written ({error}). Name another with --out") from error
        click.echo(folder / name)


def show_tables(console: Console, tables: Iterable[Table]) -> None:
    """Print tables with their notes, in the console's width; what holds figures only is aligned right."""
    from rich import box
    from rich.table import Table as Grid

    from xlprompt.evaluation.fitted_table import show_table

    for part in tables:
        grid = Grid(title=part.title, title_justify="left", box=box.SIMPLE_HEAD, padding=0, pad_edge=False)
        for place, name in enumerate(part.columns):
            figures = all(_is_figure(row[place]) for row in part.rows)
            grid.add_column(name, justify="right" if figures else "left")
        for row in part.rows:
            grid.add_row(*row)
        show_table(console, grid)
        if part.note:
            console.print(f"{part.note}\n", highlight=False, markup=False)


def _is_figure(cell: str) -> bool:
    """Whether a cell holds a number, an interval or nothing, and no words."""
    return not any(letter.isalpha() for letter in cell)
