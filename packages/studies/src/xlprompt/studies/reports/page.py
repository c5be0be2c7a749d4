"""The parts of a report, and how they become one self-contained HTML page or Markdown.

Layout only: what the tables and figures say is study_page.py's business. The page refers to no other file,
is made for a phone first, and prints.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from xlprompt.data.printable import printable
from xlprompt.data.strict_json import parse

if TYPE_CHECKING:
    import rich.table


@dataclass(frozen=True)
class Table:
    """A table as text, the same on a page, in Markdown and on a terminal.

    Attributes:
        title: What it shows.
        columns: Their headings.
        rows: Cells of each row, as many as columns.
        note: How to read it.
        cards: Whether the page shows each row as a card: its first cell as the heading, the second below, the
            others as paragraphs under their columns' names. For rows of sentences.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    cards: bool = False

    def __post_init__(self) -> None:
        """Refuse rows that the columns do not fit."""
        if any(len(row) != len(self.columns) for row in self.rows):
            raise ValueError(f"a row of the table '{self.title}' has not one cell for each column")
        if self.cards and len(self.columns) < 2:
            raise ValueError(f"the table '{self.title}' has no columns for cards")


@dataclass(frozen=True)
class Image:
    """A figure as SVG text; in Markdown it is left out."""

    title: str
    svg: str


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it.

    Attributes:
        title: The heading.
        content: Tables and figures in their order.
        note: A paragraph for all of them.
        brief: What it comes to, as rows of a table that all sections of its kind share. Its title is the
            kind's name: a document with a place for `NAME-<kind>` takes the table there.
    """

    title: str
    content: tuple[Table | Image, ...]
    note: str = ""
    brief: Table | None = None

    def to_json(self) -> str:
        """Text that `from_json` takes back."""
        content = [{"kind": type(part).__name__.lower(), **asdict(part)} for part in self.content]
        brief = None if self.brief is None else asdict(self.brief)
        return json.dumps(
            {"title": self.title, "note": self.note, "content": content, "brief": brief}, ensure_ascii=False
        )

    @classmethod
    def from_json(cls, text: str) -> Section:
        """A section that was stored.

        Raises:
            ValueError: The text is something else.
        """
        try:
            return parse(cls, text)
        except ValueError as error:
            raise ValueError(f"not a section of a report: {error}") from error


def html_page(title: str, sections: Sequence[Section], notes: Sequence[str]) -> str:
    """The page; `notes` stand under its title."""
    # Imported here: a store's sections are read without it.
    from jinja2 import Environment, PackageLoader

    environment = Environment(
        loader=PackageLoader("xlprompt.studies.reports"),
        autoescape=True,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"data": _data, "tied": _tied, "groups": _groups}
    page = environment.get_template("page.html")
    return page.render(title=title, sections=sections, notes=notes)


def markdown_section(section: Section) -> str:
    """A section as Markdown, without its figures."""
    lines = [f"## {inline(section.title)}"]
    if section.note:
        lines.append(f"\n{inline(section.note)}")
    for part in section.content:
        if isinstance(part, Table):
            lines += [f"\n### {inline(part.title)}\n", markdown_table(part)]
            lines += [f"\n{inline(part.note)}"] if part.note else []
    return "\n".join(lines)


def markdown_page(title: str, sections: Sequence[Section], notes: Sequence[str]) -> str:
    """The same as Markdown, without the figures."""
    lines = [f"# {inline(title)}", *(f"\n{inline(note)}" for note in notes)]
    lines += [f"\n{markdown_section(section)}" for section in sections]
    return "\n".join(lines) + "\n"


def markdown_table(table: Table, right: int | None = None) -> str:
    """A table in Markdown, without its title and note; columns from `right` on are aligned to the right."""
    rules = ["---:" if right is not None and place >= right else "---" for place in range(len(table.columns))]
    rows = [table.columns, rules, *table.rows]
    return "\n".join(f"| {' | '.join(map(inline, row))} |" for row in rows)


def terminal_table(table: Table) -> rich.table.Table:
    """A table for a terminal, without its note; columns that hold figures only are aligned to the right."""
    from rich import box
    from rich.table import Table as Grid

    grid = Grid(title=table.title, title_justify="left", box=box.SIMPLE_HEAD, padding=0, pad_edge=False)
    for place, name in enumerate(table.columns):
        words = any(letter.isalpha() for row in table.rows for letter in row[place])
        grid.add_column(name, justify="left" if words else "right")
    for row in table.rows:
        grid.add_row(*row)
    return grid


def _shown(value: Any) -> Any:
    """What a template writes: no text from anywhere is a control character, or half of a letter."""
    return printable(value, keep="\n\t") if type(value) is str else value


def _tied(text: str) -> str:
    """Text in which a percent sign stays with its number."""
    return text.replace(" %", "\xa0%")


def _data(image: Image) -> str:
    """The figure as an image of its own, since the ids of several SVGs in one page would clash."""
    return f"data:image/svg+xml;base64,{base64.b64encode(image.svg.encode()).decode()}"


def _groups(parts: Sequence[Table | Image]) -> list[tuple[str, list[Table | Image]]]:
    """The parts in their order, with their kind; figures that follow each other stand side by side."""
    return [(kind, list(group)) for kind, group in groupby(parts, key=_kind)]


def _kind(part: Table | Image) -> str:
    return "figures" if isinstance(part, Image) else "cards" if part.cards else "tables"


def inline(text: str) -> str:
    """Text from anywhere for a line of Markdown: it neither ends a cell nor begins a tag or a link."""
    plain = printable(" ".join(text.split())).replace("\\", "\\\\")
    plain = plain.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|")
    return plain.replace("](", "]\\(").replace("]:", "]\\:")
