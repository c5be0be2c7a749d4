"""Languages as points with their codes beside them, as SVG text in the size of the report's."""

from __future__ import annotations

from collections.abc import Mapping

from adjustText import adjust_text
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from xlprompt.data.languages import language
from xlprompt.evaluation.style import COLORS, WIDTH, letters, plain, svg_text

_ITERATIONS = 200  # of placing the codes; more of them move nothing that is seen
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
        _write_codes(axes, points)
        return svg_text(figure)


def _write_codes(axes: Axes, points: Mapping[str, tuple[float, float]]) -> None:
    """Write each code beside its point, where it covers neither a point nor another code if there is room."""
    codes = [
        axes.text(*point, code, color=COLORS[language(code).resource_level in _LOW], fontsize="small")
        for code, point in points.items()
    ]
    x, y = zip(*points.values(), strict=True)
    adjust_text(
        codes,
        x,
        y,
        ax=axes,
        expand=(1.4, 1.5),
        iter_lim=_ITERATIONS,  # without it half a second, so that the machine's load would show
        arrowprops={"arrowstyle": "-", "color": "#bbbbbb", "linewidth": 0.5},
    )
