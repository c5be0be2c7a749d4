"""An ablation as a section of a report: each variant's scores, and its difference from the first variant.

Statistics are comparison.py's, with a variant in the place of the method; nothing is corrected for the number
of variants, which an ablation has to explore.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from xlprompt.data.languages import language
from xlprompt.evaluation.comparison import Comparison, compare
from xlprompt.evaluation.report_page import Image, Section, Table
from xlprompt.evaluation.runs import TaskRuns
from xlprompt.evaluation.statistics import Estimate, Spread, spread
from xlprompt.evaluation.study_figures import scores_by_variant

_ABSENT = "–"


@dataclass(frozen=True)
class VariantResult:
    """What a variant came to, in one task and with one method.

    Attributes:
        name: The variant's.
        trainable_percent: Trained parameters in percent of the backbone's, or None where unknown.
        trained_on: Score of the training language over seeds, or None where it was not scored.
        zero_shot: Mean over the other languages, over seeds, or None where there are none.
        difference: Of the zero-shot mean from the first variant's, in points; None for the first itself.
        wins: Languages in which it is significantly better than the first, after Holm over languages.
        losses: Languages in which it is significantly worse.
    """

    name: str
    trainable_percent: float | None
    trained_on: Spread | None
    zero_shot: Spread | None
    difference: Estimate | None = None
    wins: int = 0
    losses: int = 0


@dataclass(frozen=True)
class Ablation:
    """The variants of one task and method, the first of which the others are compared with."""

    task: str
    method: str
    metric: str
    train_language: str
    variants: tuple[VariantResult, ...]


def compare_variants(
    runs: TaskRuns,
    variants: Sequence[str],
    *,
    method: str,
    train_language: str,
    trainable_percent: Mapping[str, float] | None = None,
) -> Ablation:
    """Compare each variant with the first.

    Args:
        runs: The task's runs, with the variants' names as methods (see runs.load_runs).
        variants: At least two, in the order in which they are shown.
        method: What was varied.
        train_language: The language trained on.
        trainable_percent: By variant.

    Raises:
        ValueError: There is only one variant, or one without runs.
    """
    if len(variants) < 2:
        raise ValueError("an ablation needs at least two variants")
    shares = trainable_percent or {}
    first, *others = variants
    comparisons = [
        compare({runs.task: runs}, method=name, baseline=first, train_language=train_language)
        for name in others
    ]
    results = [VariantResult(first, shares.get(first), *_scores(comparisons[0], first))]
    for comparison in comparisons:
        (tally,) = comparison.tallies
        zero_shot = [row.estimate for row in comparison.groups if row.grouping == "zero-shot"]
        results.append(
            VariantResult(
                comparison.method,
                shares.get(comparison.method),
                *_scores(comparison, comparison.method),
                difference=zero_shot[0] if zero_shot else None,
                wins=tally.wins,
                losses=tally.losses,
            )
        )
    return Ablation(runs.task, method, runs.metric, train_language, tuple(results))


def ablation_section(title: str, ablations: Sequence[Ablation]) -> Section:
    """A table and a figure for each task and method."""
    content: list[Table | Image] = []
    for each in ablations:
        content.append(_table(each))
        points = [(row.name, row.trained_on, row.zero_shot) for row in each.variants]
        trained = language(each.train_language).name
        figure = scores_by_variant(points, trained=trained, label=f"{each.metric} (%), ± sd over seeds")
        content.append(Image(f"{each.task} {each.method}: score by variant", figure))
    return Section(title, tuple(content))


def _scores(comparison: Comparison, variant: str) -> tuple[Spread | None, Spread | None]:
    """Scores of the training language and of the mean over the others, each over seeds."""
    rows = [row for row in comparison.scores if row.method == variant]
    trained = [row.spread for row in rows if row.language == comparison.train_language]
    others = [row.values for row in rows if row.language != comparison.train_language]
    zero_shot = spread(np.mean(others, axis=0).tolist()) if others else None
    return (trained[0] if trained else None, zero_shot)


def _table(ablation: Ablation) -> Table:
    trained = language(ablation.train_language).name
    first = ablation.variants[0].name
    rows = []
    for each in ablation.variants:
        estimate = each.difference
        interval = _ABSENT
        if estimate is not None and estimate.low is not None and estimate.high is not None:
            interval = f"[{estimate.low:+.1f}, {estimate.high:+.1f}]"
        rows.append(
            (
                each.name,
                _ABSENT if each.trainable_percent is None else f"{each.trainable_percent:.3g}",
                _mean(each.trained_on),
                _mean(each.zero_shot),
                _ABSENT if estimate is None else f"{estimate.value:+.1f}",
                interval,
                _ABSENT if each.name == first else f"{each.wins} / {each.losses}",
            )
        )
    columns = (
        "variant",
        "trained (%)",
        trained,
        "zero-shot mean",
        f"minus {first}",
        "95 % interval",
        "better / worse",
    )
    return Table(
        f"{ablation.task} {ablation.method}",
        columns,
        tuple(rows),
        f"{ablation.metric} in percent, mean ± standard deviation over seeds. The difference is that of the "
        f"zero-shot mean from {first}, in points, uncertain over seeds and examples; better and worse count "
        "languages after Holm's correction over languages, not over variants.",
    )


def _mean(summary: Spread | None) -> str:
    if summary is None:
        return _ABSENT
    deviation = "" if summary.deviation is None else f" ± {summary.deviation:.1f}"
    return f"{summary.mean:.1f}{deviation}"
