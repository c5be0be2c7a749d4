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
    from xlprompt.studies.reports.publication.document import DocumentError

    for section in sections:
        show_tables(console, [part for part in section.content if isinstance(part, Table)])
        if section.note:
            console.print(section.note, highlight=False, markup=False)
    for name, write in (("analysis.html", html_page), ("analysis.md", markdown_page)):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_whole(folder / name, write("Analysis", sections, ()))
        except OSError as error:
            raise DocumentError(f"{folder}: cannot be written ({error}). Name another with --out") from error
        click.echo(folder / name)


def show_tables(console: Console, tables: Iterable[Table]) -> None:
    """Print tables with their notes, in the console's width."""
    from xlprompt.evaluation.fitted_table import show_table
    from xlprompt.studies.reports.page import terminal_table

    for table in tables:
        show_table(console, terminal_table(table))
        if table.note:
            console.print(f"{table.note}\n", highlight=False, markup=False)
