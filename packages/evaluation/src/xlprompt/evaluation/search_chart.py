"""A hyper-parameter search as three charts: score by trial, score by value, and which value mattered.

They draw on figures of their own and leave matplotlib's global state alone.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from xlprompt.evaluation.study_figures import any_letter, literal

# Okabe and Ito's palette, whose colors differ for every common kind of color blindness. Marks differ too.
_ENDED, _CUT, _SHIPPED, _BEST = "#0072B2", "#999999", "#D55E00", "#009E73"


@dataclass(frozen=True)
class TrialPoint:
    """A trial with a score.

    Attributes:
        number: The trial's number.
        score: Its best score in percent.
        stderr: The score's standard error in points, or None.
        cut_short: Whether it ended before its time; the score is that until then.
        shipped: Whether its values are those that the search began with.
        values: What was tried.
    """

    number: int
    score: float
    stderr: float | None
    cut_short: bool
    shipped: bool
    values: Mapping[str, Any]


def history_chart(points: Sequence[TrialPoint], path: str | Path, *, title: str, metric: str) -> Path:
    """Draw the score of each trial, and the best so far.

    Args:
        points: By number.
        path: The image; its ending decides the format. Folders are made.
        title: What was searched.
        metric: What the score is called.
    """
    figure = Figure(figsize=(7.2, 4.4), dpi=160, layout="constrained")
    axes = figure.add_subplot()
    _draw_points(axes, points, [point.number for point in points])
    ended = [point for point in points if not point.cut_short]
    if ended:
        best, steps = float("-inf"), []
        for point in ended:
            best = max(best, point.score)
            steps.append(best)
        numbers = [point.number for point in ended]
        end = max(point.number for point in points) + 0.4
        axes.step(
            [*numbers, end], [*steps, steps[-1]], where="post", color=_BEST, label="best so far", zorder=1
        )
    axes.set_xlabel("trial")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return _finish(figure, axes, path, title, metric)


def slice_chart(
    points: Sequence[TrialPoint],
    path: str | Path,
    *,
    title: str,
    metric: str,
    log: Collection[str] = (),
) -> Path:
    """Draw the score by the value of each thing that was searched.

    Args:
        points: One or more.
        path: As in `history_chart`.
        title: What was searched.
        metric: What the score is called.
        log: Keys whose axis is logarithmic.
    """
    keys = list(points[0].values)
    figure = Figure(figsize=(1.2 + 3.4 * len(keys), 4.4), dpi=160, layout="constrained")
    panels = list(figure.subplots(1, len(keys), sharey=True, squeeze=False)[0])
    for axes, key in zip(panels, keys, strict=True):
        values = [point.values[key] for point in points]
        if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
            _draw_points(axes, points, values)
            if key in log:
                axes.set_xscale("log")
            elif len(set(values)) <= 4:
                axes.xaxis.set_major_locator(FixedLocator(sorted(set(values))))
                axes.xaxis.set_minor_locator(NullLocator())
                axes.margins(x=0.3)
        else:
            _draw_points(axes, points, [literal(str(value)) for value in values])
            axes.margins(x=0.3)
        axes.set_xlabel(literal(key))
    return _finish(figure, panels[0], path, title, metric)


def importance_chart(importances: Mapping[str, float], path: str | Path, *, title: str, trials: int) -> Path:
    """Draw which share of the differences between trials each value explains.

    Args:
        importances: Shares by key, 0 to 1.
        path: As in `history_chart`.
        title: What was searched.
        trials: How many the shares rest on.
    """
    ordered = sorted(importances.items(), key=lambda pair: pair[1])
    figure = Figure(figsize=(7.2, 1.6 + 0.5 * len(ordered)), dpi=160, layout="constrained")
    axes = figure.add_subplot()
    keys = [literal(key) for key, _ in ordered]
    bars = axes.barh(keys, [100 * share for _, share in ordered], color=_ENDED)
    axes.bar_label(bars, fmt="%.0f %%", padding=4)
    axes.set_xlim(0, 108)
    axes.set_xlabel(f"share of the score's variance over the space (fANOVA on {trials} trials), %")
    axes.set_title(literal(title), loc="left")
    _plain(axes)
    axes.grid(visible=False, axis="y")
    return _save(figure, path)


def _draw_points(axes: Axes, points: Sequence[TrialPoint], places: Sequence[Any]) -> None:
    kinds = (
        ("trained to its end", _ENDED, "o", [not point.cut_short and not point.shipped for point in points]),
        ("cut short, score until then", _CUT, "x", [point.cut_short for point in points]),
        ("the shipped recipe", _SHIPPED, "D", [point.shipped and not point.cut_short for point in points]),
    )
    # All places in order first, so that those of words stand in the order of the trials.
    axes.scatter(places, [point.score for point in points], alpha=0)
    for label, color, marker, chosen in kinds:
        mine = [(place, point) for place, point, yes in zip(places, points, chosen, strict=True) if yes]
        if not mine:
            continue
        axes.errorbar(
            [place for place, _ in mine],
            [point.score for _, point in mine],
            yerr=None if marker == "x" else [point.stderr or 0.0 for _, point in mine],
            fmt=marker,
            color=color,
            label=label,
            elinewidth=1,
            zorder=2,
        )


def _finish(figure: Figure, axes: Axes, path: str | Path, title: str, metric: str) -> Path:
    axes.set_ylabel(f"development {metric}, % ± standard error")
    figure.suptitle(literal(title), x=0.02, ha="left")
    for each in figure.axes:
        _plain(each)
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    return _save(figure, path)


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#DDDDDD", linewidth=0.8)
    axes.set_axisbelow(True)


def _save(figure: Figure, path: str | Path) -> Path:
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with any_letter():
        figure.savefig(path)
    return path
