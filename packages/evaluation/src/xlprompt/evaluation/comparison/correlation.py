"""Figures over languages: rank correlations, and what the languages of several tasks have in common.

Numbers in, numbers out: nothing here knows tasks, languages or files.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import linalg, sparse, stats

from xlprompt.evaluation.comparison.statistics import CONFIDENCE
from xlprompt.evaluation.scores.metrics import BOOTSTRAP_SEED

_RANK_SAMPLES = 9999  # a p-value from permutations is then at least 1e-4


@dataclass(frozen=True)
class RankCorrelation:
    """Spearman's rank correlation over languages.

    Attributes:
        rho: The correlation; None for fewer than four languages or where one of the two does not vary.
        low: Lower end of its bootstrap interval over languages; None as above, or where it does not exist.
        high: Upper end.
        p_value: Two-sided, by permutation; None as above.
        languages: How many.
    """

    rho: float | None
    low: float | None
    high: float | None
    p_value: float | None
    languages: int


def rank_correlation(
    x: Sequence[float] | np.ndarray,
    y: Sequence[float] | np.ndarray,
    *,
    given: Sequence[float] | np.ndarray | None = None,
    seed: int = BOOTSTRAP_SEED,
) -> RankCorrelation:
    """Spearman's correlation of x and y, in part where further variables are given.

    The p-value is by permutation (scipy.stats.permutation_test), since the t-approximation needs hundreds of
    pairs; the interval is the bias-corrected and accelerated bootstrap's over pairs (Efron 1987;
    scipy.stats.bootstrap). In the partial correlation, the ranks of `given` are regressed out of the ranks of
    both (Kendall 1942); the permutations are of one side's residuals, out of which `given` is regressed anew
    each time (Freedman and Lane 1983), as otherwise they vary less than rho does by chance. A group is held
    fixed by columns of 0 and 1, whose ranks span what they do. Pairs are taken as independent: what x
    owes to an accident that all of them share is not in the interval.

    Args:
        x: `[languages]`.
        y: `[languages]`.
        given: What is held fixed, `[languages]` or `[variables, languages]`.
        seed: Of permutations and resamples.

    Returns:
        The correlation; fields are None where they do not exist.

    Raises:
        ValueError: The lengths differ.
    """
    controls = [] if given is None else list(np.atleast_2d(np.asarray(given, dtype=np.float64)))
    columns = [np.asarray(column, dtype=np.float64) for column in (x, y, *controls)]
    sizes = {len(column) for column in columns}
    if len(sizes) > 1:
        raise ValueError(f"Columns to correlate differ in length: {sorted(sizes)}.")
    number = sizes.pop()
    if number < 4 + len(controls) or any(np.ptp(column) == 0 for column in columns[:2]):
        return RankCorrelation(None, None, None, None, number)
    left, right = _residual_ranks(*columns)
    if np.ptp(left) < 1e-9 or np.ptp(right) < 1e-9:  # ranks that the others explain wholly
        return RankCorrelation(None, None, None, None, number)
    ranks = [stats.rankdata(column) for column in controls]
    span = linalg.orth(np.stack([each - each.mean() for each in ranks], axis=1)) if ranks else None

    def correlate(permuted: np.ndarray, axis: int) -> np.ndarray:
        permuted = np.moveaxis(permuted, axis, -1)
        if span is not None:
            permuted = permuted - (permuted @ span) @ span.T
        return _cosine(permuted, right, -1)

    rng = np.random.default_rng([seed, number])
    test = stats.permutation_test(
        (left,),
        correlate,
        permutation_type="pairings",
        vectorized=True,
        n_resamples=_RANK_SAMPLES,
        rng=rng,
    )
    rho, p_value = float(test.statistic), float(test.pvalue)
    if abs(rho) > 1 - 1e-9:  # every resample agrees, and an interval would be a point
        return RankCorrelation(rho, None, None, p_value, number)
    # Columns too much alike have no interval, and none is reported then.
    with warnings.catch_warnings(), np.errstate(invalid="ignore"):
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        interval = stats.bootstrap(
            columns,
            lambda *drawn, axis: _cosine(*_residual_ranks(*drawn, axis=axis), axis),
            paired=True,
            vectorized=True,
            confidence_level=CONFIDENCE,
            n_resamples=_RANK_SAMPLES,
            rng=rng,
        ).confidence_interval
    low, high = (float(end) if np.isfinite(end) else None for end in interval)
    return RankCorrelation(rho, low, high, p_value, number)


class RankTest:
    """The permutation test of `rank_correlation` for many columns y beside one x, without the interval."""

    def __init__(
        self,
        x: Sequence[float] | np.ndarray,
        given: Sequence[float] | np.ndarray | None = None,
        *,
        permutations: int = 999,
        seed: int = BOOTSTRAP_SEED,
    ) -> None:
        """Permute x once.

        Args:
            x: `[languages]`.
            given: One variable that is held fixed, `[languages]`.
            permutations: How many; a p-value is at least one over their number.
            seed: Of the permutations.
        """
        self._permuted: np.ndarray | None = None
        held = [] if given is None else [np.asarray(given, dtype=np.float64)]
        if len(x) < 4 + len(held):
            return
        self._given = _orthogonal_ranks(held)
        self._left = left = _without(_centered_ranks(np.asarray(x, dtype=np.float64)), self._given)
        if np.ptp(left) < 1e-9:
            return
        permuted = left[_orders(seed, len(left), permutations)]
        for ranks in self._given:
            if length := float(ranks @ ranks):
                permuted = permuted - np.outer(permuted @ ranks, ranks) / length
        lengths = np.sqrt((permuted * permuted).sum(axis=1, keepdims=True))
        self._permuted = permuted / np.maximum(lengths, 1e-9)

    def of(self, y: Sequence[float] | np.ndarray) -> tuple[float | None, float | None]:
        """Rho and its two-sided p-value; None where there are too few, or one of the two does not vary."""
        column = np.asarray(y, dtype=np.float64)
        if self._permuted is None or np.ptp(column) == 0:
            return None, None
        right = _without(_centered_ranks(column), self._given)
        if np.ptp(right) < 1e-9:
            return None, None
        rho = float(_cosine(self._left, right, -1))
        chance = self._permuted @ (right / np.sqrt(right @ right))
        beyond = min(int((chance >= rho - 1e-12).sum()), int((chance <= rho + 1e-12).sum()))
        return rho, min(1.0, 2 * (1 + beyond) / (1 + len(chance)))


@lru_cache(maxsize=8)
def _orders(seed: int, number: int, permutations: int) -> np.ndarray:
    """Orders of so many things, `[permutations, number]`; a simulation asks for the same ones each time."""
    places = np.tile(np.arange(number), (permutations, 1))
    return np.random.default_rng([seed, number]).permuted(places, axis=1)


def additive_effects(values: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """What columns of an incomplete two-way table have in common over its rows: `value = row + column`.

    Least squares with the rows' effects as unknowns too (Searle 1987, Linear Models for Unbalanced Data,
    chapter 4): where rows lack columns, means of what is left after a row's own mean would blame a column
    for the company that it has in its rows.

    Args:
        values: By row and column, such as by task and language.

    Returns:
        By column, in the order of appearance, centered; of a complete table the mean over rows of the value
        minus the row's mean. Columns that no chain of shared rows and columns joins are centered apart.
    """
    rows = [name for name, of_row in values.items() if of_row]
    columns = list(dict.fromkeys(column for name in rows for column in values[name]))
    cells = [(rows.index(name), column, value) for name in rows for column, value in values[name].items()]
    design = np.zeros((len(cells), len(rows) + len(columns)))
    for place, (row, column, _) in enumerate(cells):
        design[place, row] = design[place, len(rows) + columns.index(column)] = 1
    found, _, rank, _ = np.linalg.lstsq(design, [value for *_, value in cells], rcond=None)
    effects = found[len(rows) :]
    all_joined = rank == len(rows) + len(columns) - 1  # a table lacks one of full rank for each of its groups
    group = np.zeros(len(columns)) if all_joined else _joined(design)[len(rows) :]
    for each in np.unique(group):
        effects[group == each] -= effects[group == each].mean()
    return dict(zip(columns, map(float, effects), strict=True))


def _joined(design: np.ndarray) -> np.ndarray:
    """Which of the unknowns some chain of observations ties together, as a group's number for each."""
    groups: np.ndarray = sparse.csgraph.connected_components(design.T @ design, directed=False)[1]
    return groups


def _residual_ranks(
    x: np.ndarray, y: np.ndarray, *given: np.ndarray, axis: int = -1
) -> tuple[np.ndarray, np.ndarray]:
    """Centered ranks of x and y along an axis, without what the ranks of `given` explain of them."""
    others = _orthogonal_ranks(given, axis)
    return _without(_centered_ranks(x, axis), others, axis), _without(_centered_ranks(y, axis), others, axis)


def _orthogonal_ranks(columns: Sequence[np.ndarray], axis: int = -1) -> list[np.ndarray]:
    """Centered ranks of each column without what those before it explain (Gram and Schmidt)."""
    others: list[np.ndarray] = []
    for each in columns:
        others.append(_without(_centered_ranks(each, axis), others, axis))
    return others


def _centered_ranks(column: np.ndarray, axis: int = -1) -> np.ndarray:
    ranks = stats.rankdata(column, axis=axis)
    return np.asarray(ranks - ranks.mean(axis=axis, keepdims=True))


def _without(column: np.ndarray, others: Sequence[np.ndarray], axis: int = -1) -> np.ndarray:
    """What columns that are orthogonal to each other leave of another one."""
    for other in others:
        length = (other * other).sum(axis=axis, keepdims=True)
        share = (column * other).sum(axis=axis, keepdims=True) / np.maximum(length, 1e-9)
        # Of what those before it explain wholly, as in some resamples, rounding is left.
        column = np.asarray(column - np.where(length > 1e-6, share, 0.0) * other)
    return column


def _cosine(left: np.ndarray, right: np.ndarray, axis: int) -> np.ndarray:
    """Correlation of columns that are centered already; 0 where one does not vary, as in some resamples."""
    lengths = np.sqrt((left * left).sum(axis=axis) * (right * right).sum(axis=axis))
    products = (left * right).sum(axis=axis)
    return np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 1e-9)
