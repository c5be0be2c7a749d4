"""An ablation as a section of a report: each variant's scores, and its difference from the first variant.

Statistics are evaluation/comparison/compare.py's, with a variant in the place of the method; nothing is
corrected for the number of variants, which an ablation has to explore.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from xlprompt.evaluation.comparison.compare import compare
from xlprompt.evaluation.comparison.compared import Comparison, GroupDifference
from xlprompt.evaluation.comparison.counts import TaskRuns
from xlprompt.evaluation.comparison.statistics import Estimate, Spread, spread


@dataclass(frozen=True)
class ZeroShot:
    """Mean over languages that neither of two variants was trained on.

    Attributes:
        languages: How many.
        mean: Of the variant, over seeds.
        first: Of the first variant, over seeds.
        difference: Of the two, in points.
    """

    languages: int
    mean: Spread
    first: Spread
    difference: Estimate


@dataclass(frozen=True)
class VariantResult:
    """What a variant came to, in one task and with one method.

    Attributes:
        name: The variant's.
        trainable_percent: Trained parameters in percent of the backbone's, or None where unknown.
        trained_on: Score of the training language over seeds, or None where it was not scored.
        others: Mean over the other languages, over seeds, or None where there are none. It is the
            zero-shot mean unless `also_trained_on` says that some were trained on.
        difference: Of that mean from the first variant's, in points; None for the first itself.
        wins: Languages in which it is significantly better than the first, after Holm over languages.
        losses: Languages in which it is significantly worse.
        also_trained_on: Languages trained on besides the training language.
        zero_shot: Over the languages that neither this variant nor the first was trained on; None where there
            are none, for the first itself, and where no variant was trained on several languages.
        levels: By resource level, over all languages but the training language; the first variant's is the
            baseline. Nothing for the first itself.
    """

    name: str
    trainable_percent: float | None
    trained_on: Spread | None
    others: Spread | None
    difference: Estimate | None = None
    wins: int = 0
    losses: int = 0
    also_trained_on: tuple[str, ...] = ()
    zero_shot: ZeroShot | None = None
    levels: tuple[GroupDifference, ...] = ()


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
    also_trained_on: Mapping[str, Sequence[str]] | None = None,
) -> Ablation:
    """Compare each variant with the first.

    Args:
        runs: The task's runs, with the variants' names as methods (see runs.load_runs).
        variants: At least two, in the order in which they are shown.
        method: What was varied.
        train_language: The language trained on.
        trainable_percent: By variant.
        also_trained_on: By variant, the languages that it was trained on besides `train_language`.

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
    more = {name: tuple(codes) for name, codes in (also_trained_on or {}).items()}
    results = [
        VariantResult(
            first,
            shares.get(first),
            *_scores(comparisons[0], first),
            also_trained_on=more.get(first, ()),
        )
    ]
    for comparison in comparisons:
        (tally,) = comparison.tallies
        others_of = comparison.zero_shot(runs.task)
        results.append(
            VariantResult(
                comparison.method,
                shares.get(comparison.method),
                *_scores(comparison, comparison.method),
                difference=others_of.estimate if others_of else None,
                wins=tally.wins,
                losses=tally.losses,
                also_trained_on=more.get(comparison.method, ()),
                zero_shot=_zero_shot(runs, comparison.method, first, train_language, more),
                levels=tuple(row for row in comparison.groups if row.grouping == "resource level"),
            )
        )
    return Ablation(runs.task, method, runs.metric, train_language, tuple(results))


def _scores(comparison: Comparison, variant: str) -> tuple[Spread | None, Spread | None]:
    """Scores of the training language and of the mean over the others, each over seeds."""
    (task,) = comparison.tasks
    trained = [
        row.spread
        for row in comparison.scores
        if (row.method, row.language) == (variant, comparison.train_language)
    ]
    means = comparison.zero_shot_by_seed(task, variant)
    return (trained[0] if trained else None, None if means is None else spread(means))


def _zero_shot(
    runs: TaskRuns, variant: str, first: str, train_language: str, more: Mapping[str, tuple[str, ...]]
) -> ZeroShot | None:
    """A variant and the first over the languages that neither was trained on."""
    trained = tuple(dict.fromkeys((*more.get(first, ()), *more.get(variant, ()))))
    if not trained:
        return None
    comparison = compare(
        {runs.task: runs},
        method=variant,
        baseline=first,
        train_language=train_language,
        also_trained_on=trained,
    )
    group = comparison.zero_shot(runs.task)
    ours, theirs = (comparison.zero_shot_by_seed(runs.task, name) for name in (variant, first))
    if group is None or ours is None or theirs is None:
        return None
    return ZeroShot(len(group.languages), spread(ours), spread(theirs), group.estimate)
