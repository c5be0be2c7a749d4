"""Names and errors from outside in pages, Markdown, figures and on terminals: text, and nothing else."""

import io
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import pytest

from xlprompt.evaluation.comparison.statistics import Spread
from xlprompt.evaluation.terminal import open_console
from xlprompt.studies.reports.figures import scores_by_variant
from xlprompt.studies.reports.page import Image, Section, Table, html_page, markdown_page

OUTSIDE = [
    "<script>alert(1)</script>",
    "</title><img src=x onerror=alert(1)>",
    "a\" onmouseover='x'",
    "a|b\\|c",
    "[click](javascript:alert(1))",
    "two\nlines\r\x85three\u2028four",
    "\x1b[2J\x00\x9b",
    "half \udcff \ud83d",
    "[/red] [bold]b[/bold] :smile:",
    "$x_{$ 100 % $\\frac{$",
    "a%20b?c#d é ज",
]


class Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}


def sections(text: str) -> list[Section]:
    cards = Table(text, ("claim", "verdict", text), ((text, text, text),), text, cards=True)
    plain = Table(text, (text, "b"), ((text, "1"),), text)
    return [Section(text, (plain, cards, Image(text, "<svg/>")), text)]


def elements(text: str) -> Elements:
    found = Elements()
    found.feed(html_page(text, sections(text), [text]).encode().decode())
    return found


@pytest.mark.parametrize("text", OUTSIDE, ids=ascii)
def test_a_page_has_no_element_from_a_text(text):
    found, expected = elements(text), elements("plain")
    assert (found.tags, found.attributes) == (expected.tags, expected.attributes)


@pytest.mark.parametrize("text", OUTSIDE, ids=ascii)
def test_markdown_has_the_lines_and_cells_that_a_plain_text_gives(text):
    page = markdown_page(text, sections(text), [text])
    page.encode()
    expected = markdown_page("plain", sections("plain"), ["plain"])
    assert page.count("\n") == expected.count("\n")
    for line, plain in zip(page.split("\n"), expected.split("\n"), strict=True):
        assert line[:2] == plain[:2] or not plain.startswith(("#", "|"))
        bare = line.replace("\\\\", "").replace("\\|", "")
        assert bare.count("|") == (plain.count("|") if plain.startswith("|") else 0)
    assert "<" not in page
    assert "](" not in page
    assert not any(ord(letter) < 32 and letter != "\n" for letter in page)


@pytest.mark.parametrize("text", OUTSIDE, ids=ascii)
def test_a_figure_is_drawn_with_any_name_and_is_whole_xml(text):
    score = Spread(50.0, 1.0, 48.0, 52.0, 3)
    svg = scores_by_variant([(text, score, score), ("²", score, score)], trained="English", label="accuracy")
    ET.fromstring(svg.encode())


@pytest.mark.parametrize("text", OUTSIDE, ids=ascii)
def test_a_terminal_shows_a_text_as_it_is(text):
    stream = io.StringIO()
    console = open_console(file=stream, width=200)
    console.print(text, soft_wrap=True)
    shown = stream.getvalue()
    shown.encode()
    assert "\x1b" not in shown
    assert "\x9b" not in shown
    for part in ("[/red] [bold]b[/bold] :smile:", "<script>", "$x_{$"):
        assert (part in shown) == (part in text)
