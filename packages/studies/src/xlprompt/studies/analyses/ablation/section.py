"""What the variants of an ablation came to, laid out as a section of a report."""

from __future__ import annotations

from collections.abc import Sequence

from xlprompt.data.languages import language
from xlprompt.evaluation.comparison.statistics import Spread
from xlprompt.studies.analyses.ablation.findings import Ablation
from xlprompt.studies.reports.figures import scores_by_variant
from xlprompt.studies.reports.page import Image, Section, Table
from xlprompt.studies.reports.wording import ABSENT, interval

_LEVELS = ("high", "medium", "low", "extremely low", "unseen")
_SIGNED = "+.1f"  # an end that is rounded to zero keeps its sign
_VARIANT, _SHARE, _INTERVAL, _TALLY = "variant", "trained (%)", "95 % interval", "better / worse"


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
