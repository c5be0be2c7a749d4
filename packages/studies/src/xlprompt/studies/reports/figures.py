"""The figures of a study's report, as SVG text.

Every figure is drawn 360 CSS pixels wide, a phone's width, with letters of at least nine pixels there; wider
pages scale it up. It draws on a figure of its own and leaves matplotlib's global state alone. Color is never
alone: the heat map prints its numbers, and methods differ by marker and line too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter

from xlprompt.data.how_many import how_many
from xlprompt.data.languages import in_study_order, language, resource_order
from xlprompt.evaluation.comparison.compared import Comparison
from xlprompt.evaluation.comparison.statistics import Spread
from xlprompt.evaluation.style import (
    COLORS,
    LETTERS,
    LINES,
    MARKERS,
    SMALL,
    WIDTH,
    is_dark,
    legend_above,
    letters,
    line_style,
    literal,
    plain,
    svg_text,
)
from xlprompt.studies.reports.wording import error_bars

_LEGEND = 4  # methods on a line of a legend
_APART = 1.5  # shares less far from one another than this would have one mark on the other
_BANDS = 3  # learning curves with a band around them


def heat_map(comparison: Comparison) -> str:
    """Difference by language and task; a star where it is significant after Holm."""
    tasks = list(comparison.tasks)
    codes = in_study_order({row.language for row in comparison.differences})
    rows = {(row.task, row.language): row for row in comparison.differences}
    values = np.full((len(codes), len(tasks)), np.nan)
    for (name, code), row in rows.items():
        values[codes.index(code), tasks.index(name)] = row.estimate.value
    bound = max(1.0, float(np.nanmax(np.abs(values))))
    with letters():
        figure = Figure(figsize=(WIDTH, 1.2 + 0.21 * len(codes)), layout="constrained")
        axes = figure.add_subplot()
        # Orange to purple over white is told apart with every common kind of color blindness.
        image = axes.imshow(values, cmap="PuOr_r", vmin=-bound, vmax=bound, aspect="auto")
        for place, column in np.argwhere(np.isnan(values)):  # empty, it would look like no difference
            axes.text(column, place, "–", ha="center", va="center", color="#777777")
        for (name, code), row in rows.items():
            star = "*" if row.is_significant else ""
            axes.text(
                tasks.index(name),
                codes.index(code),
                f"{row.estimate.value:+z.1f}{star}",
                ha="center",
                va="center",
                color="white" if is_dark(image.to_rgba(np.array([row.estimate.value]))[0]) else "black",
            )
        axes.set_xticks(range(len(tasks)), tasks)
        axes.set_yticks(range(len(codes)), [f"{language(code).name}  {code}" for code in codes])
        axes.tick_params(length=0)
        axes.xaxis.tick_top()
        star = "; * significant" if comparison.tests_languages else ""
        label = f"{comparison.method} minus {comparison.baseline}, points{star}"
        figure.colorbar(image, ax=axes, label=label, location="bottom", fraction=0.04, pad=0.02)
        return svg_text(figure)


def by_resources(comparison: Comparison, task: str) -> str:
    """Mean scores of both methods by language, those with most pre-training tokens on top."""
    scores = {(row.method, row.language): row for row in comparison.scores if row.task == task}
    codes = sorted({code for _, code in scores}, key=resource_order)
    with letters():
        figure = Figure(figsize=(WIDTH, 1.0 + 0.21 * len(codes)), layout="constrained")
        axes = figure.add_subplot()
        places = np.arange(len(codes))
        for number, method in enumerate((comparison.method, comparison.baseline)):
            spreads = [scores[method, code].spread for code in codes]
            axes.errorbar(
                [each.mean for each in spreads],
                places + (0.14 if number else -0.14),  # beside each other where scores are alike
                xerr=[each.deviation or 0.0 for each in spreads],
                linestyle="none",
                marker=MARKERS[number],
                markersize=4.5,
                markerfacecolor="white" if number else COLORS[number],
                color=COLORS[number],
                elinewidth=1.0,
                label=method,
            )
        axes.set_yticks(places, [f"{language(code).name} {_tokens(code)}" for code in codes])
        axes.set_ylim(len(codes) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)
        _mark_levels(axes, codes)
        axes.set_xlabel(
            f"{comparison.tasks[task].metric} (%){error_bars(row.spread for row in scores.values())}"
        )
        plain(axes, "x")
        legend_above(figure, axes, columns=2)
        return svg_text(figure)


def learning_curves(curves: Mapping[str, Sequence[Sequence[tuple[int, float]]]], label: str) -> str:
    """Development score by step: each method's mean over seeds.

    Of up to three methods there is a band of one standard deviation around it; more would hide each other.

    Args:
        curves: By method, the seeds' curves: steps and scores in percent. The mean covers the steps that all
            seeds have; a method without such a step is left out.
        label: Of the axis of the scores.
    """
    legend = -(-len(curves) // 2)  # lines of it
    with letters():
        figure = Figure(figsize=(WIDTH, 2.3 + 0.2 * legend), layout="constrained")
        axes = figure.add_subplot()
        for number, (method, of_method) in enumerate(curves.items()):
            steps, scores = shared_steps(of_method)
            if not steps:
                continue
            mean = scores.mean(axis=0)
            style = number % len(COLORS)
            axes.plot(
                steps,
                mean,
                **line_style(style),
                markersize=4,
                label=f"{method} ({how_many(len(scores), 'seed')})",
            )
            if len(scores) > 1 and len(curves) <= _BANDS:
                sd = scores.std(axis=0, ddof=1)
                axes.fill_between(steps, mean - sd, mean + sd, color=COLORS[style], alpha=0.2, linewidth=0)
        axes.set_xlabel("step")
        axes.set_ylabel(label)
        plain(axes)
        legend_above(figure, axes, columns=2)
        return svg_text(figure)


def shared_steps(curves: Sequence[Sequence[tuple[int, float]]]) -> tuple[list[int], np.ndarray]:
    """Steps that all curves have, and the scores there, `[curves, steps]`."""
    by_step = [dict(curve) for curve in curves]
    steps = sorted(set.intersection(*map(set, by_step))) if by_step else []
    return steps, np.array([[curve[step] for step in steps] for curve in by_step])


def cost_against_score(points: Sequence[tuple[str, str, float, float]]) -> str:
    """Zero-shot score against the time of a run, a panel for each task.

    Args:
        points: Task, method, mean seconds of a run, mean score over zero-shot languages in percent.
    """
    figure = _score_panels([(*point, 0.0) for point in points], "seconds of a run")
    figure.axes[0].set_xlim(left=0)  # of all panels
    return svg_text(figure)


def share_against_score(points: Sequence[tuple[str, str, float, Spread]]) -> str:
    """Zero-shot score against what trains, a panel for each task; like shares side by side.

    Args:
        points: Task, method, trained parameters in percent of the backbone's, mean score over zero-shot
            languages in percent. Zero, which the axis has no place for, is drawn a tenth of the least share.
    """
    drawn = []
    shares = [share for _, _, share, _ in points]
    nothing = (
        min((share for share in shares if share > 0), default=1.0) / 10
    )  # a logarithm has no place for 0
    for name in dict.fromkeys(task for task, *_ in points):
        of_task = [point for point in points if point[0] == name]
        places = side_by_side([share or nothing for _, _, share, _ in of_task])
        drawn += [
            (task, method, place, score.mean, score.deviation or 0.0)
            for (task, method, _, score), place in zip(of_task, places, strict=True)
        ]
    zero = "" if all(shares) else ", 0 at the left"
    figure = _score_panels(drawn, f"trained, % of the backbone (like shares side by side{zero}); score ± sd")
    axes = figure.axes[0]
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    return svg_text(figure)


def side_by_side(shares: Sequence[float]) -> list[float]:
    """Places on a logarithmic axis: those of the shares, but apart where marks would lie on one another.

    Args:
        shares: Above zero.
    """
    order = sorted(range(len(shares)), key=lambda number: shares[number])
    groups: list[list[int]] = []
    for number in order:
        if groups and shares[number] < shares[groups[-1][-1]] * _APART:
            groups[-1].append(number)
        else:
            groups.append([number])
    places = [0.0] * len(shares)
    for group in groups:
        middle = float(np.exp(np.mean([np.log(shares[number]) for number in group])))
        for place, number in enumerate(group):
            places[number] = middle * _APART ** (place - (len(group) - 1) / 2)
    return places


def _score_panels(points: Sequence[tuple[str, str, float, float, float]], label: str) -> Figure:
    """Zero-shot score against something, a panel for each task.

    Args:
        points: Task, method, where it stands on the x axis, score in percent and its deviation.
        label: Of the x axis.
    """
    tasks = list(dict.fromkeys(point[0] for point in points))
    methods = list(dict.fromkeys(point[1] for point in points))
    columns = min(2, len(tasks))
    rows = -(-len(tasks) // columns)
    legend = -(-len(methods) // _LEGEND)  # lines of it
    with letters():
        figure = Figure(figsize=(WIDTH, 0.6 + 0.2 * legend + 1.5 * rows), layout="constrained")
        panels = figure.subplots(rows, columns, sharex=True, squeeze=False).flat
        for axes, task in zip(panels, tasks, strict=False):
            for name, method, place, score, deviation in points:
                if name != task:
                    continue
                style = line_style(methods.index(method) % len(COLORS)) | {"linestyle": "none"}
                axes.errorbar(place, score, yerr=deviation or None, elinewidth=0.8, markersize=5, **style)
            axes.set_title(task)
            axes.margins(0.15)
            plain(axes)
        for axes in panels[len(tasks) :]:
            axes.set_visible(False)
        figure.supxlabel(label, fontsize=LETTERS)
        figure.supylabel("zero-shot mean (%)", fontsize=LETTERS)
        handles = [  # a task need not have all of them
            Line2D([], [], **line_style(number % len(COLORS)) | {"linestyle": "none"})
            for number in range(len(methods))
        ]
        columns = min(len(methods), _LEGEND)
        figure.legend(handles, methods, loc="outside upper center", ncols=columns, frameon=False)
        return figure


def scores_by_variant(
    points: Sequence[tuple[str, Spread | None, Spread | None]], *, trained: str, label: str
) -> str:
    """Scores of an ablation's variants; on an axis of numbers where all of their names are numbers.

    Args:
        points: Name of a variant, score of the training language, mean over the others.
        trained: Name of the training language.
        label: Of the axis of the scores.
    """
    names = [name for name, _, _ in points]
    numeric = all(name.replace(".", "", 1).isdecimal() for name in names)
    places = [float(name) for name in names] if numeric else list(map(float, range(len(names))))
    order = np.argsort(places)
    with letters():
        figure = Figure(figsize=(WIDTH, 2.5), layout="constrained")
        axes = figure.add_subplot()
        for style, (series, title) in enumerate(((2, "mean of the other languages"), (1, trained))):
            known = [(places[at], points[at][series]) for at in order]
            drawn = [(place, each) for place, each in known if isinstance(each, Spread)]
            if not drawn:
                continue
            axes.errorbar(
                [place for place, _ in drawn],
                [each.mean for _, each in drawn],
                yerr=[each.deviation or 0.0 for _, each in drawn],
                linestyle=LINES[style] if numeric else "none",
                marker=MARKERS[style],
                markersize=4.5,
                markerfacecolor="white" if style else COLORS[style],
                color=COLORS[style],
                capsize=2,
                label=title,
            )
        if not numeric:
            axes.set_xticks(places, list(map(literal, names)))
            axes.margins(x=0.15)
        axes.set_ylabel(label)
        axes.set_xlabel("variant")
        plain(axes, "y")
        legend_above(figure, axes, columns=2)
        return svg_text(figure)


def _mark_levels(axes: Axes, codes: Sequence[str]) -> None:
    """Name the resource levels on the right and draw lines between them."""
    levels = [language(code).resource_level for code in codes]
    for level in dict.fromkeys(levels):
        first, number = levels.index(level), levels.count(level)
        if first:
            axes.axhline(first - 0.5, color="#999999", linewidth=0.6)
        middle = first + (number - 1) / 2
        axes.text(
            1.02,
            middle,
            level.replace(" ", "\n"),
            transform=axes.get_yaxis_transform(),
            va="center",
            fontsize=SMALL,
        )


def _tokens(code: str) -> str:
    """Pre-training tokens in billions."""
    billions = language(code).tokens / 1e9
    if not language(code).listed:
        return "? B"
    return f"{billions:.0f} B" if billions >= 10 else f"{billions:.1f} B"
