"""What alignment changes, by language: a table for the terminal, and a figure of scores along a sweep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure
from rich import box
from rich.table import Table

from xlprompt.data.languages import language
from xlprompt.evaluation.scores.transfer_scores import TransferReport
from xlprompt.evaluation.style import COLORS, MARKERS, plain, save


def alignment_table(
    report: TransferReport, aligned: Mapping[str, TransferReport], without_text: Sequence[str] = ()
) -> Table:
    """Lay out scores without alignment and with each kind of it.

    Args:
        report: Without.
        aligned: By kind.
        without_text: Languages that had no text to be aligned by.
    """
    reports = {"none": report, **aligned}
    legend = ["Moments are of unlabelled text, none of it from the test set. ! collapsed."]
    if report.train_language in report.results:
        legend.append("* trained on: never moved.")
    if without_text:
        legend.append("- no text to be aligned by: only 'subspace' moves it.")
    table = Table(
        title=f"{report.task} · {report.split} · {report.metric} by alignment",
        caption="\n".join(legend),
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column("language", no_wrap=True)
    for kind in reports:
        table.add_column(kind, justify="right", no_wrap=True)
    for row in report.by_resources():
        mark = " *" if row.language in report.trained_languages else ""
        mark += " -" if row.language in without_text else ""
        cells = []
        for each in reports.values():
            result = each.results[row.language]
            score = result.scores[report.metric]
            figure = f"{score.value:.1f}" if score.is_defined else "n/a"
            cells.append(f"{figure}{' !' if result.collapsed else '  '}")
        table.add_row(f"{language(row.language).name} ({row.language}){mark}", *cells)
    table.add_section()
    zero_shot = [each.mean_zero_shot() for each in reports.values()]
    table.add_row(
        f"zero-shot mean ({len(report.zero_shot_scored)})",
        *("–" if mean is None else f"{mean.value:.1f}  " for mean in zero_shot),
        style="bold",
    )
    table.add_row("collapsed", *(f"{len(each.collapsed_languages)}  " for each in reports.values()))
    return table


def sweep_table(
    title: str, name: str, none: float, points: Mapping[str, Mapping[int | None, float]]
) -> Table:
    """Lay out zero-shot means along a sweep.

    Args:
        title: Of the table.
        name: What is swept: `sentences` or `layer`.
        none: The mean without alignment.
        points: Kinds to means by the value swept; None stands for the head.
    """
    table = Table(title=title, box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(name, justify="right")
    for kind in ("none", *points):
        table.add_column(kind, justify="right")
    for value in next(iter(points.values())):
        table.add_row(
            "head" if value is None else str(value),
            f"{none:.1f}",
            *(f"{by_value[value]:.1f}" for by_value in points.values()),
        )
    return table


def sweep_figure(
    path: Path, title: str, name: str, none: float, points: Mapping[str, Mapping[int | None, float]]
) -> Path:
    """Draw what `sweep_table` lays out, with the values evenly spaced.

    Returns:
        The path.
    """
    values = list(next(iter(points.values())))
    figure = Figure(figsize=(6.0, 3.8), dpi=160, layout="constrained")
    axes = figure.add_subplot()
    for place, (kind, by_value) in enumerate(points.items()):
        axes.plot(
            range(len(values)),
            [by_value[value] for value in values],
            marker=MARKERS[place % len(MARKERS)],
            color=COLORS[place % len(COLORS)],
            label=kind,
        )
    axes.axhline(none, color="black", linestyle=(0, (3, 2)), linewidth=1.2, label="none")
    axes.set_xticks(range(len(values)), ["head" if value is None else str(value) for value in values])
    axes.set_xlabel("unlabelled sentences of a language" if name == "sentences" else "decoder layer")
    axes.set_ylabel("zero-shot mean (%)")
    axes.set_title(title)
    plain(axes, "y", linewidth=0.8)
    figure.legend(loc="outside lower center", ncols=len(points) + 1, frameon=False)
    return save(figure, path)
