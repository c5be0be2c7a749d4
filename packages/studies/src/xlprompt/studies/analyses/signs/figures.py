"""Figures of rates and regrets, as SVG text in the size of the report's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, NullLocator

from xlprompt.evaluation.style import COLORS, WIDTH, legend_above, letters, line_style, plain, svg_text
from xlprompt.studies.analyses.signs.findings import ENGLISH, Family, SignResult


def regrets_figure(results: Sequence[SignResult]) -> str:
    """Points lost by each sign, with 95 % intervals; the cross is a rate drawn at random."""
    with letters():
        figure = Figure(figsize=(WIDTH, 0.8 + 0.42 * len(results)), layout="constrained")
        axes = figure.add_subplot()
        for place, each in enumerate(results):
            regret = each.regret
            color = COLORS[0 if each.sign == ENGLISH else 1]
            if regret.low is not None and regret.high is not None:
                axes.plot([regret.low, regret.high], [place, place], color=color, linewidth=1.0)
            axes.plot(regret.value, place, "o", color=color, markersize=4.5)
            axes.plot(each.random, place, "x", color="#888888", markersize=5)
        axes.axvline(0, color="#999999", linewidth=0.8, zorder=0)
        axes.set_yticks(range(len(results)), [each.sign for each in results])
        axes.set_ylim(len(results) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel("points below the best rate")
        plain(axes, "x")
        return svg_text(figure)


def rates_figure(families: Sequence[Family]) -> str:
    """Zero-shot mean and English development score by learning rate, a panel for each task and method."""
    columns = min(2, len(families))
    rows = -(-len(families) // columns)
    with letters():
        figure = Figure(figsize=(WIDTH, 0.8 + 1.35 * rows), layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False)
        for axes, each in zip(panels.flat, families, strict=False):
            lines = {"zero-shot mean": each.zero_shot, "English development": each.by_run.get(ENGLISH)}
            for style, (label, values) in enumerate(lines.items()):
                if values is not None:
                    sd = values.std(axis=1, ddof=1) if values.shape[1] > 1 else np.zeros(len(values))
                    mean = values.mean(axis=1)
                    axes.plot(
                        each.rates, mean, **line_style(1 - style), markersize=3.5, linewidth=1.0, label=label
                    )
                    axes.fill_between(
                        each.rates, mean - sd, mean + sd, color=COLORS[1 - style], alpha=0.15, linewidth=0
                    )
            axes.set_xscale("log")
            axes.xaxis.set_minor_locator(NullLocator())
            axes.xaxis.set_minor_formatter(NullFormatter())
            axes.set_xticks(each.rates, [f"{rate:.0e}".replace("e-0", "e-") for rate in each.rates])
            axes.set_title(each.name)
            plain(axes, "y")
        for axes in list(panels.flat)[len(families) :]:
            axes.set_visible(False)
        figure.supxlabel("learning rate", fontsize="medium")
        figure.supylabel("score (%)", fontsize="medium")
        legend_above(figure, *panels.flat, columns=2)
        return svg_text(figure)
