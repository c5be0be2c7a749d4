"""The figures of a study's report, as SVG text: differences as a heat map, against tokens, and cost.

Every figure draws on a figure of its own and leaves matplotlib's global state alone. Color is never alone:
the heat map prints its numbers, points carry language codes, and methods differ by marker too.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from xlprompt.data.languages import in_study_order, language
from xlprompt.evaluation.comparison import Comparison

# Okabe and Ito's palette (Color Universal Design, 2008), as in chart.py.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
_MARKERS = ("o", "s", "^", "D")


def heat_map(comparison: Comparison) -> str:
    """Difference by language and task; a star where it is significant after Holm."""
    tasks = list(comparison.tasks)
    codes = in_study_order({row.language for row in comparison.differences})
    rows = {(row.task, row.language): row for row in comparison.differences}
    values = np.full((len(codes), len(tasks)), np.nan)
    for (name, code), row in rows.items():
        values[codes.index(code), tasks.index(name)] = row.estimate.value
    bound = max(1.0, float(np.nanmax(np.abs(values))))
    figure = Figure(figsize=(2.4 + 0.9 * len(tasks), 1.2 + 0.3 * len(codes)), layout="constrained")
    axes = figure.add_subplot()
    # Orange to purple over white is told apart with every common kind of color blindness.
    image = axes.imshow(values, cmap="PuOr_r", vmin=-bound, vmax=bound, aspect="auto")
    for (name, code), row in rows.items():
        star = "" if row.outcome == "tie" else "*"
        axes.text(
            tasks.index(name),
            codes.index(code),
            f"{row.estimate.value:+.1f}{star}",
            ha="center",
            va="center",
            fontsize=9,
            color="white" if abs(row.estimate.value) > 0.6 * bound else "black",
        )
    axes.set_xticks(range(len(tasks)), tasks)
    axes.set_yticks(range(len(codes)), [f"{language(code).name}  {code}" for code in codes])
    axes.xaxis.tick_top()
    figure.colorbar(image, ax=axes, label=f"{comparison.method} minus {comparison.baseline}, points")
    return _svg(figure)


def against_tokens(comparison: Comparison, task: str) -> str:
    """Mean scores of both methods against pre-training tokens, on a logarithmic axis."""
    figure = Figure(figsize=(6.0, 3.6), layout="constrained")
    axes = figure.add_subplot()
    rows = [row for row in comparison.scores if row.task == task and language(row.language).tokens]
    for place, method in enumerate((comparison.method, comparison.baseline)):
        of_method = [row for row in rows if row.method == method]
        axes.errorbar(
            [language(row.language).tokens for row in of_method],
            [row.spread.mean for row in of_method],
            yerr=[row.spread.deviation or 0.0 for row in of_method],
            linestyle="none",
            marker=_MARKERS[place],
            markerfacecolor=COLORS[place] if place == 0 else "white",
            color=COLORS[place],
            label=method,
            capsize=2,
        )
    for code in dict.fromkeys(row.language for row in rows):
        top = max(row.spread.mean + (row.spread.deviation or 0) for row in rows if row.language == code)
        axes.annotate(
            code, (language(code).tokens, top), (0, 4), textcoords="offset points", ha="center", fontsize=8
        )
    axes.set_xscale("log")
    axes.set_xlabel("sub-tokens in pre-training (logarithmic)")
    axes.set_ylabel(f"{comparison.tasks[task].metric} (%), ± sd")
    axes.set_title(task)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return _svg(figure)


def cost_against_score(points: Sequence[tuple[str, str, float, float]]) -> str:
    """Zero-shot score against training time.

    Args:
        points: Task, method, mean seconds of a run, mean score over zero-shot languages in percent.
    """
    figure = Figure(figsize=(6.0, 3.4), layout="constrained")
    axes = figure.add_subplot()
    for place, method in enumerate(dict.fromkeys(point[1] for point in points)):
        of_method = [point for point in points if point[1] == method]
        axes.plot(
            [point[2] for point in of_method],
            [point[3] for point in of_method],
            linestyle="none",
            marker=_MARKERS[place % len(_MARKERS)],
            color=COLORS[place % len(COLORS)],
            label=method,
        )
    for task, _, seconds, score in points:
        axes.annotate(task, (seconds, score), (5, 4), textcoords="offset points", fontsize=8)
    axes.set_xlabel("seconds of a run")
    axes.set_ylabel("zero-shot mean (%)")
    axes.margins(0.15)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return _svg(figure)


def _svg(figure: Figure) -> str:
    text = StringIO()
    # A date, or ids drawn at random, would make two reports of one study differ.
    with rc_context({"svg.hashsalt": "xlprompt"}):
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()
