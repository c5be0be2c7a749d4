"""Signs that pick a learning rate as a section of the report: regrets, picks, figures, rows in brief."""

from __future__ import annotations

from collections.abc import Sequence

from xlprompt.data.how_many import how_many
from xlprompt.evaluation.comparison.statistics import Spread, spread
from xlprompt.studies.analyses.signs.figures import rates_figure, regrets_figure
from xlprompt.studies.analyses.signs.findings import ENGLISH, Family, SignResult
from xlprompt.studies.grid.over_seeds import means
from xlprompt.studies.reports.page import Image, Section, Table
from xlprompt.studies.reports.wording import ABSENT, interval

BRIEF = "signs"


def signs_section(families: Sequence[Family], results: Sequence[SignResult]) -> Section:
    """What comes of picking rates by each sign."""
    content: list[Table | Image] = [
        _regrets(results),
        Image("Points below the best rate, by the sign that picks", regrets_figure(results)),
        _means(families),
        _picked(families),
        Image("Scores by learning rate", rates_figure(families)),
    ]
    counted = ", ".join(
        f"{each.name} ({how_many(len(each.rates), 'rate')}, {how_many(len(each.seeds), 'seed')})"
        for each in families
    )
    note = (
        "Can something that needs no labels of the target languages pick the learning rate that transfers "
        "best? Runs of a task and method count that differ in rate and seed alone. Each sign picks the rate "
        "with its best mean over seeds, and its regret is the best rate's zero-shot mean minus that of the "
        "picked one. Which way a sign points was fixed before runs were looked at. Signs are read off the "
        f"texts of the test sets, whose labels have no part in them. Runs: {counted}."
    )
    return Section("Signs that pick a learning rate", tuple(content), note, _brief(results))


def signs_answers(results: Sequence[SignResult]) -> list[str]:
    """What picking by the development score costs, and whether a sign without labels costs less."""
    english = next((each for each in results if each.sign == ENGLISH), None)
    others = [each for each in results if each.sign != ENGLISH]
    if english is None or not others:
        return []
    rulings = [each.finding for each in others]
    counts = ", ".join(f"{rulings.count(ruling)} {ruling}" for ruling in ("better", "worse", "undecided"))
    best = min(others, key=lambda each: each.regret.value)
    return [
        f"Picking a rate by the {ENGLISH} loses {english.regret.value:.1f} points of the zero-shot mean "
        f"(drawn at random: {english.random:.1f}). Of {len(others)} signs that need no labels, against that: "
        f"{counts}. "
        f"Least is lost by '{best.sign}' ({best.regret.value:.1f})."
    ]


def _regrets(results: Sequence[SignResult]) -> Table:
    rows = []
    for each in results:
        against = each.against_english
        rows.append(
            (
                each.sign,
                f"{each.best} of {each.families}",
                f"{each.regret.value:.1f}",
                interval(each.regret.low, each.regret.high, ".1f"),
                f"{each.random:.1f}",
                ABSENT if against is None else f"{against.value:+z.1f}",
                ABSENT if against is None else interval(against.low, against.high, "+z.1f"),
                each.finding or ABSENT,
            )
        )
    compared = sum(each.sign != ENGLISH for each in results)
    return Table(
        "What picking a rate by a sign costs",
        ("sign", "picks the best", "regret", "95 %", "at random", "minus English", "interval", "is"),
        tuple(rows),
        "Development score: the training language's, by which runs are chosen today. Low entropy: of the "
        "answers in the target languages. Spread minus entropy: entropy of the labels' shares minus that. No "
        "collapse: how little more often the commonest answer is given than in the training language. Seeds "
        "agree: share of answers that two seeds of a rate have in common; beyond chance: Cohen's kappa. "
        "Regret in points of the zero-shot mean, mean over tasks and methods; at random: of a rate that is "
        "drawn. Minus English: the sign's regret minus that of picking by the English development score, "
        "below zero is better; better and worse need an interval without zero. Intervals are bootstraps over "
        "seeds and over tasks and methods, too narrow where these are few; those against English are "
        f"Bonferroni's for {compared} signs.",
    )


def _means(families: Sequence[Family]) -> Table:
    rates = sorted({rate for family in families for rate in family.rates})
    rows: list[tuple[str, ...]] = []
    known: list[Spread] = []
    for family in families:
        scores = dict(zip(family.rates, map(spread, family.zero_shot), strict=True))
        known += scores.values()
        rows.append((family.name, *(scores[rate].text() if rate in scores else ABSENT for rate in rates)))
    return Table(
        "Zero-shot mean by learning rate",
        ("task and method", *(f"{rate:g}" for rate in rates)),
        tuple(rows),
        f"In percent, {means(known)}.",
    )


def _picked(families: Sequence[Family]) -> Table:
    signs = list(dict.fromkeys(sign for family in families for sign in family.signs))
    rows = []
    for family in families:
        means = [spread(row).mean for row in family.zero_shot]
        best = max(range(len(means)), key=means.__getitem__)
        picks = [
            " or ".join(f"{rate:g}" for rate in family.picks(sign)) if sign in family.signs else ABSENT
            for sign in signs
        ]
        rows.append((family.name, f"{family.rates[best]:g}", *picks))
    return Table(
        "What each sign picks",
        ("task and method", "best", *signs),
        tuple(rows),
        "Best: the rate of the highest zero-shot mean.",
        cards=True,
    )


def _brief(results: Sequence[SignResult]) -> Table:
    rows = tuple(
        (
            each.sign,
            f"{each.best} of {each.families}",
            f"{each.regret.value:.1f} {interval(each.regret.low, each.regret.high, '.1f')}",
            each.finding or ABSENT,
        )
        for each in results
    )
    return Table(
        BRIEF,
        ("sign", "picks the best rate", "regret", "against English"),
        rows,
        "Regret in points of the zero-shot mean, with a 95 % bootstrap interval over seeds and tasks.",
    )
