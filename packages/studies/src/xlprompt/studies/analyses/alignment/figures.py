"""Figures of what alignment gains, as SVG text in the size of the report's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from xlprompt.data.languages import language, resource_order
from xlprompt.evaluation.style import (
    COLORS,
    MARKERS,
    WIDTH,
    legend_above,
    letters,
    line_style,
    plain,
    svg_text,
)
from xlprompt.studies.analyses.alignment.findings import Curve, Gain, is_head

_ROW = 0.13  # inches that a method takes in a language's row


def gains_by_language(gains: Sequence[Gain], task: str) -> str:
    """Points gained by language, those with most pre-training tokens on top, a marker for each method.

    Filled markers are significant after Holm's correction; lines are intervals of one language alone, cut off
    where those of few seeds would leave the gains no room.

    Args:
        gains: One kind's, by method.
        task: Task name.
    """
    rows = [
        {
            row.language: row
            for row in gain.comparison.differences
            if row.task == task and row.language != gain.comparison.train_language
        }
        for gain in gains
    ]
    codes = sorted({code for of_method in rows for code in of_method}, key=resource_order)
    height = max(0.21, _ROW * len(gains) + 0.05)
    with letters():
        figure = Figure(figsize=(WIDTH, 1.0 + height * len(codes)), layout="constrained")
        axes = figure.add_subplot()
        for number, (gain, of_method) in enumerate(zip(gains, rows, strict=True)):
            style, marker = number % len(COLORS), MARKERS[number % len(MARKERS)]
            shift = (number - (len(gains) - 1) / 2) * _ROW / height
            for code, row in of_method.items():
                place, gained = codes.index(code) + shift, row.estimate
                if gained.low is not None and gained.high is not None:
                    axes.plot([gained.low, gained.high], [place, place], color=COLORS[style], linewidth=0.8)
                axes.plot(
                    gained.value,
                    place,
                    linestyle="none",
                    marker=marker,
                    markersize=4,
                    color=COLORS[style],
                    markerfacecolor=COLORS[style] if row.is_significant else "white",
                )
            axes.plot([], [], marker, markersize=4, color=COLORS[style], label=gain.method)
        found = [row.estimate.value for of_method in rows for row in of_method.values()]
        room = 0.4 * max(5.0, max(found) - min(found))
        low, high = axes.get_xlim()
        axes.set_xlim(
            min(-0.5, max(low, min(found) - room)), max(0.5, min(high, max(found) + room))
        )  # with 0 in it
        axes.axvline(0, color="#999999", linewidth=0.8, zorder=0)
        axes.set_yticks(range(len(codes)), [f"{language(code).name}  {code}" for code in codes])
        axes.set_ylim(len(codes) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel("points gained; filled: significant")
        plain(axes, "x")
        legend_above(figure, axes, columns=min(4, len(gains)))
        return svg_text(figure)


def curves_figure(curves: Sequence[Curve]) -> str:
    """Zero-shot means along a sweep: a panel for each method, a line for each kind.

    Bands are one standard deviation over seeds to either side; the dashed line is the mean without alignment.

    Args:
        curves: Of one task and sweep, by method.
    """
    swept = curves[0].swept
    kinds = list(dict.fromkeys(kind for curve in curves for kind in curve.points))
    values = sorted(
        {value for curve in curves for points in curve.points.values() for value in points},
        key=lambda value: (is_head(swept, value), value),
    )
    columns = min(2, len(curves))
    rows = -(-len(curves) // columns)
    with letters():
        figure = Figure(figsize=(WIDTH, 0.9 + 1.8 * rows), layout="constrained")
        panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        for axes, curve in zip(panels.flat, curves, strict=False):
            axes.axhline(curve.none.mean, color="black", linestyle=(0, (4, 2)), linewidth=1.0, label="none")
            for kind, points in curve.points.items():
                style = kinds.index(kind) % len(COLORS)
                places = [values.index(value) for value in points]  # evenly spaced
                mean = np.array([found.mean for found in points.values()])
                sd = np.array([found.deviation or 0.0 for found in points.values()])
                axes.plot(
                    places,
                    mean,
                    **line_style(style),
                    markersize=3.5,
                    linewidth=1.0,
                    label=kind,
                )
                axes.fill_between(places, mean - sd, mean + sd, color=COLORS[style], alpha=0.15, linewidth=0)
            axes.set_title(curve.method)
            names = ["head" if is_head(swept, value) else str(value) for value in values]
            axes.set_xticks(range(len(values)), names)
            plain(axes, "y")
        for axes in list(panels.flat)[len(curves) :]:
            axes.set_visible(False)
        label = "unlabelled sentences of a language" if swept == "sentences" else "decoder layer"
        figure.supxlabel(label, fontsize="medium")
        figure.supylabel("zero-shot mean (%)", fontsize="medium")
        legend_above(figure, *panels.flat, columns=3)
        return svg_text(figure)
