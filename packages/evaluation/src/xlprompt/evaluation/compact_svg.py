"""Matplotlib's SVG in a fifth of the letters, since a page holds dozens of figures in less than a megabyte.

Matplotlib draws each letter as an outline and leaves the text in a comment. Here it becomes text again, as
wide as it was drawn, in whatever font there is. Lines stay where they are to a tenth of a pixel. What is no
SVG of matplotlib's comes through unharmed.
"""

from __future__ import annotations

import re

_NUMBER = re.compile(r"-?\d+\.\d{2,}")
_LETTERS = re.compile(
    r"<!-- (?P<text>[^$]*?) -->\s*"  # formulas, between dollar signs, stay drawn
    r'<g(?P<style> style="[^"]*")? transform="(?P<place>translate\([^)]*\)(?: rotate\([^)]*\))?) '
    r'scale\((?P<size>[0-9.]+) -[0-9.]+\)">(?P<drawn>(?:(?!<g\b|</g>).)*)</g>',
    re.S,
)
_FORMULA = re.compile(r"<!-- [^>]*\$")
_OUTLINES = re.compile(r"<defs>.*?</defs>", re.S)
_OFFSET = re.compile(r'<use [^>]*?(?:transform="translate\((?P<x>-?[0-9.]+) 0\)")?/>')
_NARROW, _USUAL = 30, 62  # hundredths of a letter's size that the last letter takes
_EMBEDDED = re.compile(r"(data:image/png;base64,)([A-Za-z0-9+/=\s]+)")
_FONT = "text{font-family:'DejaVu Sans',Verdana,Arial,sans-serif}"
_DROPPED = (
    re.compile(r"^.*?(?=<svg)", re.S),  # the prolog, which an image needs not
    re.compile(r"<metadata>.*?</metadata>", re.S),
    re.compile(r"<!--.*?-->", re.S),
    re.compile(r'(?<=<g) id="[A-Za-z0-9._]+"'),  # names of groups, to which nothing refers
)


def compact(svg: str) -> str:
    """The same picture, shorter."""
    embedded: list[str] = []

    def put_aside(found: re.Match[str]) -> str:
        embedded.append("".join(found[2].split()))
        return f"{found[1]}~{len(embedded) - 1}~"

    text = _EMBEDDED.sub(put_aside, svg)
    formulas = _FORMULA.search(text) is not None
    text = _LETTERS.sub(lambda letters: _as_text(letters, keep_outlines=formulas), text)
    for dropped in _DROPPED:
        text = dropped.sub("", text)
    text = " ".join(text.split()).replace("> <", "><")
    text = _NUMBER.sub(_shorter, text)
    text = re.sub(r" ?([MLQCz]) (?=[-0-9MLQCz\"])", r"\1", text)
    text = re.sub(r'(?<=[0-9z]) ?z? "(?=[ />])', lambda found: found[0].replace(" ", ""), text)
    text = re.sub(r'style="[^"]*"', lambda found: re.sub(r"([:;]) ", r"\1", found[0]), text)
    text = re.sub(r'(<use xlink:href="#[^"]*") transform="translate\((-?[0-9.]+) 0\)"', r'\1 x="\2"', text)
    text = text.replace("xlink:href", "href").replace(' xmlns:xlink="http://www.w3.org/1999/xlink"', "")
    text = text.replace('<style type="text/css">', f"<style>{_FONT}", 1)
    for number, data in enumerate(embedded):
        text = text.replace(f"~{number}~", data)
    return text.strip()


def data_uri(svg: str) -> str:
    """The picture as the address of an image; it holds neither double quotes nor ampersands."""
    text = compact(svg).replace("%", "%25").replace("#", "%23").replace("&", "%26").replace('"', "'")
    return f"data:image/svg+xml,{text}"


def _as_text(letters: re.Match[str], *, keep_outlines: bool) -> str:
    """A text instead of the outlines of its letters, which formulas may refer to, too."""
    offsets = [float(use["x"] or 0) for use in _OFFSET.finditer(letters["drawn"])]
    if not offsets or 'transform="translate' in _OFFSET.sub("", letters["drawn"]):
        return letters[0]
    size = float(letters["size"])
    last = _NARROW if letters["text"][-1:] in "ijl.,:;|!'()[]rtf" else _USUAL
    width = f'textLength="{size * (offsets[-1] + last):.1f}" lengthAdjust="spacingAndGlyphs"'
    place = f'transform="{letters["place"]}" font-size="{100 * size:g}"'
    outlines = "".join(_OUTLINES.findall(letters["drawn"])) if keep_outlines else ""
    return f"{outlines}<text{letters['style'] or ''} {place} {width}>{letters['text']}</text>"


def _shorter(number: re.Match[str]) -> str:
    value = float(number[0])
    return f"{value:.1f}".removesuffix(".0") if abs(value) >= 1 else f"{value:.3g}"
