"""The figure that a report opens with: zero-shot means by method and task, once wide and once for a phone."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from xlprompt.evaluation.comparison.other_methods import MethodResult
from xlprompt.evaluation.style import COLORS, LETTERS, WIDTH, letters, line_style, literal, plain, svg_text
from xlprompt.studies.reports.wording import error_bars

_WIDE = 11.6  # inches, of which a browser shows 96 pixels each
_ACROSS = 4  # panels beside each other on a phone


def methods_figure(results: Sequence[MethodResult], *, wide: bool) -> str | None:
    """A panel for each task with a row for each method, as SVG; None where there are no zero-shot means.

    Args:
        results: From method_results.
        wide: Whether all panels stand in one row, with their figures.
    """
    known = [row for row in results if row.zero_shot is not None]
    if not known:
        return None
    tasks = list(dict.fromkeys(row.task for row in known))
    methods = list(dict.fromkeys(row.method for row in known))
    columns = len(tasks) if wide else min(_ACROSS, len(tasks))
    rows = -(-len(tasks) // columns)
    with letters():
        size = (
            (_WIDE, 0.7 + 0.22 * len(methods))
            if wide
            else (WIDTH, (0.43 + 0.155 * len(methods)) * rows + 0.2)
        )
        figure = Figure(figsize=size, layout="constrained")
        panels = figure.subplots(rows, columns, sharey=True, squeeze=False).flat
        for axes, task in zip(panels, tasks, strict=False):
            for row in known:
                if row.task != task or row.zero_shot is None:
                    continue
                number, place = methods.index(row.method), len(methods) - 1 - methods.index(row.method)
                style = line_style(number % len(COLORS)) | {"linestyle": "none"}
                axes.errorbar(
                    row.zero_shot.mean,
                    place,
                    xerr=row.zero_shot.deviation,
                    markersize=5,
                    elinewidth=1,
                    **style,
                )
                if wide:
                    text = f"{row.zero_shot.mean:.1f}"
                    axes.annotate(text, (1.01, place), xycoords=("axes fraction", "data"), va="center")
            axes.set_title(literal(task))
            axes.set_yticks(range(len(methods)), [literal(name) for name in reversed(methods)])
            axes.set_ylim(-0.6, len(methods) - 0.4)
            axes.margins(x=0.12)
            axes.xaxis.set_major_locator(MaxNLocator(4 if wide else 2, integer=True))
            axes.tick_params(axis="y", length=0)
            plain(axes, "x")
        for axes in list(figure.axes)[len(tasks) :]:
            axes.set_visible(False)
        figure.supxlabel(f"zero-shot mean (%){error_bars(row.zero_shot for row in known)}", fontsize=LETTERS)
        return svg_text(figure)


def described(results: Sequence[MethodResult]) -> str:
    """The figure in words, for who cannot see it."""
    by_task: dict[str, list[str]] = {}
    for row in results:
        if row.zero_shot is not None:
            by_task.setdefault(row.task, []).append(f"{row.method} {row.zero_shot.text()}")
    tasks = "; ".join(f"{task}: {', '.join(scores)}" for task, scores in by_task.items())
    return f"Zero-shot mean in percent by task and method. {tasks}"
