"""Methods beside the two that a study compares, each against both of them, as a section of the report.

Statistics are compare.py's; nothing is corrected for the number of methods.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from xlprompt.evaluation.comparison.compare import compare
from xlprompt.evaluation.comparison.compared import Comparison
from xlprompt.evaluation.comparison.counts import TaskRuns
from xlprompt.evaluation.comparison.run_facts import RunFacts
from xlprompt.evaluation.comparison.statistics import Spread, spread

OtherMethods = Mapping[str, Mapping[str, Comparison]]
"""By method, and by which of the two it is compared with; over the tasks that have runs of it."""


def compare_others(
    runs: Mapping[str, TaskRuns],
    methods: Sequence[str],
    references: Sequence[str],
    *,
    train_language: str,
    also_trained_on: Sequence[str] = (),
) -> dict[str, dict[str, Comparison]]:
    """Compare each method with each reference, in the tasks that have runs of it.

    Args:
        runs: By task, of the references and of as many of the methods as there are.
        methods: In the order in which they are shown; one without runs is passed over.
        references: What they are compared with; every task has runs of them.
        train_language: The language trained on.
        also_trained_on: Further languages trained on.
    """
    found: dict[str, dict[str, Comparison]] = {}
    for method in methods:
        of_method = {task: of_task for task, of_task in runs.items() if of_task.of(method)}
        if not of_method:
            continue
        found[method] = {
            reference: compare(
                of_method,
                method=method,
                baseline=reference,
                train_language=train_language,
                also_trained_on=also_trained_on,
            )
            for reference in references
        }
    return found


def sources(comparison: Comparison, others: OtherMethods) -> dict[str, Comparison]:
    """By method a comparison that has its scores, those of the two methods compared first.

    Args:
        comparison: Of the two.
        others: From compare_others.
    """
    of_two = {comparison.method: comparison, comparison.baseline: comparison}
    return of_two | {method: next(iter(against.values())) for method, against in others.items()}


@dataclass(frozen=True)
class MethodResult:
    """What a method scored in one task.

    Attributes:
        task: Task name.
        method: Method name.
        seeds: Seed numbers.
        trainable_percent: Trained parameters in percent of the backbone's, where runs differ the most; None
            where unknown.
        scores: By language, over seeds.
        zero_shot: Mean over the languages not trained on, over seeds; None where there are none.
        gap: Score of the training language less that mean, over seeds; None where either is lacking.
    """

    task: str
    method: str
    seeds: tuple[int, ...]
    trainable_percent: float | None
    scores: Mapping[str, Spread]
    zero_shot: Spread | None
    gap: Spread | None


def method_results(
    comparison: Comparison, others: OtherMethods, runs: Sequence[RunFacts]
) -> list[MethodResult]:
    """By task, of the two methods compared and then of the others.

    Args:
        comparison: Of the two.
        others: From compare_others.
        runs: What is known of each run.
    """
    results = []
    for task in comparison.tasks:
        for method, source in sources(comparison, others).items():
            if task not in source.tasks:
                continue
            shares = [
                run.trainable_percent
                for run in runs
                if (run.task, run.method) == (task, method) and run.trainable_percent is not None
            ]
            scores = {row.language: row for row in source.scores if (row.task, row.method) == (task, method)}
            means, trained = source.zero_shot_by_seed(task, method), scores.get(source.train_language)
            gap = None if means is None or trained is None else spread(np.asarray(trained.values) - means)
            of_task = source.tasks[task]
            results.append(
                MethodResult(
                    task,
                    method,
                    of_task.method_seeds if method == source.method else of_task.baseline_seeds,
                    max(shares) if shares else None,
                    {code: row.spread for code, row in scores.items()},
                    None if means is None else spread(means),
                    gap,
                )
            )
    return results
