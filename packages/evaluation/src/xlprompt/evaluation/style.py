"""The one style of all figures: colours, markers, sizes, and SVG text from a figure."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from io import StringIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from xlprompt.data.printable import printable

# Okabe and Ito's palette, whose colors differ for every common kind of color blindness (Color Universal
# Design, 2008), and a gray; as many as there are methods.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#888888")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
LINES = ("-", "--", ":", "-.", (0, (6, 1)), (0, (3, 1, 1, 1, 1, 1)), (0, (1, 3)), (0, (8, 2, 2, 2)))

WIDTH = 3.75  # inches; browsers show one as 96 CSS pixels
LETTERS, SMALL = 8.0, 7.0  # points; one is 4/3 CSS pixels


def line_style(number: int) -> dict[str, Any]:
    """How the line of this number looks, so that neither color nor line nor marker alone tells it apart."""
    return {
        "color": COLORS[number],
        "linestyle": LINES[number],
        "marker": MARKERS[number],
        "markerfacecolor": "white" if number == 1 else COLORS[number],
    }


def is_dark(color: Any) -> bool:
    """Whether white letters stand out from a color more than black ones (WCAG 2.2's relative luminance)."""
    channels = np.array(color[:3])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return bool(linear @ [0.2126, 0.7152, 0.0722] < 0.179)


def letters() -> AbstractContextManager[None]:
    """Settings under which a figure of this width is drawn."""
    return rc_context({"font.size": LETTERS, "legend.fontsize": LETTERS, "axes.titlesize": LETTERS})


def literal(text: str) -> str:
    """Text from anywhere for a figure: a dollar sign in it begins no formula."""
    return printable(text).replace("$", r"\$")


@contextmanager
def any_letter() -> Iterator[None]:
    """Within it, letters that the font lacks are drawn as boxes without a warning for each."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        yield


def plain(axes: Axes, grid: Literal["x", "y", "both"] = "both", *, linewidth: float = 0.6) -> None:
    """Light lines behind what is drawn, and no frame at the top and on the right."""
    axes.grid(axis=grid, color="#dddddd", linewidth=linewidth)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def legend_above(figure: Figure, *axes: Axes, columns: int) -> None:
    """Above the axes what their lines stand for, each once."""
    found = (each.get_legend_handles_labels() for each in axes)
    named = {name: handle for handles, names in found for handle, name in zip(handles, names, strict=True)}
    figure.legend(list(named.values()), list(named), loc="outside upper center", ncols=columns, frameon=False)


def save(figure: Figure, path: Path) -> Path:
    """Write the figure; the path's ending decides the format. The same figure gives the same SVG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _save(figure, path, path.suffix.removeprefix("."))
    return path


def svg_text(figure: Figure) -> str:
    """The figure as SVG, the same text for the same figure."""
    text = StringIO()
    _save(figure, text, "svg")
    return text.getvalue()


def _save(figure: Figure, target: Path | StringIO, kind: str) -> None:
    # A date, or ids drawn at random, would make two reports of one study differ.
    with rc_context({"svg.hashsalt": "xlprompt"}), any_letter():
        figure.savefig(target, format=kind, metadata={"Date": None} if kind == "svg" else None)
