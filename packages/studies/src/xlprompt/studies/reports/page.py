"""The parts of a report, and how they become one self-contained HTML page or Markdown.

Layout only: what the tables and figures say is study_page.py's business. The page refers to no other file,
is made for a phone first, and prints.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from xlprompt.data.printable import printable
from xlprompt.data.strict_json import parse
from xlprompt.evaluation.compact_svg import data_uri

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
        cards: Whether the page shows each row as a line that opens: its first two cells, and folded away the
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


@dataclass(frozen=True)
class Folded:
    """A section that a page shows as its heading alone until it is opened."""

    section: Section


@dataclass(frozen=True)
class Opening:
    """What a page says before its sections.

    Attributes:
        headline: The answer in a sentence.
        lead: What was compared, in a line.
        claims: Rows of sentences, of which the first three cells are shown and the others folded away.
        wide: The figure as SVG for a desk, where there is one.
        narrow: The same for a phone.
        described: The figure in words.
        reading: Paragraphs on how to read all of it, folded away on a page.
    """

    headline: str
    lead: str
    claims: Table
    wide: str | None = None
    narrow: str | None = None
    described: str = ""
    reading: tuple[str, ...] = ()


def html_page(
    title: str,
    sections: Sequence[Section | Folded],
    notes: Sequence[str],
    opening: Opening | None = None,
) -> str:
    """The page.

    Args:
        title: Of the page; its heading, too, where there is no answer to open with.
        sections: What follows, some folded.
        notes: Paragraphs before the sections.
        opening: What it opens with.
    """
    # Imported here: a store's sections are read without it.
    from jinja2 import Environment, PackageLoader

    environment = Environment(
        loader=PackageLoader("xlprompt.studies.reports"),
        autoescape=True,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"data": data_uri, "spaceless": _spaceless, "tied": _tied, "groups": _groups}
    page = environment.get_template("page.html")
    parts = [(_bare(each), isinstance(each, Folded)) for each in sections]
    return page.render(title=title, sections=parts, notes=notes, opening=opening)


def _bare(section: Section | Folded) -> Section:
    return section.section if isinstance(section, Folded) else section


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


def markdown_page(
    title: str,
    sections: Sequence[Section | Folded],
    notes: Sequence[str],
    opening: Opening | None = None,
) -> str:
    """The same as Markdown, without the figures."""
    lines = [f"# {inline(title)}"]
    if opening is not None:
        lines += [f"\n**{inline(opening.headline)}**", f"\n{inline(opening.lead)}\n"]
        lines += [
            f"- {inline(ruling)}: {inline(short)} ({inline(brief)})"
            for short, ruling, brief, *_ in opening.claims.rows
        ]
    lines += [f"\n{inline(note)}" for note in (*notes, *(opening.reading if opening else ()))]
    if opening is not None:
        lines += [f"\n## {inline(opening.claims.title)}\n", markdown_table(opening.claims)]
    lines += [f"\n{markdown_section(_bare(section))}" for section in sections]
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


def _spaceless(uri: str) -> str:
    """An address for a set of sources, which spaces would part."""
    return uri.replace(" ", "%20")


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
