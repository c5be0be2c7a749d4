"""Methods beside the two that a study compares, each against both of them, as a section of the report.

Statistics are comparison.py's; nothing is corrected for the number of methods.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from xlprompt.data.languages import in_study_order, language
from xlprompt.evaluation.comparison import Comparison, compare
from xlprompt.evaluation.report_page import Image, Section, Table
from xlprompt.evaluation.run_facts import RunFacts
from xlprompt.evaluation.runs import TaskRuns
from xlprompt.evaluation.statistics import Spread, spread
from xlprompt.evaluation.study_figures import share_against_score
from xlprompt.evaluation.study_tables import ABSENT, difference

SHARE_TITLE = "Zero-shot mean against what trains"

_MEAN = "zero-shot mean"

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
                # The others' resamples would not be looked at.
                {task: each.only({method: method, reference: reference}) for task, each in of_method.items()},
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


def share_figure(results: Sequence[MethodResult]) -> str | None:
    """Zero-shot means against trained shares, as SVG; None where either is known of no method."""
    points = [
        (row.task, row.method, row.trainable_percent, row.zero_shot)
        for row in results
        if row.trainable_percent and row.zero_shot is not None
    ]
    return share_against_score(points) if points else None


def other_methods_section(
    comparison: Comparison, others: OtherMethods, runs: Sequence[RunFacts], *, figures: bool = True
) -> Section | None:
    """A figure of all methods' scores by what trains; by task a table of differences and one of scores.

    Args:
        comparison: Of the two methods that the study compares.
        others: From compare_others.
        runs: What is known of each run.
        figures: Whether with the figure.

    Returns:
        The section, or None where there is no other method.
    """
    if not others:
        return None
    results = method_results(comparison, others, runs)
    by_task: dict[str, list[MethodResult]] = {}
    for row in results:
        by_task.setdefault(row.task, []).append(row)
    content: list[Table | Image] = []
    if figures and (figure := share_figure(results)):
        content.append(Image(SHARE_TITLE, figure))
    for task, of_task in by_task.items():
        if len(of_task) > 2:
            content.append(_differences(task, of_task, comparison, others))
            content.append(_languages(task, of_task, comparison))
    return Section("Other methods", tuple(content))


def _differences(
    task: str, results: Sequence[MethodResult], comparison: Comparison, others: OtherMethods
) -> Table:
    rows = []
    for result in results:
        for reference, against in others.get(result.method, {}).items():
            (tally,) = (row for row in against.tallies if row.task == task)
            group = against.zero_shot(task)
            rows.append(
                (
                    result.method,
                    ABSENT if result.trainable_percent is None else f"{result.trainable_percent:.3g}",
                    str(len(result.seeds)),
                    reference,
                    *(difference(group.estimate) if group else (ABSENT, ABSENT)),
                    str(tally.wins),
                    str(tally.losses),
                    str(tally.wins + tally.ties + tally.losses),
                )
            )
    return Table(
        f"{task}: other methods against {comparison.method} and {comparison.baseline}",
        (
            "method",
            "trained (%)",
            "seeds",
            "minus",
            "difference",
            "95 % interval",
            "better",
            "worse",
            "languages",
        ),
        tuple(rows),
        "Difference of the mean over zero-shot languages in points, uncertain over seeds and test examples. "
        "Better, worse: languages in which it is significantly so, at 5 % after Holm's correction over "
        "languages; nothing is corrected for the number of methods.",
    )


def _languages(task: str, results: Sequence[MethodResult], comparison: Comparison) -> Table:
    codes = in_study_order({code for row in results for code in row.scores})
    rows = [
        (
            f"{language(code).name} ({code})",
            language(code).resource_level,
            *(_text(row.scores.get(code)) for row in results),
        )
        for code in codes
    ]
    rows.append((_MEAN, "", *(_text(row.zero_shot) for row in results)))
    return Table(
        f"{task}: scores of all methods by language",
        ("language", "resources", *(row.method for row in results)),
        tuple(rows),
        f"{comparison.tasks[task].metric.capitalize()} in percent, mean ± standard deviation over seeds.",
    )


def _text(summary: Spread | None) -> str:
    return ABSENT if summary is None else summary.text()
