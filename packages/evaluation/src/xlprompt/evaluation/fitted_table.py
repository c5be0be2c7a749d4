"""Tables on a terminal of any width: no figure is ever cut, or broken in two.

rich shortens what does not fit ("50.…"). Here text is folded, and where that is not enough, the columns
of figures go into several tables below each other, each with the names of the rows.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace

from rich.console import Console
from rich.measure import Measurement
from rich.table import Column, Table

_WHOLE = 13  # letters of a word that stay on one line, such as a variant's name
_ENDLESS = 10_000


def show_table(console: Console, table: Table) -> None:
    """Print a table in the console's width; columns aligned to the right hold figures."""
    if _width(console, table) <= console.width:
        console.print(table)
        return
    least = [_least(console, column) for column in table.columns]
    names = next((i for i, column in enumerate(table.columns) if column.justify == "right"), len(least)) or 1
    chosen, parts = list(range(names)), []
    for place in range(names, len(least)):
        wider = [*chosen, place]
        if len(chosen) > names and _width(console, _part(table, wider, least)) > console.width:
            parts.append(chosen)
            wider = [*range(names), place]
        chosen = wider
    parts.append(chosen)
    for number, places in enumerate(parts):
        widths = _spread_out(console, table, places, least)
        part = _part(table, places, widths)
        if (needed := _width(console, part)) > console.width:
            part.width = needed  # lines that a terminal wraps are still better than figures cut
        part.title = table.title if number == 0 else None
        part.caption = table.caption if number == len(parts) - 1 else None
        console.print(part, crop=False)
        console.print()


def _width(console: Console, table: Table) -> int:
    options = console.options.update(width=_ENDLESS)
    return Measurement.get(console, options, table).maximum


def _natural(console: Console, column: Column) -> int:
    options = console.options.update(width=_ENDLESS)
    return max(Measurement.get(console, options, cell).maximum for cell in (column.header, *column.cells))


def _least(console: Console, column: Column) -> int:
    """The width that a column needs: of figures the whole cell, of text a word; headings may be broken."""
    options = console.options.update(width=_ENDLESS)
    heading = Measurement.get(console, options, column.header)
    cells = [Measurement.get(console, options, cell) for cell in column.cells]
    if column.justify == "right":
        return max(heading.minimum, *(cell.maximum for cell in cells), 1)
    return max(1, *(min(_WHOLE, each.minimum) for each in (heading, *cells)))


def _spread_out(console: Console, table: Table, places: Sequence[int], least: Sequence[int]) -> list[int]:
    """The least widths, and what is left over to the columns of text, the first ones first."""
    widths = list(least)
    spare = console.width - _width(console, _part(table, places, least))
    for place in places:
        more = min(max(spare, 0), _natural(console, table.columns[place]) - least[place])
        widths[place] += more
        spare -= more
    return widths


def _part(table: Table, places: Sequence[int], widths: Sequence[int]) -> Table:
    """The table with some of its columns, in given widths."""
    part = copy.copy(table)
    part.show_edge = False
    part.columns = [
        replace(table.columns[place], _index=index, width=widths[place], no_wrap=False, overflow="fold")
        for index, place in enumerate(places)
    ]
    return part
