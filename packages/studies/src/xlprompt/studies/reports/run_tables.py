"""The tables of a study's report that are about its runs: what was trained, how it learned, what it cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xlprompt.data.languages import language
from xlprompt.evaluation.comparison.compared import Comparison
from xlprompt.evaluation.comparison.run_facts import RunFacts
from xlprompt.evaluation.comparison.statistics import spread
from xlprompt.studies.reports.figures import shared_steps
from xlprompt.studies.reports.page import Table
from xlprompt.studies.reports.wording import ABSENT, number_text

_NEAR_BEST = 1.0  # percentage points


def setup(comparison: Comparison, runs: Sequence[RunFacts]) -> Table:
    """What was run on what, and the trainable share."""
    rows = []
    for task, method in _all_cells(comparison, runs):
        of_cell = [run for run in runs if (run.task, run.method) == (task, method)]
        settings = comparison.tasks[task]
        seeds = {comparison.method: settings.method_seeds, comparison.baseline: settings.baseline_seeds}.get(
            method, tuple(run.seed for run in of_cell)
        )
        rows.append(
            (
                task,
                method,
                ", ".join(str(seed) for seed in seeds),
                ", ".join(dict.fromkeys(run.model for run in of_cell)) or ABSENT,
                _span([run.total_params for run in of_cell], ",.0f"),
                _span([run.trainable_params for run in of_cell], ",.0f"),
                _span([run.trainable_percent for run in of_cell], ".4g"),
                settings.metric,
                settings.split,
            )
        )
    columns = (
        "task",
        "method",
        "seeds",
        "model",
        "parameters",
        "trained",
        "trained (%)",
        "metric",
        "scored on",
    )
    trained = language(comparison.train_language).name
    return Table(
        "Runs",
        columns,
        tuple(rows),
        f"Trained on {trained}. Trained parameters include the head, those of all not. "
        "A share is at most 100 %.",
    )


def learning(comparison: Comparison, runs: Sequence[RunFacts]) -> Table:
    """When development scores were reached, task by task."""
    rows = []
    for task in comparison.tasks:
        for method, curves in curves_of(task, comparison, runs).items():
            steps, scores = shared_steps(curves)
            if not steps:
                continue
            mean = scores.mean(axis=0)
            near = next(
                step for step, score in zip(steps, mean, strict=True) if score >= mean.max() - _NEAR_BEST
            )
            rows.append(
                (
                    task,
                    method,
                    str(len(curves)),
                    f"{steps[0]:,} to {steps[-1]:,}",
                    spread(scores[:, 0]).text(),
                    spread(scores[:, -1]).text(),
                    spread(scores.max(axis=1)).text(),
                    f"{near:,}",
                )
            )
    trained = language(comparison.train_language).name
    return Table(
        "Development score by step",
        ("task", "method", "seeds", "steps", "first", "last", "best", "near best at"),
        tuple(rows),
        f"In percent on the {trained} development set, which chooses the checkpoint; mean ± standard "
        "deviation over seeds where there are several, at the steps that all have. Near best: first step at "
        f"which the mean is within {_NEAR_BEST:g} point of its highest.",
    )


def curves_of(
    task: str, comparison: Comparison, runs: Sequence[RunFacts]
) -> dict[str, list[tuple[tuple[int, float], ...]]]:
    """By method: the learning curves of the task's seeds, where they are known."""
    first = (comparison.method, comparison.baseline)
    curves: dict[str, list[tuple[tuple[int, float], ...]]] = {}
    for method in (*first, *dict.fromkeys(run.method for run in runs if run.method not in first)):
        of_cell = [run.curve for run in runs if (run.task, run.method) == (task, method) and run.curve]
        if of_cell:
            curves[method] = of_cell
    return curves


@dataclass(frozen=True)
class Cost:
    """Means over the seeds of a task and method; None where unknown.

    Attributes:
        task: Task name.
        method: Method name, of any method that was run.
        trainable_percent: What trains, in percent of the backbone.
        trained_on: Score of the training language.
        score: Mean over the zero-shot languages.
        seconds: What a run took.
        memory_mib: Its peak memory.
    """

    task: str
    method: str
    trainable_percent: float | None
    trained_on: float | None
    score: float | None
    seconds: float
    memory_mib: float | None


def costs(comparison: Comparison, runs: Sequence[RunFacts]) -> list[Cost]:
    """What a run took by task and method, of all methods that were run, where it is known."""
    rows = []
    for task, method in _all_cells(comparison, runs):
        of_cell = [run for run in runs if (run.task, run.method) == (task, method)]
        seconds = _mean_of([run.seconds for run in of_cell])
        if seconds is None:
            continue
        score = _mean_of([run.zero_shot for run in of_cell])
        group = comparison.zero_shot(task)
        if group is not None and method in (comparison.method, comparison.baseline):
            score = group.method if method == comparison.method else group.baseline
        rows.append(
            Cost(
                task,
                method,
                _mean_of([run.trainable_percent for run in of_cell]),
                _mean_of([run.trained_on for run in of_cell]),
                score,
                seconds,
                _mean_of([run.memory_mib for run in of_cell]),
            )
        )
    return rows


def _mean_of(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def cost_table(rows: Sequence[Cost], trained_on: str) -> Table:
    """What trains and what it costs beside the scores, of every method that was run."""
    return Table(
        "Cost and score",
        (
            "task",
            "method",
            "trained (%)",
            trained_on,
            "zero-shot mean",
            "seconds of a run",
            "peak memory (MiB)",
        ),
        tuple(
            (
                row.task,
                row.method,
                number_text(row.trainable_percent, ".3g"),
                number_text(row.trained_on, ".1f"),
                number_text(row.score, ".1f"),
                f"{row.seconds:.1f}",
                number_text(row.memory_mib, ",.0f"),
            )
            for row in rows
        ),
        "Means over seeds, scores in percent. Trained: share of the backbone's parameters. Seconds include "
        "scoring and depend on the machine and on what else ran there.",
    )


def _cells(comparison: Comparison) -> list[tuple[str, str]]:
    return [
        (task, method) for task in comparison.tasks for method in (comparison.method, comparison.baseline)
    ]


def _all_cells(comparison: Comparison, runs: Sequence[RunFacts]) -> list[tuple[str, str]]:
    """By task the two methods compared, then further ones."""
    first = (comparison.method, comparison.baseline)
    others = dict.fromkeys((run.task, run.method) for run in runs if run.method not in first)
    return sorted([*_cells(comparison), *others], key=lambda cell: list(comparison.tasks).index(cell[0]))


def _span(values: Sequence[float | None], form: str) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return ABSENT
    return " to ".join(dict.fromkeys(f"{value:{form}}" for value in (min(known), max(known))))
