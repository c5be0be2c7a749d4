"""The figure of differences against size, as SVG text in the size of the report's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, NullLocator

from xlprompt.evaluation.style import WIDTH, legend_above, letters, line_style, plain, svg_text
from xlprompt.studies.analyses.size.findings import SizeFindings
from xlprompt.studies.analyses.size.scored import SizeDifference, doubling_weights


def size_figure(findings: SizeFindings) -> str:
    """Difference from the baseline by parameters: a panel for each task, a line for each method.

    Bars are 95 % intervals over seeds and test examples. A size that counts in no slope has a pale marker.
    """
    sizes = list(findings.models.values())
    counts, unit = in_units(sizes)
    tasks = list(dict.fromkeys(row.task for row in findings.differences))
    columns = min(2, len(tasks))
    rows = -(-len(tasks) // columns)
    with letters():
        figure = Figure(figsize=(WIDTH, 0.9 + 1.45 * rows), layout="constrained")
        panels = figure.subplots(rows, columns, sharex=True, squeeze=False)
        for axes, task in zip(panels.flat, tasks, strict=False):
            axes.axhline(0, color="#999999", linewidth=0.8, zorder=0)
            for number, method in enumerate(findings.methods):
                of_method = [row for row in findings.differences if (row.task, row.method) == (task, method)]
                _line(axes, of_method, number, f"{method} minus {findings.baseline}")
            axes.set_xscale("log", base=2)
            axes.set_xticks(sizes, counts)
            axes.xaxis.set_minor_locator(NullLocator())
            axes.xaxis.set_minor_formatter(NullFormatter())
            axes.set_title(task)
            axes.tick_params(labelbottom=task in tasks[-columns:])
            plain(axes, "y")
        for axes in list(panels.flat)[len(tasks) :]:
            axes.set_visible(False)
        figure.supxlabel(f"{unit}parameters", fontsize="medium")
        figure.supylabel("points of the zero-shot mean", fontsize="medium")
        legend_above(figure, *panels.flat, columns=2)
        return svg_text(figure)


def in_units(sizes: Sequence[int]) -> tuple[list[str], str]:
    """Parameters in two digits, and what they are of: 534,528 and 3,907,584 are 0.53 and 3.9 `million `."""
    units = ((10**9, "billion "), (10**6, "million "), (1, ""))
    unit, name = next((unit, name) for unit, name in units if max(sizes) >= unit)
    return [f"{size / unit:.2g}" if unit > 1 else f"{size:,}" for size in sizes], name


def _line(axes: Axes, rows: Sequence[SizeDifference], number: int, label: str) -> None:
    style = line_style(number)
    shift = 1 + 0.05 * (2 * number - 1)  # so that intervals of two methods lie beside each other
    for row in rows:
        where, low, high = row.parameters * shift, row.difference.low, row.difference.high
        alpha = 1.0 if row.usable else 0.3
        if low is not None and high is not None:
            axes.plot([where, where], [low, high], color=style["color"], linewidth=0.9, alpha=alpha)
        axes.plot(where, row.difference.value, **{**style, "linestyle": ""}, markersize=4, alpha=alpha)
    usable = [row for row in rows if row.usable]
    sizes = [row.parameters for row in usable]
    if len(set(sizes)) > 1:
        values = np.array([row.difference.value for row in usable])
        slope = float(doubling_weights(sizes) @ values)
        doublings = np.log2(sizes)
        line = values.mean() + slope * (doublings - doublings.mean())
        axes.plot(np.array(sizes) * shift, line, **{**style, "marker": ""}, linewidth=1.1)
    axes.plot([], [], **style, markersize=4, linewidth=1.1, label=label)
