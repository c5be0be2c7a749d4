"""Gains by language, a table for each task, model and method: what a terminal shows before the section."""

from __future__ import annotations

from collections.abc import Sequence

from xlprompt.data.languages import language
from xlprompt.evaluation.comparison.statistics import Estimate
from xlprompt.studies.analyses.alignment.findings import Gain
from xlprompt.studies.reports.page import Table


def gain_tables(gains: Sequence[Gain]) -> list[Table]:
    """By task, model and method, in the order in which they come."""
    cells = dict.fromkeys((task, gain.model, gain.method) for gain in gains for task in gain.comparison.tasks)
    return [
        _table(
            task,
            [
                gain
                for gain in gains
                if (gain.model, gain.method) == (model, method) and task in gain.comparison.tasks
            ],
        )
        for task, model, method in cells
    ]


def _table(task: str, gains: Sequence[Gain]) -> Table:
    """The gains of one model and method, a column for each kind; groups of languages stand at the end."""
    seeds = gains[0].comparison.tasks[task].method_seeds
    rows = []
    of_kinds = [[row for row in gain.comparison.differences if row.task == task] for gain in gains]
    for each in zip(*of_kinds, strict=True):
        name = f"{language(each[0].language).name} ({each[0].language})"
        figures = (f"{_figure(row.estimate)}{'*' if row.is_significant else ''}" for row in each)
        rows.append((name, f"{each[0].baseline:.1f}", *figures))
    for wanted in ("zero-shot", "resource level"):
        groups = [
            [row for row in gain.comparison.groups if (row.task, row.grouping) == (task, wanted)]
            for gain in gains
        ]
        for of_group in zip(*groups, strict=True):
            first = of_group[0]
            figures = (_figure(row.estimate) for row in of_group)
            rows.append((f"{first.group} ({len(first.languages)})", f"{first.baseline:.1f}", *figures))
    return Table(
        f"{task} · {gains[0].method} · {gains[0].model} · seeds {' '.join(map(str, seeds))} · gain by "
        "alignment, points",
        ("language", "none", *(gain.kind for gain in gains)),
        tuple(rows),
        "± standard error over examples; one seed says nothing of others."
        if len(seeds) == 1
        else "± half the 95 % interval over seeds and examples. * significant after Holm over languages.",
    )


def _figure(estimate: Estimate) -> str:
    if estimate.low is not None and estimate.high is not None:
        half = (estimate.high - estimate.low) / 2
        return f"{estimate.value:+.1f} ±{half:.{0 if half > 99 else 1}f}"
    error = "" if estimate.example_stderr is None else f" ±{estimate.example_stderr:.1f}"
    return f"{estimate.value:+.1f}{error}"
