"""A transfer report as one bar chart, readable on a phone.

One row per language, most pre-training tokens on top, colored by resource level. It draws on a figure of its
own and leaves matplotlib's global state alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from xlprompt.data.languages import language
from xlprompt.evaluation.scores.metrics import metric_title
from xlprompt.evaluation.scores.transfer_scores import LanguageResult, TransferReport
from xlprompt.evaluation.style import COLORS, plain, save

# From blue (much data) to red (little); the levels also stand in order, so color is never alone.
_LEVEL_COLORS = {
    "high": COLORS[0],
    "medium": COLORS[5],
    "low": COLORS[4],
    "extremely low": COLORS[1],
    "unseen": "#999999",
    "unknown": "#cccccc",
}
_DASHED = (0, (3, 2))


def bar_chart(report: TransferReport, path: str | Path) -> Path:
    """Draw the main metric by language and save it.

    Bars carry one standard error. The dashed line is the majority or trivial baseline of each language (an F1
    over entities has no such baseline but 0), the solid line the zero-shot mean. The training language is
    hatched, a collapsed language marked "!".

    Args:
        report: The scores of one model.
        path: The image; its ending decides the format, `.png` and `.svg` among others. Folders are made.

    Returns:
        The path.

    Raises:
        DataError: A language code is not in the language table.
        ValueError: Matplotlib cannot write that ending.
    """
    results = report.by_resources()
    figure = Figure(figsize=(6.4, 2.3 + 0.33 * len(results)), dpi=160, layout="constrained")
    axes = figure.add_subplot()
    _draw_scores(axes, report, results)
    legend = [*_levels(report, results), *_draw_lines(axes, report, results)]
    if report.collapsed_languages:
        legend.append(Line2D([], [], linestyle="none", marker="$!$", color="black", label="collapsed"))
    _label(axes, report, results)
    figure.legend(handles=legend, loc="outside lower center", ncols=2, fontsize=10, frameon=False)

    return save(figure, Path(path))


def _draw_scores(axes: Axes, report: TransferReport, results: Sequence[LanguageResult]) -> None:
    """Bars, and the numbers in a column beside the axes, where no line crosses them."""
    scores = [result.scores[report.metric] for result in results]
    bars = axes.barh(
        range(len(results)),
        [score.value for score in scores],
        height=0.72,
        color=[_level_color(result.language) for result in results],
        xerr=[score.stderr or 0.0 for score in scores],
        error_kw={"ecolor": "black", "elinewidth": 1.2, "capsize": 2.5},
    )
    beside: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "va": "center"}
    for position, (bar, result, score) in enumerate(zip(bars, results, scores, strict=True)):
        if result.language in report.trained_languages:
            bar.set(hatch="///", edgecolor="white", linewidth=0)
        weight = "bold" if result.collapsed else "normal"
        shown = f"{score.value:.1f}" if score.is_defined else "n/a"
        axes.text(1.12, position, shown, ha="right", fontsize=11, fontweight=weight, **beside)
        if result.collapsed:
            axes.text(1.135, position, "!", fontweight="bold", **beside)


def _levels(report: TransferReport, results: Sequence[LanguageResult]) -> Iterator[Artist]:
    """What the colors and the hatching stand for."""
    shown = {language(result.language).resource_level for result in results}
    for level, color in _LEVEL_COLORS.items():
        if level in shown:
            label = "unseen in pre-training" if level == "unseen" else f"{level} resources"
            yield Patch(facecolor=color, label=label)
    if report.train_language in report.results:
        color = _level_color(report.train_language)
        yield Patch(facecolor=color, edgecolor="white", hatch="///", label="trained on")


def _draw_lines(axes: Axes, report: TransferReport, results: Sequence[LanguageResult]) -> Iterator[Artist]:
    """The zero-shot mean, and what needs no model."""
    zero_shot = report.mean_zero_shot()
    if zero_shot is not None:
        axes.axvline(zero_shot.value, color="black", linewidth=1.4, zorder=0.5)
        yield Line2D([], [], color="black", linewidth=1.4, label=f"zero-shot mean {zero_shot.value:.1f}")
    floors = [_floor(report, result) for result in results]
    if any(floor is not None for floor in floors):
        axes.vlines(
            [math.nan if floor is None else floor for floor in floors],
            [position - 0.5 for position in range(len(results))],
            [position + 0.5 for position in range(len(results))],
            colors="black",
            linestyles=_DASHED,
            linewidth=1.4,
        )
        name = "majority" if report.metric == "accuracy" else "trivial"
        yield Line2D([], [], color="black", linestyle=_DASHED, linewidth=1.4, label=f"{name} baseline")


def _floor(report: TransferReport, result: LanguageResult) -> float | None:
    """The main metric of what needs no model, where there is such a baseline."""
    return result.majority if report.metric == "accuracy" else result.trivial_baseline


def _label(axes: Axes, report: TransferReport, results: Sequence[LanguageResult]) -> None:
    names = [f"{language(result.language).name}  {result.language}" for result in results]
    axes.set_yticks(range(len(results)), names, fontsize=11)
    axes.set_ylim(len(results) - 0.4, -0.6)  # the first language on top
    axes.set_xlim(0, 100)
    axes.set_xticks(range(0, 101, 20))
    axes.tick_params(axis="x", labelsize=11)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(f"{metric_title(report.task, report.metric)} (%), ± 1 standard error", fontsize=11)
    axes.set_title(f"{report.task}, {report.split}, trained on {report.trained_on}", fontsize=13)
    axes.spines["left"].set_visible(False)
    plain(axes, "x", linewidth=0.8)


def _level_color(code: str) -> str:
    return _LEVEL_COLORS[language(code).resource_level]
