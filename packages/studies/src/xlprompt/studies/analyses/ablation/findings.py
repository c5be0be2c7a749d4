"""An ablation as a section of a report: each variant's scores, and its difference from the first variant.

Statistics are comparison.py's, with a variant in the place of the method; nothing is corrected for the number
of variants, which an ablation has to explore.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from xlprompt.data.languages import language
from xlprompt.evaluation.comparison import Comparison, GroupDifference, compare
from xlprompt.evaluation.report_page import Image, Section, Table
from xlprompt.evaluation.runs import TaskRuns
from xlprompt.evaluation.statistics import Estimate, Spread, spread
from xlprompt.evaluation.study_figures import scores_by_variant
from xlprompt.evaluation.study_tables import ABSENT, interval

_LEVELS = ("high", "medium", "low", "extremely low", "unseen")
_SIGNED = "+.1f"  # an end that is rounded to zero keeps its sign
_VARIANT, _SHARE, _INTERVAL, _TALLY = "variant", "trained (%)", "95 % interval", "better / worse"


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


def ablation_section(title: str, ablations: Sequence[Ablation]) -> Section:
    """A table and a figure for each task and method."""
    content: list[Table | Image] = []
    for each in ablations:
        content.append(_table(each))
        if any(row.also_trained_on for row in each.variants):
            content.append(_level_table(each))
        if any(row.zero_shot for row in each.variants):
            content.append(_zero_shot_table(each))
        points = [(row.name, row.trained_on, row.others) for row in each.variants]
        trained = language(each.train_language).name
        figure = scores_by_variant(points, trained=trained, label=f"{each.metric} (%), ± sd over seeds")
        content.append(Image(f"{each.task} {each.method}: score by variant", figure))
    return Section(title, tuple(content))


def in_brief(section: Section) -> list[tuple[str, str, str]]:
    """What a section of `ablation_section` comes to, in a row for each task and method.

    Returns:
        Task and method; the first variant with its mean; the others with their differences from it, in points
        with 95 % intervals, bold where one leaves out zero, and with their trained shares where these are
        others than the first's.
    """
    rows = []
    for table in section.content:
        if isinstance(table, Table) and _TALLY in table.columns:
            first, *others = (dict(zip(table.columns, row, strict=True)) for row in table.rows)
            mean, minus = table.columns[3:5]
            differences = []
            for each in others:
                text = f"{each[_VARIANT]}: {each[minus]} {each[_INTERVAL]}"
                if _leaves_out_zero(each[_INTERVAL]):
                    text = f"**{text}**"
                share = "" if each[_SHARE] == first[_SHARE] else f" ({each[_SHARE]} %)"
                differences.append(text + share)
            share = "" if first[_SHARE] == ABSENT else f" ({first[_SHARE]} %)"
            rows.append((table.title, f"{first[_VARIANT]}: {first[mean]}{share}", "; ".join(differences)))
    return rows


def _leaves_out_zero(interval_text: str) -> bool:
    """Whether both ends have one sign."""
    low, comma, high = interval_text.strip("[]").partition(", ")
    return bool(comma) and low[0] == high[0]


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


def _zero_shot_table(ablation: Ablation) -> Table:
    first = ablation.variants[0].name
    rows = []
    for each in ablation.variants:
        found = each.zero_shot
        figures = [ABSENT] * 4
        if found is not None:
            figures = [
                found.mean.text(),
                found.first.text(),
                f"{found.difference.value:+.1f}",
                interval(found.difference.low, found.difference.high, "+.1f"),
            ]
        rows.append(
            (
                each.name,
                str(1 + len(each.also_trained_on)),
                ABSENT if found is None else str(found.languages),
                *figures,
            )
        )
    return Table(
        f"{ablation.task} {ablation.method}: languages that were not trained on",
        ("variant", "trained on", "left", "zero-shot mean", first, f"minus {first}", "95 % interval"),
        tuple(rows),
        f"Languages trained on, and how many are left that neither the variant nor {first} was trained on; "
        "the means are over these.",
    )


def _level_table(ablation: Ablation) -> Table:
    """What training on several languages is for: whom it helps."""
    first, *others = ablation.variants
    by_level = {each.name: {row.group: row for row in each.levels} for each in others}
    known = by_level[others[0].name]
    levels = [level for level in _LEVELS if level in known]
    rows = [(first.name, *(f"{known[level].baseline:.1f}" for level in levels))]
    for each in others:
        cells = []
        for level in levels:
            row = by_level[each.name][level]
            low, high = row.estimate.low, row.estimate.high
            star = "*" if low is not None and high is not None and not low <= 0 <= high else ""
            cells.append(f"{row.method:.1f} ({row.estimate.value:+z.1f}{star})")
        rows.append((each.name, *cells))
    trained = language(ablation.train_language).name
    return Table(
        f"{ablation.task} {ablation.method}: mean by resource level",
        ("variant", *levels),
        tuple(rows),
        f"Over all languages of a level but {trained}, trained on or not; in brackets the difference from "
        f"{first.name}, with a star where its 95 % interval leaves out zero (not corrected).",
    )


def _table(ablation: Ablation) -> Table:
    several = any(each.also_trained_on for each in ablation.variants)
    mean = "other languages" if several else "zero-shot mean"
    trained = language(ablation.train_language).name
    first = ablation.variants[0].name
    rows = []
    for each in ablation.variants:
        estimate = each.difference
        rows.append(
            (
                each.name,
                ABSENT if each.trainable_percent is None else f"{each.trainable_percent:.3g}",
                _mean(each.trained_on),
                _mean(each.others),
                ABSENT if estimate is None else f"{estimate.value:+.1f}",
                ABSENT if estimate is None else interval(estimate.low, estimate.high, _SIGNED),
                ABSENT if each.name == first else f"{each.wins} / {each.losses}",
            )
        )
    columns = (
        _VARIANT,
        _SHARE,
        trained,
        mean,
        f"minus {first}",
        _INTERVAL,
        _TALLY,
    )
    return Table(
        f"{ablation.task} {ablation.method}",
        columns,
        tuple(rows),
        f"{ablation.metric} in percent, mean ± standard deviation over seeds. "
        + (f"Other languages: all but {trained}, trained on or not. " if several else "")
        + f"The difference is that of this mean from {first}, in points, uncertain over seeds and examples; "
        "better and worse count languages after Holm's correction over languages, not over variants.",
    )


def _mean(summary: Spread | None) -> str:
    return ABSENT if summary is None else summary.text()
