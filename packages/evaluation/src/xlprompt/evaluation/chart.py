"""A transfer report as one bar chart, readable on a phone.

One row per language, most pre-training tokens on top, colored by resource level. It draws on a figure of its
own and leaves matplotlib's global state alone.
"""

from __future__ import annotations

from pathlib import Path

from matplotlib import rc_context
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from xlprompt.data.languages import language
from xlprompt.evaluation.report import TransferReport

# Okabe and Ito's palette, whose colors differ for every common kind of color blindness (Color Universal
# Design, 2008). From blue (much data) to red (little); the levels also stand in order, so color is never
# alone.
_LEVEL_COLORS = {
    "high": "#0072B2",
    "medium": "#56B4E9",
    "low": "#E69F00",
    "extremely low": "#D55E00",
    "unseen": "#999999",
}
_METRIC_TITLES = {"accuracy": "accuracy", "f1": "entity F1"}


def bar_chart(report: TransferReport, path: str | Path) -> Path:
    """Draw the main metric by language and save it.

    Bars carry one standard error. The dashed line is the majority baseline of each language (for accuracy
    only: an F1 over entities has no such baseline but 0), the solid line the zero-shot mean. The training
    language is hatched, a collapsed language marked "!".

    Args:
        report: The scores of one model.
        path: The image; its ending decides the format, `.png` and `.svg` among others. Folders are made.

    Returns:
        The path.

    Raises:
        DataError: A language code is not in the language table.
        ValueError: Matplotlib cannot write that ending.
    """
    path = Path(path)
    results = report.by_resources()
    rows = [language(result.language) for result in results]
    scores = [result.scores[report.metric] for result in results]
    positions = range(len(results))

    figure = Figure(figsize=(6.4, 2.3 + 0.33 * len(results)), dpi=160, layout="constrained")
    axes = figure.add_subplot()
    bars = axes.barh(
        positions,
        [score.value for score in scores],
        height=0.72,
        color=[_LEVEL_COLORS[row.resource_level] for row in rows],
        xerr=[score.stderr or 0.0 for score in scores],
        error_kw={"ecolor": "black", "elinewidth": 1.2, "capsize": 2.5},
    )
    for position, (bar, result, score) in enumerate(zip(bars, results, scores, strict=True)):
        if result.language in report.trained_languages:
            bar.set(hatch="///", edgecolor="white", linewidth=0)
        # The numbers stand in a column beside the axes, where no line crosses them.
        axes.text(
            1.12,
            position,
            f"{score.value:.1f}" if score.is_defined else "n/a",
            transform=axes.get_yaxis_transform(),
            ha="right",
            va="center",
            fontsize=11,
            fontweight="bold" if result.collapsed else "normal",
        )
        if result.collapsed:
            axes.text(
                1.135, position, "!", transform=axes.get_yaxis_transform(), va="center", fontweight="bold"
            )
    legend: list[Artist] = [
        Patch(facecolor=color, label=f"{level} resources" if level != "unseen" else "unseen in pre-training")
        for level, color in _LEVEL_COLORS.items()
        if any(row.resource_level == level for row in rows)
    ]
    if report.train_language in report.results:
        color = _LEVEL_COLORS[language(report.train_language).resource_level]
        legend.append(Patch(facecolor=color, edgecolor="white", hatch="///", label="trained on"))
    zero_shot = report.mean_zero_shot()
    if zero_shot is not None:
        axes.axvline(zero_shot.value, color="black", linewidth=1.4, zorder=0.5)
        legend.append(
            Line2D([], [], color="black", linewidth=1.4, label=f"zero-shot mean {zero_shot.value:.1f}")
        )
    if report.metric == "accuracy":
        axes.vlines(
            [result.majority for result in results],
            [position - 0.5 for position in positions],
            [position + 0.5 for position in positions],
            colors="black",
            linestyles=(0, (3, 2)),
            linewidth=1.4,
        )
        legend.append(
            Line2D([], [], color="black", linestyle=(0, (3, 2)), linewidth=1.4, label="majority baseline")
        )
    if report.collapsed_languages:
        legend.append(Line2D([], [], linestyle="none", marker="$!$", color="black", label="collapsed"))

    axes.set_yticks(positions, [f"{row.name}  {row.code}" for row in rows], fontsize=11)
    axes.set_ylim(len(results) - 0.4, -0.6)  # the first language on top
    axes.set_xlim(0, 100)
    axes.set_xticks(range(0, 101, 20))
    axes.tick_params(axis="x", labelsize=11)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(
        f"{_METRIC_TITLES.get(report.metric, report.metric)} (%), ± 1 standard error", fontsize=11
    )
    axes.set_title(f"{report.task}, {report.split}, trained on {report.trained_on}", fontsize=13)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.xaxis.grid(True, color="#DDDDDD", linewidth=0.8)
    axes.set_axisbelow(True)
    figure.legend(handles=legend, loc="outside lower center", ncols=2, fontsize=10, frameon=False)

    path.parent.mkdir(parents=True, exist_ok=True)
    # A date, or ids drawn at random, would make two SVG files of one chart differ.
    with rc_context({"svg.hashsalt": "xlprompt"}):
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    return path
