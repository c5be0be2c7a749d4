"""Languages as points with their codes beside them, as SVG text in the size of the report's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from xlprompt.data.languages import language
from xlprompt.evaluation.style import COLORS, WIDTH, letters, plain, svg_text

# Where a code may stand, in points to the right of and above its point, best first; then farther out.
_PLACES = ((3, -3), (-12, -3), (-4, 4), (-4, -11), (3, 3), (-12, 3), (3, -9), (-12, -9))
_LETTERS = (10.0, 8.0)  # width and height of a code, in points
_LOW = ("low", "extremely low")


def language_scatter(
    points: Mapping[str, tuple[float, float]],
    labels: tuple[str, str],
    *,
    log: tuple[bool, bool] = (False, False),
    zero: bool = False,
) -> str:
    """Draw languages by two values.

    Languages of low and extremely low resources are hollow, and of another color.

    Args:
        points: By language, what it has on the horizontal and on the vertical axis.
        labels: Of the axes.
        log: Which axes are logarithmic.
        zero: Whether a line is drawn at 0 on the vertical axis.
    """
    with letters():
        figure = Figure(figsize=(WIDTH, 2.6), layout="constrained")
        axes = figure.add_subplot()
        for code, (x, y) in points.items():
            low = language(code).resource_level in _LOW
            color = COLORS[1] if low else COLORS[0]
            axes.plot(x, y, "o", markersize=3, color=color, markerfacecolor="white" if low else color)
        for is_log, name in zip(log, "xy", strict=True):
            if is_log:
                axes.set(**{f"{name}scale": "log"})
                if name == "x" and max(x for x, _ in points.values()) < 100:
                    axes.xaxis.set_major_formatter("{x:g}")
                    axes.xaxis.set_minor_formatter("{x:g}")
        if zero:
            axes.axhline(0, color="#999999", linewidth=0.6, zorder=0)
        axes.margins(0.08)
        axes.set_xlabel(labels[0])
        axes.set_ylabel(labels[1])
        plain(axes)
        figure.draw_without_rendering()  # so that the axes have their final size
        _write_codes(figure, axes, points)
        return svg_text(figure)


def _write_codes(figure: Figure, axes: Axes, points: Mapping[str, tuple[float, float]]) -> None:
    """Write each code where it covers neither a point nor another code, as far as there is such a place."""
    pixels = np.array([axes.transData.transform(point) for point in points.values()])
    spots = pixels * 72 / figure.dpi  # in points
    taken: list[np.ndarray] = []
    for number, (code, point) in enumerate(points.items()):
        others = np.delete(spots, number, axis=0)
        candidates = [np.array(place) * factor for factor in (1.0, 2.0, 3.0) for place in _PLACES]
        best = min(candidates, key=lambda place: _covered(spots[number] + place, others, taken))
        taken.append(spots[number] + best)
        low = language(code).resource_level in _LOW
        far = np.abs(best).max() > 12
        axes.annotate(
            code,
            point,
            tuple(best),
            textcoords="offset points",
            color=COLORS[1] if low else COLORS[0],
            fontsize="small",
            arrowprops={"arrowstyle": "-", "color": "#bbbbbb", "linewidth": 0.5, "shrinkA": 0}
            if far
            else None,
        )


def _covered(corner: np.ndarray, spots: np.ndarray, taken: Sequence[np.ndarray]) -> int:
    """How many points and codes a code with this lower left corner would cover."""
    size = np.array(_LETTERS)
    inside = ((spots >= corner - 1) & (spots <= corner + size + 1)).all(axis=1).sum() if len(spots) else 0
    return int(inside) + sum(bool((np.abs(other - corner) < size).all()) for other in taken)
