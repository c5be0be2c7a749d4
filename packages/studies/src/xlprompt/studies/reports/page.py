"""The parts of a report, and how they become one self-contained HTML page or Markdown.

Layout only: what the tables and figures say is study_page.py's business. The page refers to no other file,
is made for a phone first, and prints.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from html import escape as escape_html

from xlprompt.data.printable import printable
from xlprompt.data.strict_json import parse

_STYLE = """
:root{color-scheme:light}
*{box-sizing:border-box}
body{font:16px/1.5 system-ui,sans-serif;max-width:64rem;margin:0 auto;padding:0 1rem 2rem;color:#111;
background:#fff;overflow-wrap:break-word}
h1{font-size:1.6rem;line-height:1.2}h2{margin-top:2.5rem;border-bottom:1px solid #999}
h3{font-size:1rem;margin:1.5rem 0 .5rem}h4{font-size:1rem;margin:0}
nav{font-size:.875rem}nav a{display:inline-block;padding:.25rem 0;margin-right:1rem}
.scroll{overflow-x:auto}table{border-collapse:collapse;font-size:.875rem;font-variant-numeric:tabular-nums}
caption{text-align:left;font-weight:600;padding:.5rem 0}
th,td{padding:.25rem .6rem;border-bottom:1px solid #ddd;text-align:left;vertical-align:top;white-space:nowrap}
th{border-bottom:1px solid #555}td.long{white-space:normal;min-width:16rem}
th:first-child,td:first-child{position:sticky;left:0;background:#fff;padding-left:0}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,22rem),1fr));gap:1rem}
article{border:1px solid #999;border-radius:.4rem;padding:.75rem 1rem}
article p,dl{margin:.4rem 0 0}article p{font-weight:600}
dl{font-size:.875rem}dt{color:#444}dd{margin:0 0 .4rem}
.figures{display:flex;flex-wrap:wrap;gap:1rem;margin:1rem 0}
figure{margin:0;flex:1 1 22rem;max-width:31rem;min-width:0}
figcaption{font-size:.875rem;font-weight:600}img{display:block;width:100%;height:auto}
.note{font-size:.875rem;color:#444}
@media print{html{font-size:10pt}body{max-width:none;font-size:1rem;padding:0}nav{display:none}
.scroll{overflow:visible}
tr,figure,article{break-inside:avoid}h2,h3,caption{break-after:avoid}
table{font-size:8pt}th,td{padding:.1rem .3rem}th,td.long{white-space:normal;min-width:0}
th:first-child,td:first-child{position:static}figure{flex-basis:45%;max-width:48%}}
"""


@dataclass(frozen=True)
class Table:
    """A table as text, the same for both files.

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
    body = [f"<h1>{_html(title)}</h1>", *map(_note, notes), "<nav>"]
    body += [f'<a href="#part{i}">{_html(section.title)}</a>' for i, section in enumerate(sections, 1)]
    body.append("</nav>")
    for number, section in enumerate(sections, 1):
        body.append(f'<section id="part{number}"><h2>{_html(section.title)}</h2>{_note(section.note)}')
        body += _html_parts(section.content)
        body.append("</section>")
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{_html(title)}</title><style>{_STYLE}</style></head><body>",
            *body,
            "</body></html>\n",
        ]
    )


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


def markdown_table(table: Table) -> str:
    """A table in Markdown, without its title and note."""
    rows = [table.columns, ("---",) * len(table.columns), *table.rows]
    return "\n".join(f"| {' | '.join(map(inline, row))} |" for row in rows)


def _html_parts(parts: Sequence[Table | Image]) -> list[str]:
    """The parts in their order; figures that follow each other stand side by side where there is room."""
    pieces: list[str] = []
    images: list[str] = []
    for part in parts:
        if isinstance(part, Image):
            images.append(_html_image(part))
            continue
        pieces += _side_by_side(images)
        images = []
        pieces.append(_html_cards(part) if part.cards else _html_table(part))
    return pieces + _side_by_side(images)


def _side_by_side(images: Sequence[str]) -> list[str]:
    return [f'<div class="figures">{"".join(images)}</div>'] if images else []


def _html_table(table: Table) -> str:
    head = "".join(f'<th scope="col">{_html(name)}</th>' for name in table.columns)
    rows = "".join(f"<tr>{''.join(map(_td, row))}</tr>\n" for row in table.rows)
    return (
        f'<div class="scroll" tabindex="0"><table><caption>{_html(table.title)}</caption>'
        f"<thead><tr>{head}</tr></thead>\n<tbody>{rows}</tbody></table></div>{_note(table.note)}"
    )


def _td(text: str) -> str:
    # Sentences wrap; figures and names stay on one line.
    wraps = ' class="long"' if len(text) > 40 else ""
    return f"<td{wraps}>{_html(text)}</td>"


def _html_cards(table: Table) -> str:
    cards = []
    for heading, ruling, *others in table.rows:
        named = zip(table.columns[2:], others, strict=True)
        details = "".join(f"<dt>{_html(name)}</dt><dd>{_text(text)}</dd>" for name, text in named)
        cards.append(f"<article><h4>{_text(heading)}</h4><p>{_text(ruling)}</p><dl>{details}</dl></article>")
    return f'<h3>{_html(table.title)}</h3><div class="cards">{"".join(cards)}</div>{_note(table.note)}'


def _html_image(image: Image) -> str:
    # As an image of its own, since the ids of several SVGs in one page would clash.
    data = base64.b64encode(image.svg.encode()).decode()
    title = _html(image.title)
    return (
        f'<figure><figcaption>{title}</figcaption><img alt="{title}" src="data:image/svg+xml;base64,{data}">'
        "</figure>"
    )


def _html(text: str) -> str:
    """Text from anywhere for HTML: nothing of it is markup, a control character, or half of one."""
    return escape_html(printable(text, keep="\n\t"))


def _note(text: str) -> str:
    return f'<p class="note">{_text(text)}</p>' if text else ""


def _text(text: str) -> str:
    """Text for HTML, in which a percent sign stays with its number."""
    return _html(text).replace(" %", "&nbsp;%")


def inline(text: str) -> str:
    """Text from anywhere for a line of Markdown: it neither ends a cell nor begins a tag or a link."""
    plain = printable(" ".join(text.split())).replace("\\", "\\\\")
    plain = plain.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|")
    return plain.replace("](", "]\\(").replace("]:", "]\\:")
