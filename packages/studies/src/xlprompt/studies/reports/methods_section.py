"""The methods beside the two that a study compares, as a section of its report."""

from __future__ import annotations

from collections.abc import Sequence

from xlprompt.data.languages import in_study_order, language
from xlprompt.evaluation.comparison.compared import Comparison
from xlprompt.evaluation.comparison.other_methods import MethodResult, OtherMethods, method_results
from xlprompt.evaluation.comparison.run_facts import RunFacts
from xlprompt.evaluation.comparison.statistics import Spread
from xlprompt.studies.reports.figures import share_against_score
from xlprompt.studies.reports.page import Image, Section, Table
from xlprompt.studies.reports.wording import ABSENT, difference, over_seeds, tested_languages

SHARE_TITLE = "Zero-shot mean against what trains"

_MEAN = "zero-shot mean"


def share_figure(results: Sequence[MethodResult]) -> str | None:
    """Zero-shot means against trained shares, as SVG; None where either is known of no method."""
    points = [
        (row.task, row.method, row.trainable_percent, row.zero_shot)
        for row in results
        if row.trainable_percent is not None and row.zero_shot is not None
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
                    *(tested_languages(tally, each) for each in (tally.wins, tally.losses)),
                    str(sum(row.task == task for row in against.differences)),
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
        f"{comparison.tasks[task].metric.capitalize()} in percent, "
        f"{over_seeds([row.seeds for row in results])}.",
    )


def _text(summary: Spread | None) -> str:
    return ABSENT if summary is None else summary.text()
