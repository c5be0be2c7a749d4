"""How finely a tokenizer cuts each language, with intervals, and whether that goes with where a method wins.

Figures are ratios of sums over examples. Their 95 % intervals are percentiles over resampled examples
(Efron and Tibshirani 1993, chapter 13), pairs with the same first text together: they say how far the figure
would move with other text of this kind, and nothing of other kinds. Correlations over languages take the
figures as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from scipy import stats

from xlprompt.data.languages import language as language_row
from xlprompt.evaluation.comparison.compared import Comparison, differences_by_task
from xlprompt.evaluation.comparison.correlation import RankCorrelation, additive_effects, rank_correlation
from xlprompt.evaluation.comparison.statistics import CONFIDENCE, resample
from xlprompt.studies.analyses.tokenization.counts import TokenCounts

FIGURES: Mapping[str, str] = {
    "tokens_per_word": "tokens a word",
    "characters_per_token": "characters a token",
    "whole_words": "words kept whole (%)",
    "single_character_tokens": "tokens of one character (%)",
    "unknown_tokens": "unknown tokens (%)",
    "tokens_to_english": "tokens, English = 1",
}
"""Names of figures, as in metrics, and what they are called."""

ALL_TASKS = "all tasks"

PARALLEL_LENGTHS = 0.75
"""Rank correlation of the lengths of examples with equal ids from which on texts are taken as translations.
Between the test sets of XNLI, as those of the mini benchmark, it is 0.83 to 0.97, between sets that are not
parallel within 0.25 of 0."""

PARALLEL_LABELS = 0.99
"""Share of pairs with equal ids that must have equal labels, since a translation keeps them."""

FEWEST_FOR_AN_INTERVAL = 10
"""Languages; of fewer, resamples that hold a few of them many times make intervals meaningless."""

_FEWEST_SHARED = 20  # examples with equal ids, below which a correlation of lengths says little


@dataclass(frozen=True)
class Interval:
    """A figure and its 95 % interval over resampled examples; without one for a single example."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Parallel:
    """Whether a language's examples translate English's, by those with equal ids.

    Attributes:
        shared: Number of examples with equal ids.
        lengths: Rank correlation of their lengths in characters; None where there are too few.
        labels: Share of them with equal labels; None for tagging.
        holds: Whether both are as between translations.
    """

    shared: int
    lengths: float | None
    labels: float | None
    holds: bool


@dataclass(frozen=True)
class LanguageTokenization:
    """One language's figures.

    Attributes:
        language: Its code.
        examples: Pairs or sentences.
        figures: By name (FIGURES); one that is not known is not there.
        parallel: How its text relates to English's.
    """

    language: str
    examples: int
    figures: Mapping[str, Interval]
    parallel: Parallel


@dataclass(frozen=True)
class FigureCorrelation:
    """A figure's rank correlation, over zero-shot languages, with the difference between methods.

    Attributes:
        task: Whose differences; for ALL_TASKS each language's effect over the tasks (additive_effects).
        figure: Name of the figure.
        plain: Spearman's correlation.
        given_tokens: The partial one, with pre-training tokens held fixed.
        given_tokens_and_family: With tokens and language family held fixed. A language that is alone in its
            family is wholly explained by it, and is left out.
    """

    task: str
    figure: str
    plain: RankCorrelation
    given_tokens: RankCorrelation
    given_tokens_and_family: RankCorrelation


@dataclass(frozen=True)
class TokenizationAnalysis:
    """A tokenizer on the text of a task, by language.

    Attributes:
        languages: In the order given.
        correlations: By task of a study and figure; empty where there is no study.
        effects: By task (and ALL_TASKS) and language, the differences that were correlated, in points.
    """

    languages: tuple[LanguageTokenization, ...]
    correlations: tuple[FigureCorrelation, ...] = ()
    effects: Mapping[str, Mapping[str, float]] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return {"confidence": CONFIDENCE, **asdict(self)}


def analyze(counts: Mapping[str, TokenCounts], comparison: Comparison | None = None) -> TokenizationAnalysis:
    """The figures of all languages, and their correlations with a study's differences.

    Args:
        counts: By language; English is what the others' lengths are compared with.
        comparison: The study; None leaves correlations out.
    """
    english = counts.get("en")
    languages = tuple(
        LanguageTokenization(code, len(each.tokens), *_figures(each, english))
        for code, each in counts.items()
    )
    if comparison is None:
        return TokenizationAnalysis(languages)
    effects = language_effects(comparison)
    known = {
        figure: {row.language: row.figures[figure].value for row in languages if figure in row.figures}
        for figure in FIGURES
    }
    correlations = tuple(
        correlate(task, figure, values, of_task)
        for task, of_task in effects.items()
        for figure, values in known.items()
    )
    return TokenizationAnalysis(languages, correlations, effects)


def language_effects(comparison: Comparison) -> dict[str, dict[str, float]]:
    """Differences by task and zero-shot language that the backbone saw, and over all tasks where several."""
    by_task = differences_by_task(
        row
        for row in comparison.differences
        if row.language not in comparison.trained_languages and language_row(row.language).tokens
    )
    if len(by_task) < 2:
        return by_task
    return by_task | {ALL_TASKS: additive_effects(by_task)}


def correlate(
    task: str, figure: str, values: Mapping[str, float], effects: Mapping[str, float]
) -> FigureCorrelation:
    """Correlate a figure with the differences over the languages that have both.

    Args:
        task: What the result is filed under.
        figure: Likewise.
        values: The figure by language.
        effects: The difference by language.
    """
    codes = [code for code in effects if code in values]
    families = [language_row(code).family for code in codes]
    related = [code for code in codes if families.count(language_row(code).family) > 1]

    def over(chosen: Sequence[str], given: Sequence[np.ndarray] = ()) -> RankCorrelation:
        if not chosen:
            return RankCorrelation(None, None, None, None, 0)
        x, y = ([source[code] for code in chosen] for source in (values, effects))
        found = rank_correlation(x, y, given=np.array(given) if given else None)
        return found if len(chosen) >= FEWEST_FOR_AN_INTERVAL else replace(found, low=None, high=None)

    return FigureCorrelation(
        task,
        figure,
        over(codes),
        over(codes, [log_tokens(codes)]),
        over(related, [log_tokens(related), *family_columns(related)]),
    )


def log_tokens(codes: Sequence[str]) -> np.ndarray:
    """Logarithm of the pre-training tokens of languages that have some, `[languages]`."""
    return np.log([language_row(code).tokens for code in codes])


def family_columns(codes: Sequence[str]) -> list[np.ndarray]:
    """Columns of 0 and 1 that tell the languages' families apart, one less than families."""
    families = [language_row(code).family for code in codes]
    names = list(dict.fromkeys(families))[1:]
    return [np.array([family == name for family in families], np.float64) for name in names]


def _figures(counts: TokenCounts, english: TokenCounts | None) -> tuple[dict[str, Interval], Parallel]:
    ratios = {
        "characters_per_token": (1.0, counts.characters, counts.tokens),
        "single_character_tokens": (100.0, counts.single, counts.tokens),
        "unknown_tokens": (100.0, counts.unknown, counts.tokens),
    }
    if counts.words is not None and counts.whole is not None:
        ratios["tokens_per_word"] = (1.0, counts.tokens, counts.words)
        ratios["whole_words"] = (100.0, counts.whole, counts.words)
    figures = _intervals(ratios, counts.units)
    if english is None:
        return figures, Parallel(0, None, None, False)
    parallel, ours, theirs = _compare_ids(counts, english)
    if parallel.holds:
        pair = {"tokens_to_english": (1.0, counts.tokens[ours], english.tokens[theirs])}
        figures |= _intervals(pair, english.units[theirs])
    return {name: figures[name] for name in FIGURES if name in figures}, parallel


def _intervals(
    ratios: Mapping[str, tuple[float, np.ndarray, np.ndarray]], units: np.ndarray
) -> dict[str, Interval]:
    """Ratios of sums, times a scale, with percentile intervals over resampled units."""
    place = np.unique(units, return_inverse=True)[1]
    number = int(place.max()) + 1

    def by_unit(values: np.ndarray) -> np.ndarray:
        return np.bincount(place, weights=values, minlength=number)

    above = np.stack([by_unit(numerator) for _, numerator, _ in ratios.values()])  # [ratios, units]
    below = np.stack([by_unit(denominator) for _, _, denominator in ratios.values()])
    scales = np.array([scale for scale, _, _ in ratios.values()])
    values = scales * above.sum(axis=1) / below.sum(axis=1)
    if number < 2:
        return {name: Interval(float(value), None, None) for name, value in zip(ratios, values, strict=True)}
    replicates = scales * resample(above, below) / 100  # [samples, ratios]
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(replicates, [tail, 1 - tail], axis=0)
    return {
        name: Interval(float(values[at]), float(low[at]), float(high[at])) for at, name in enumerate(ratios)
    }


def _compare_ids(counts: TokenCounts, english: TokenCounts) -> tuple[Parallel, np.ndarray, np.ndarray]:
    """How examples with equal ids relate, and their places in both languages."""
    places = {each: place for place, each in enumerate(english.ids)}
    shared = [(place, places[each]) for place, each in enumerate(counts.ids) if each in places]
    ours, theirs = np.array(shared, np.int64).reshape(-1, 2).T
    if len(shared) < _FEWEST_SHARED:
        return Parallel(len(shared), None, None, False), ours, theirs
    left, right = counts.characters[ours], english.characters[theirs]
    varies = np.ptp(left) > 0 and np.ptp(right) > 0
    lengths = float(stats.spearmanr(left, right).statistic) if varies else 0.0
    labels = None
    if counts.labels:
        labels = float(np.mean(np.array(counts.labels)[ours] == np.array(english.labels)[theirs]))
    holds = lengths >= PARALLEL_LENGTHS and (labels is None or labels >= PARALLEL_LABELS)
    return Parallel(len(shared), lengths, labels, holds), ours, theirs
