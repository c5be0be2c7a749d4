"""Matplotlib's SVG, said shortly: the same marks in the same places, and text instead of outlines."""

import re
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest
from matplotlib.figure import Figure

from xlprompt.evaluation.compact_svg import compact, data_uri
from xlprompt.evaluation.style import letters, svg_text

NAME = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def drawn():
    with letters():
        figure = Figure(figsize=(3.75, 2.5), layout="constrained")
        axes = figure.add_subplot()
        axes.plot([1, 2, 3], [10, 1000, 10], marker="o")
        axes.imshow([[0.0, 1.0]], extent=(1, 3, 10, 100), aspect="auto")
        axes.set_yscale("log")
        axes.set_xlabel("a < b & c -- %")
        axes.set_ylabel("turned")
        return svg_text(figure)


def test_it_is_a_fraction_of_the_size_and_still_svg(drawn):
    short = compact(drawn)
    assert len(short) < 0.7 * len(drawn)
    tree = ElementTree.fromstring(short)
    assert tree.get("viewBox") == ElementTree.fromstring(drawn).get("viewBox")
    assert len(tree.findall(f".//{NAME}image")) == 1


def test_letters_become_text_and_formulas_stay_drawn(drawn):
    tree = ElementTree.fromstring(compact(drawn))
    texts = {each.text: each for each in tree.iter(f"{NAME}text")}
    assert "a < b & c - - %" in texts
    assert texts["turned"].get("transform").endswith("rotate(-90)")
    assert float(texts["turned"].get("textLength")) == pytest.approx(26, abs=3)  # pixels at eight a letter
    assert tree.findall(f".//{NAME}use")  # powers of ten, and markers
    references = {use.get("href") for use in tree.iter(f"{NAME}use")}
    assert references <= {f"#{each.get('id')}" for each in tree.iter() if each.get("id")}


def test_marks_stay_where_they_were(drawn):
    def ends(svg):
        return [
            [float(number) for number in re.findall(r"-?[\d.]+", path)]
            for path in re.findall(r'<path d="([^"]*)" clip-path', " ".join(svg.split()))
        ]

    for one, other in zip(ends(drawn), ends(compact(drawn)), strict=True):
        assert one == pytest.approx(other, abs=0.051)


def test_an_address_leaves_no_attribute_and_holds_the_picture(drawn):
    address = data_uri(drawn)
    assert not set('"&') & set(address)
    assert ElementTree.fromstring(unquote(address).partition(",")[2]).tag == f"{NAME}svg"


def test_other_text_comes_through():
    assert compact('<svg><text x="1">a</text></svg>') == '<svg><text x="1">a</text></svg>'
    assert set('"<>') & set(data_uri('"><script>')) <= set("<>")
