"""Regrets of picking a learning rate by a sign, with bootstrap intervals over seeds and tasks.

A family is a task and method whose runs differ in rate and seed alone. A sign has one number for each run, or
for each pair of seeds of a rate; its mean over the seeds picks the rate with the largest one. The outcome is
the zero-shot mean of the picked rate, the regret what the best rate's is above it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

ENGLISH = "development score"
CONFIDENCE = "low entropy"
INFORMATION = "spread minus entropy"
COLLAPSE = "no collapse"
AGREEMENT = "seeds agree"
KAPPA = "seeds agree beyond chance"
SIGNS = (ENGLISH, CONFIDENCE, INFORMATION, COLLAPSE, AGREEMENT, KAPPA)
"""All of them are better the larger they are, which was fixed before any run was looked at."""

DRAWS = 10_000
_SEED = 20_231_107
_LEVEL = 0.05


@dataclass(frozen=True, eq=False)
class Family:
    """The runs of a task and method that differ in rate and seed alone.

    Attributes:
        task: Task name.
        method: Method name.
        metric: The metric that the task is judged by.
        rates: Learning rates, rising.
        seeds: Those that all rates have.
        zero_shot: Outcomes in percent, `[rates, seeds]`.
        by_run: Signs of runs, `[rates, seeds]`.
        by_pair: Signs of pairs of seeds, `[rates, seeds, seeds]`; the diagonal has no meaning.
    """

    task: str
    method: str
    metric: str
    rates: tuple[float, ...]
    seeds: tuple[int, ...]
    zero_shot: np.ndarray
    by_run: Mapping[str, np.ndarray]
    by_pair: Mapping[str, np.ndarray]

    @property
    def name(self) -> str:
        """Such as `xnli prompt`."""
        return f"{self.task} {self.method}"

    @property
    def signs(self) -> tuple[str, ...]:
        """The signs that its runs have."""
        pairs = self.by_pair if len(self.seeds) > 1 else {}
        return tuple(sign for sign in SIGNS if sign in self.by_run or sign in pairs)

    def values(self, sign: str, weights: np.ndarray) -> np.ndarray:
        """A sign by rate for draws of the seeds, `[draws, rates]`.

        Args:
            sign: One of `signs`.
            weights: How often each seed was drawn, `[draws, seeds]`. A draw of one seed alone has no pair,
                and takes the pairs of all seeds.
        """
        if sign in self.by_run:
            return weights @ self.by_run[sign].T / weights.sum(axis=1, keepdims=True)
        pairs = weights[:, :, None] * weights[:, None, :] * (1 - np.eye(len(self.seeds)))
        alone = pairs.sum(axis=(1, 2)) == 0
        pairs[alone] = 1 - np.eye(len(self.seeds))
        sums: np.ndarray = np.einsum("bij,rij->br", pairs, self.by_pair[sign])
        return sums / pairs.sum(axis=(1, 2))[:, None]

    def outcomes(self, weights: np.ndarray) -> np.ndarray:
        """Zero-shot means by rate for draws of the seeds, `[draws, rates]`."""
        return weights @ self.zero_shot.T / weights.sum(axis=1, keepdims=True)

    def picks(self, sign: str) -> tuple[float, ...]:
        """The rate that a sign picks with all seeds; several where they are equally good."""
        chosen = _chosen(self.values(sign, np.ones((1, len(self.seeds)))))[0]
        return tuple(rate for rate, share in zip(self.rates, chosen, strict=True) if share > 0)


@dataclass(frozen=True)
class Interval:
    """A figure with a bootstrap interval over seeds and families; no ends where nothing can be drawn."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class SignResult:
    """What comes of picking rates by a sign.

    Attributes:
        sign: One of `SIGNS`.
        families: In how many it could be looked at.
        best: In how many of these it picks the best rate.
        regret: Points lost against the best rate, mean over families, with a 95 % interval.
        random: The same for a rate drawn at random, in the same families.
        against_english: Its regret minus that of the English development score in the same families; below 0
            it is better. Its interval is Bonferroni's over the signs that are compared. None for English.
        finding: "better", "worse" or "undecided" than English; empty for English.
    """

    sign: str
    families: int
    best: int
    regret: Interval
    random: float
    against_english: Interval | None
    finding: str


def judge_signs(families: Sequence[Family], *, draws: int = DRAWS) -> list[SignResult]:
    """The regret of each sign, and how it compares with picking by English.

    Seeds are drawn anew within each family, and families among each other; the best rate is the one of all
    seeds throughout, or the luck of the draw would count as regret.

    Args:
        families: Each with two rates or more.
        draws: Of the bootstrap.
    """
    signs = [sign for sign in SIGNS if any(sign in family.signs for family in families)]
    drawn = [_draw(family, number, draws) for number, family in enumerate(families)]
    compared = max(1, sum(sign != ENGLISH for sign in signs))
    results = []
    for sign in signs:
        places = [place for place, family in enumerate(families) if sign in family.signs]
        own = [_regrets(families[place], sign, drawn[place]) for place in places]
        random = float(np.mean([_regret_of_chance(families[place]) for place in places]))
        best = sum(_is_best(families[place], sign) for place in places)
        regret = _interval(own, _LEVEL, draws)
        against, finding = None, ""
        both = [place for place in places if ENGLISH in families[place].signs]
        if sign != ENGLISH and both:
            differences = []
            for place in both:
                point, at_draws = own[places.index(place)]
                english, at_english = _regrets(families[place], ENGLISH, drawn[place])
                differences.append((point - english, at_draws - at_english))
            against = _interval(differences, _LEVEL / compared, draws)
            finding = "undecided"
            if against.low is not None and against.high is not None:
                finding = "better" if against.high < 0 else "worse" if against.low > 0 else "undecided"
        results.append(SignResult(sign, len(places), best, regret, random, against, finding))
    return results


def _draw(family: Family, number: int, draws: int) -> np.ndarray:
    """How often each seed is drawn, `[draws, seeds]`."""
    seeds = len(family.seeds)
    rng = np.random.default_rng([_SEED, number])
    return rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=draws).astype(float)


def _chosen(values: np.ndarray) -> np.ndarray:
    """Share of each rate in what is picked, `[draws, rates]`: 1 for the best, equal parts of equals."""
    best = values >= values.max(axis=1, keepdims=True) - 1e-12
    return best / best.sum(axis=1, keepdims=True)


def _regrets(family: Family, sign: str, weights: np.ndarray) -> tuple[float, np.ndarray]:
    """Regret with all seeds, and in each draw, `[draws]`."""
    everything = np.ones((1, len(family.seeds)))
    best = int(family.zero_shot.mean(axis=1).argmax())

    def regret(drawn: np.ndarray) -> np.ndarray:
        outcomes = family.outcomes(drawn)
        picked = (_chosen(family.values(sign, drawn)) * outcomes).sum(axis=1)
        found: np.ndarray = outcomes[:, best] - picked
        return found

    return float(regret(everything)[0]), regret(weights)


def _regret_of_chance(family: Family) -> float:
    means = family.zero_shot.mean(axis=1)
    return float(means.max() - means.mean())


def _is_best(family: Family, sign: str) -> bool:
    best = family.rates[int(family.zero_shot.mean(axis=1).argmax())]
    return family.picks(sign) == (best,)


def _interval(figures: Sequence[tuple[float, np.ndarray]], level: float, draws: int) -> Interval:
    """Mean over families, and its percentile interval over draws of seeds and of families."""
    value = float(np.mean([figure for figure, _ in figures]))
    number = len(figures)
    rng = np.random.default_rng([_SEED, 1_000_000, number])
    which = rng.integers(number, size=(draws, number))
    table = np.stack([drawn for _, drawn in figures], axis=1)  # [draws, families]
    means = np.take_along_axis(table, which, axis=1).mean(axis=1)
    low, high = np.quantile(means, [level / 2, 1 - level / 2])
    if number == 1 and float(np.ptp(table)) == 0:  # one seed of one family: nothing varies
        return Interval(value, None, None)
    return Interval(value, float(low), float(high))
