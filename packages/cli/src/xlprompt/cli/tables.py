"""Sections of tables, as a report has them, on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from xlprompt.evaluation.report_page import Section


def print_section(console: Console, section: Section) -> None:
    """Print a section's tables and notes; figures are in the files."""
    from rich import box
    from rich.table import Table as Grid

    from xlprompt.evaluation.report_page import Table

    for part in section.content:
        if not isinstance(part, Table):
            continue
        grid = Grid(title=part.title, title_justify="left", box=box.SIMPLE_HEAD, padding=0, pad_edge=False)
        for name in part.columns:
            grid.add_column(name)
        for row in part.rows:
            grid.add_row(*row)
        console.print(grid)
        if part.note:
            console.print(f"{part.note}\n", highlight=False, markup=False)
    if section.note:
        console.print(section.note, highlight=False, markup=False)
