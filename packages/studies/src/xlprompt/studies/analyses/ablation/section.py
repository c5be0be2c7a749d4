"""What the variants of an ablation came to, laid out as a section of a report."""

from __future__ import annotations

from collections.abc import Sequence
from math import copysign

from xlprompt.data.how_many import how_many
from xlprompt.data.languages import language
from xlprompt.evaluation.comparison.statistics import Estimate, Spread
from xlprompt.studies.analyses.ablation.brief import brief_table
from xlprompt.studies.analyses.ablation.findings import Ablation, VariantResult
from xlprompt.studies.grid.over_seeds import means
from xlprompt.studies.in_words import compared, ruled
from xlprompt.studies.reports.figures import scores_by_variant
from xlprompt.studies.reports.page import Image, Section, Table
from xlprompt.studies.reports.wording import ABSENT, error_bars, interval, number_text

_LEVELS = ("high", "medium", "low", "extremely low", "unseen", "unknown")


def ablation_section(name: str, ablations: Sequence[Ablation]) -> Section:
    """A table and a figure for each task and method of the grid of this name."""
    content: list[Table | Image] = []
    for each in ablations:
        content.append(_table(each))
        if any(row.also_trained_on for row in each.variants):
            content.append(_level_table(each))
        if any(row.zero_shot for row in each.variants):
            content.append(_zero_shot_table(each))
        points = [(row.name, row.trained_on, row.others) for row in each.variants]
        known = [score for row in each.variants for score in (row.trained_on, row.others)]
        trained = language(each.train_language).name
        figure = scores_by_variant(points, trained=trained, label=f"{each.metric} (%){error_bars(known)}")
        content.append(Image(f"{each.task} {each.method}: score by variant", figure))
    brief = brief_table(name, [_in_brief(each) for each in ablations])
    return Section(f"Ablation: {name}", tuple(content), brief=brief)


def _in_brief(ablation: Ablation) -> tuple[str, str, str]:
    """Task and method, the first variant with its mean, and the others with their differences from it."""
    first, *others = ablation.variants
    share = _share(first)
    differences = []
    for each in others:
        text = f"{each.name}: {' '.join(_difference(each))}"
        if each.difference is not None and _leaves_out_zero(each.difference):
            text = f"**{text}**"
        differences.append(text + ("" if _share(each) == share else f" ({_share(each)} %)"))
    trained = "" if share == ABSENT else f" ({share} %)"
    return (
        f"{ablation.task} {ablation.method}",
        f"{first.name}: {_mean(first.others)}{trained}",
        "; ".join(differences),
    )


def _leaves_out_zero(estimate: Estimate) -> bool:
    """Whether both ends have one sign."""
    low, high = estimate.low, estimate.high
    return low is not None and high is not None and copysign(1, low) == copysign(1, high)


def _difference(variant: VariantResult) -> tuple[str, str]:
    """From the first variant, and the interval; ends that are rounded to zero keep their sign."""
    found = variant.difference
    if found is None:
        return ABSENT, ABSENT
    return f"{found.value:+.1f}", interval(found.low, found.high, "+.1f")


def _share(variant: VariantResult) -> str:
    return number_text(variant.trainable_percent, ".3g")


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


def _tested(variant: VariantResult) -> str:
    """In how many languages it is better, and worse; absent of the first, and where one seed tests none."""
    if variant.difference is None or variant.difference.low is None:
        return ABSENT
    return f"{variant.wins} / {variant.losses}"


def _table(ablation: Ablation) -> Table:
    several = any(each.also_trained_on for each in ablation.variants)
    mean = "other languages" if several else "zero-shot mean"
    trained = language(ablation.train_language).name
    first = ablation.variants[0].name
    known = [score for each in ablation.variants for score in (each.trained_on, each.others)]
    rows = []
    for each in ablation.variants:
        rows.append(
            (
                each.name,
                _share(each),
                _mean(each.trained_on),
                _mean(each.others),
                *_difference(each),
                _tested(each),
            )
        )
    return Table(
        f"{ablation.task} {ablation.method}",
        ("variant", "trained (%)", trained, mean, f"minus {first}", "95 % interval", "better / worse"),
        tuple(rows),
        f"{ablation.metric} in percent, {means(known)}. "
        + (f"Other languages: all but {trained}, trained on or not. " if several else "")
        + f"The difference is that of this mean from {first}, in points, uncertain over seeds and examples; "
        "better and worse count languages after Holm's correction over languages, not over variants.",
    )


def _mean(summary: Spread | None) -> str:
    return ABSENT if summary is None else summary.text()


def ablation_answer(ablation: Ablation) -> str:
    """Which variants differ from the first one, in a sentence or two."""
    first, *others = ablation.variants
    known = [(each.name, each.difference) for each in others if each.difference is not None]
    what = f"{ablation.task} {ablation.method}"
    if not known:
        return f"{what}: no other language was scored, so variants cannot be compared in transfer."
    rulings = [ruled(difference, "better", "worse") for _, difference in known]
    counts = ", ".join(f"{rulings.count(ruling)} {ruling}" for ruling in ("better", "worse", "undecided"))
    name, highest = max(known, key=lambda each: each[1].value)
    return (
        f"{what}: of {how_many(len(known), 'variant')} beside {first.name}, "
        f"{counts} in the mean over other languages. "
        f"Highest: {compared(name, first.name, highest)}."
    )
