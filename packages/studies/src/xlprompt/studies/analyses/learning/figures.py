"""The figure of learning by language, as SVG text in the size of the report's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from xlprompt.data.languages import language
from xlprompt.evaluation.comparison.statistics import Spread
from xlprompt.evaluation.style import COLORS, WIDTH, legend_above, letters, line_style, plain, svg_text
from xlprompt.studies.analyses.learning.findings import Learning


def learning_figure(learned: Sequence[Learning]) -> str:
    """Score by step: a panel for each method, of one task.

    Thin gray lines are single languages, means over seeds. The training language and the mean of the others
    have a band of one standard deviation over seeds to either side.

    Args:
        learned: Of one task, by method.
    """
    columns = min(2, len(learned))
    rows = -(-len(learned) // columns)
    with letters():
        figure = Figure(figsize=(WIDTH, 0.9 + 1.8 * rows), layout="constrained")
        panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        for axes, each in zip(panels.flat, learned, strict=False):
            for number, (code, scores) in enumerate(each.by_language.items()):
                if code not in each.trained:
                    label = "each other language" if number == len(each.by_language) - 1 else None
                    axes.plot(each.steps, scores, color="#bbbbbb", linewidth=0.6, label=label)
            name = language(each.trained[0]).name
            for style, (label, line) in enumerate(((name, each.english), ("zero-shot mean", each.zero_shot))):
                _line(axes, each.steps, line, style, label)
            axes.set_title(each.method)
            plain(axes, "y")
        for axes in list(panels.flat)[len(learned) :]:
            axes.set_visible(False)
        figure.supxlabel("step", fontsize="medium")
        figure.supylabel(f"{learned[0].metric} of the sample (%)", fontsize="medium")
        legend_above(figure, *panels.flat, columns=2)
        return svg_text(figure)


def _line(axes: Axes, steps: Sequence[int], line: Sequence[Spread], style: int, label: str) -> None:
    mean = np.array([each.mean for each in line])
    sd = np.array([each.deviation or 0.0 for each in line])
    axes.plot(steps, mean, **line_style(style), markersize=3.5, linewidth=1.2, label=label)
    axes.fill_between(steps, mean - sd, mean + sd, color=COLORS[style], alpha=0.15, linewidth=0)
