"""The README's table and figure, and figures of results, from published runs: `python docs/overview.py`.

`make publish` calls it. The README's figure has the zero-shot mean of the real model by task and method as
trained. Where the runs were scored with one kind of alignment too, it has that as well. Nothing is chosen by
looking at the scores.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from xlprompt.data import TASKS
from xlprompt.evaluation.comparison.statistics import Spread, spread
from xlprompt.evaluation.style import COLORS, LETTERS, MARKERS, legend_above, letters, plain, svg_text
from xlprompt.models.accounting.trained_share import share_of_run
from xlprompt.studies.reports.page import Image, Section, Table, markdown_table
from xlprompt.studies.reports.published_runs import PublishedRuns, read_published
from xlprompt.studies.reports.summary import replace_sections
from xlprompt.training.store.metric_names import MEAN_ZERO_SHOT, score_name

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "experiments" / "results"
RUNS = RESULTS / "gemma" / "runs.jsonl.gz"
CURVES = RESULTS / "curves" / "runs.jsonl.gz"
SMALLEST = RESULTS / "size-0.5m" / "runs.jsonl.gz"
README = ROOT / "README.md"
IMAGES = ROOT / "docs" / "images"
FIGURE, LEARNING, SENTENCES, RATES, SIZE = (
    IMAGES / f"{name}.svg" for name in ("overview", "learning", "sentences", "rates", "size")
)
PLACE = "overview"

METHODS = ("prompt", "lora", "head", "finetune")
KIND = "mean_scale"  # the same for all, since the best of four on the test set would flatter alignment

Scores = dict[tuple[str, str], Spread]


def means(runs: PublishedRuns, of: str) -> Scores:
    """By task and method the mean over seeds of a score: of a language, or of all not trained on."""
    values: dict[tuple[str, str], list[float]] = defaultdict(list)
    for run in runs.runs:
        task = run.tags["task"]
        values[task, run.tags["method"]].append(run.metrics[score_name(TASKS[task].metrics[0], of)])
    return {key: spread(of_seeds) for key, of_seeds in values.items()}


def trained_shares(runs: PublishedRuns) -> dict[str, float]:
    """By method the largest trained share of a task, in percent of the backbone's parameters."""
    shares: dict[str, float] = defaultdict(float)
    for run in runs.runs:
        shares[run.tags["method"]] = max(shares[run.tags["method"]], share_of_run(run.params) or 0.0)
    return dict(shares)


def aligned_means(section: Section | None, kind: str) -> dict[tuple[str, str], float]:
    """By task and method the zero-shot mean with alignment, as the published section says it."""
    found = {}
    for table in section.content if section else ():
        if isinstance(table, Table) and "zero-shot" in table.columns:
            at = {name: table.columns.index(name) for name in ("method", "alignment", "zero-shot")}
            for row in table.rows:
                if row[at["alignment"]] == kind:
                    score = re.match(r"[0-9.]+", row[at["zero-shot"]])
                    assert score, row
                    found[table.title.split(":")[0], row[at["method"]]] = float(score[0])
    return found


def table(scores: Scores, english: Scores, shares: dict[str, float], tasks: list[str]) -> str:
    """A row a method, a column a task: the zero-shot mean, and English."""
    rows = [
        (
            method,
            f"{shares[method]:.3g} %",
            *(f"{scores[task, method].text()} ({english[task, method].mean:.1f})" for task in tasks),
        )
        for method in METHODS
    ]
    columns = ("method", "parameters trained", *(heading(task) for task in tasks))
    return markdown_table(Table("Zero-shot", columns, tuple(rows)), right=1)


def heading(task: str) -> str:
    """A task with its metric."""
    return f"{task}, {TASKS[task].metrics[0]}"


def figure(scores: Scores, aligned: dict[tuple[str, str], float], tasks: list[str]) -> str:
    """A group of bars for each task; what alignment adds or takes is a mark with a line to it."""
    width = 0.8 / len(METHODS)
    with letters():
        drawn = Figure(figsize=(6.4, 2.9), layout="constrained")
        axes = drawn.add_subplot()
        for number, method in enumerate(METHODS):
            places = np.arange(len(tasks)) + (number - (len(METHODS) - 1) / 2) * width
            heights = [scores[task, method].mean for task in tasks]
            errors = [scores[task, method].deviation or 0.0 for task in tasks]
            axes.bar(
                places,
                heights,
                width * 0.9,
                yerr=errors,
                color=COLORS[number],
                label=method,
                ecolor="#555555",
            )
            for place, height, task in zip(places, heights, tasks, strict=True):
                if (end := aligned.get((task, method))) is not None:
                    axes.plot([place, place], [height, end], color="black", linewidth=0.8)
                    axes.plot(place, end, marker="D", markersize=5, color="black", markerfacecolor="white")
        axes.plot(
            [], [], "D", markersize=5, color="black", markerfacecolor="white", label=f"aligned ({KIND})"
        )
        axes.set_xticks(range(len(tasks)), [heading(task) for task in tasks])
        axes.tick_params(axis="x", length=0)
        axes.set_ylabel("zero-shot mean (%), ± sd over 3 seeds", fontsize=LETTERS)
        plain(axes, "y")
        legend_above(drawn, axes, columns=len(METHODS) + 1)
        return svg_text(drawn)


def learning_figure(runs: PublishedRuns) -> str:
    """Of each task the score of English and the mean of the other languages by step, mean over seeds."""
    tasks = list(dict.fromkeys(run.tags["task"] for run in runs.runs))
    with letters():
        drawn = Figure(figsize=(6.4, 4.2), layout="constrained")
        panels = drawn.subplots(2, 2, sharex=False)
        for axes, task in zip(panels.flat, tasks, strict=True):
            for number, method in enumerate(("prompt", "finetune")):
                curves = [
                    runs.language_curves[run.run_id]
                    for run in runs.runs
                    if (run.tags["task"], run.tags["method"]) == (task, method)
                ]
                english = np.mean([curve.scores["en"] for curve in curves], axis=0)
                others = np.mean(
                    [[of for code, of in curve.scores.items() if code != "en"] for curve in curves],
                    axis=(0, 1),
                )
                color = COLORS[number]
                axes.plot(curves[0].steps, english, "--", color=color, label=f"{method}, English")
                axes.plot(curves[0].steps, others, "-", color=color, label=f"{method}, other languages")
            axes.set_xscale("log")
            powers = [power for power in (1, 10, 100, 1000) if power <= curves[0].steps[-1]]
            axes.set_xticks(powers, [f"{power:,}" for power in powers])
            axes.set_title(heading(task))
            axes.set_xlabel("step")
            plain(axes)
        panels[0, 0].set_ylabel("%", fontsize=LETTERS)
        legend_above(drawn, *panels.flat, columns=2)
        return svg_text(drawn)


def sentences_figure(section: Section) -> str:
    """Of each task the zero-shot mean by number of unlabelled sentences, prompts, each kind of alignment."""
    tables = [
        part
        for part in section.content
        if isinstance(part, Table) and part.title.endswith("by number of unlabelled sentences")
    ]
    with letters():
        drawn = Figure(figsize=(6.4, 4.2), layout="constrained")
        panels = drawn.subplots(2, 2)
        for axes, table in zip(panels.flat, tables, strict=True):
            counts = [int(column) for column in table.columns[3:]]
            for number, row in enumerate(row for row in table.rows if row[0] == "prompt"):
                none, *scores = (float(cell.split()[0]) for cell in row[2:])
                axes.plot(
                    counts, scores, MARKERS[number] + "-", color=COLORS[number], markersize=4, label=row[1]
                )
                if number == 0:
                    axes.axhline(none, color="black", linewidth=0.8, linestyle=":", label="none")
            axes.set_xscale("log")
            axes.set_xticks(counts, [str(count) for count in counts])
            axes.minorticks_off()
            axes.set_title(heading(table.title.split(":")[0]))
            axes.set_xlabel("sentences of a language")
            plain(axes)
        panels[0, 0].set_ylabel("zero-shot mean (%)", fontsize=LETTERS)
        legend_above(drawn, *panels.flat, columns=5)
        return svg_text(drawn)


def image(section: Section, title: str) -> str:
    """One of a chapter's figures, as it was published."""
    return next(part.svg for part in section.content if isinstance(part, Image) and part.title == title)


def main(readme: Path = README, picture: Path = FIGURE) -> None:
    """Write the figures, and the table between the README's comments."""
    curves = read_published(CURVES)
    LEARNING.write_text(learning_figure(curves), encoding="utf-8")
    SENTENCES.write_text(sentences_figure(curves.sections["alignment"]), encoding="utf-8")
    RATES.write_text(image(curves.sections["signs"], "Scores by learning rate"), encoding="utf-8")
    size = read_published(SMALLEST).sections["size"]
    SIZE.write_text(image(size, "Difference of the zero-shot mean by parameters"), encoding="utf-8")
    runs = read_published(RUNS)
    scores, english = means(runs, MEAN_ZERO_SHOT), means(runs, "en")
    tasks = list(dict.fromkeys(task for task, _ in scores))
    aligned = aligned_means(runs.sections.get("alignment"), KIND)
    replace_sections(readme, {PLACE: table(scores, english, trained_shares(runs), tasks) + "\n"})
    picture.write_text(figure(scores, aligned, tasks), encoding="utf-8")
    sys.stdout.write(f"{readme.relative_to(ROOT) if readme.is_relative_to(ROOT) else readme}\n")


if __name__ == "__main__":
    main()
