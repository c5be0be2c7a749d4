"""Intervals, tests and corrections for scores of few training seeds on shared test examples.

Numbers in, numbers out: nothing here knows tasks, languages or files. compare.py asks the study's
questions with it.

**The model.** A run's score differs from what its method would score on average over training seeds and over
the population that the test examples were drawn from, for two reasons: the seed, and the draw of the
examples. All runs answer the same examples, so seeds and examples are crossed, not nested. A figure is a
weighted sum of means over seeds, such as prompt minus fine-tuning; `Part` is one such mean.

- *Examples* are resampled (`resample`), the same draw for all runs, and scores are computed anew from the
  resampled counts: the paired bootstrap (Efron and Tibshirani 1993, chapter 8; for corpus scores Koehn 2004).
  This gives the part of the variance that is due to examples, the covariance between runs included.
- *Seeds* are too few to be resampled: among the 27 resamples of three seeds, three are one seed three times,
  and the variance comes out by a third too small. A percentile interval of the naive two-level bootstrap
  covers 85 % instead of 95 % where seeds matter most, and nearly 100 % where examples do, whose noise it
  counts twice. Here the seeds' variance is estimated from the spread between them, and enters with its few
  degrees of freedom.
- Two *parts* with seeds of their own are independent (Welch 1947); a part whose values are differences
  between runs of the same seed number is paired.

With `w` a part's weight, `S` its seeds and `s` their standard deviation, the variance of the figure is

    V = sum_parts w^2 s^2 / S  +  max(V_examples - V_both, 0)

where `V_examples` is the bootstrap variance of the figure and `V_both` what seeds and examples do together
(the bootstrap variance within the seeds' spread), which is in both terms and must not count twice. This is
the variance of a mean in a crossed two-way layout (Searle, Casella and McCulloch 1992, Variance Components,
chapter 4), and the same problem as few readers judging many cases in radiology (Obuchowski and Rockette 1995;
Hillis 2007, Statistics in Medicine 26:596-619). Where each part's seeds happen to have one score, as two
seeds on few examples may, the first term is 0 and holds nothing of `V_both`: V is then `V_examples`.

**The interval** is `figure +- t(df) sqrt(V)`, with the seeds' own degrees of freedom by Welch and
Satterthwaite, `df_S = (sum A)^2 / sum (A^2 / (S - 1))` for `A = w^2 s^2 / S`, joined with those of the
examples by their shares of the variance:

    1 / df = (sum A / V)^p / df_S  +  (1 - sum A / V)^p / (examples - 1),   p = 5/4

Satterthwaite's rule (1946), which Hillis proposes here, has p = 2. Where the seeds have two degrees of
freedom its own noise then costs coverage, down to 92.2 % for nominal 95 %. With p = 1 it is 93.9 to 96.6 %;
5/4 balances the two errors. Over all shares of seeds and examples, 95 % intervals then cover 93.6 to 95.7 %
with three paired seeds and 94.9 to 95.6 % with five; for two methods with seeds of their own 93.5 to 96.5 %
and 94.7 to 95.6 %, over ratios of their seed variances from 1 to 100, and 95.0 to 96.5 % up to a ratio of 3.
Seed effects are taken to be normal in this. Two seeds are too few: 89.5 to 97.7 %.

**Far p-values.** Holm's correction over 20 languages asks for p-values below 0.0025, and so far out any rule
for the degrees of freedom is too bold: up to 4.4 times too many such p-values with three paired seeds.
`Estimate.p_far` therefore comes from the sum of a t-variate for the seeds and a normal one for the examples,
weighted with their standard errors: Fisher's answer to the Behrens-Fisher problem, which is known to err on
the safe side (Robinson 1976, Annals of Statistics 4:963-971). At 0.0025 it is never over 1.0 times nominal
for paired seeds, nor for methods of which one has up to ten times the other's seed variance (2.5 times at a
hundred). Its 95 % intervals would cover up to 97.6 %, which is why the intervals are not made with it.

tests/evaluation/comparison/test_coverage.py holds these figures, by integration and by simulation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from xlprompt.evaluation.scores.metrics import BOOTSTRAP_SEED, percent

CONFIDENCE = 0.95
"""Of every interval here."""

SAMPLES = 2000
"""Resamples of the examples; a standard error then carries a relative noise of 1/sqrt(2 x 2000) = 1.6 %."""

_NOTHING = 1e-18
"""A variance up to this is rounding of scores that are all alike."""

_SHARE_POWER = 1.25
"""See "The interval" above."""


@dataclass(frozen=True)
class Spread:
    """Mean and spread of one method's score over seeds, on the test set as it is.

    Attributes:
        mean: In percent.
        deviation: Standard deviation over seeds (n - 1); None for one seed.
        low: Lower end of the t-interval of the mean; None for one seed.
        high: Its upper end.
        seeds: Number of seeds.
    """

    mean: float
    deviation: float | None
    low: float | None
    high: float | None
    seeds: int

    def text(self) -> str:
        """`82.6 ± 0.5`; of one seed the value alone."""
        return f"{self.mean:.1f}" if self.deviation is None else f"{self.mean:.1f} ± {self.deviation:.1f}"


@dataclass(frozen=True)
class Part:
    """A mean over seeds inside a figure.

    Attributes:
        weight: Its weight in the figure, such as -1 for what is subtracted.
        values: One score (or difference of scores) per seed, `[seeds]`.
        replicates: The same on each resample of the examples, `[samples, seeds]`.
    """

    weight: float
    values: np.ndarray
    replicates: np.ndarray


@dataclass(frozen=True)
class Estimate:
    """A figure with its uncertainty over training seeds and test examples.

    Attributes:
        value: The figure, in percentage points.
        low: Lower end of its interval; None where a part has a single seed, which says nothing about others.
        high: Upper end; None as above.
        p_value: Two-sided, for the hypothesis that the true figure is 0; None as above.
        stderr: Standard error over seeds and examples; None as above.
        df: Degrees of freedom of the interval's t; None as above, infinite where nothing varies.
        seed_stderr: Standard error over seeds, on the test examples as they are; None as above.
        seed_df: Its degrees of freedom; None as above.
        example_stderr: Standard error over examples, given these runs; None for a single example.
    """

    value: float
    low: float | None
    high: float | None
    p_value: float | None
    stderr: float | None
    df: float | None
    seed_stderr: float | None
    seed_df: float | None
    example_stderr: float | None

    def p_near(self, bound: float = 0.0) -> float | None:
        """Two-sided p-value of the interval's t; never more than `p_far`, and None where that is.

        Args:
            bound: The hypothesis for the true figure.
        """
        if self.stderr is None or self.df is None:
            return None
        distance = abs(self.value - bound)
        return float(distance < 1e-9) if self.stderr == 0 else _two_sided(distance / self.stderr, self.df)

    def p_far(self, bound: float = 0.0) -> float | None:
        """Two-sided p-value that errs on the safe side, for corrections that need small ones.

        It is the chance that `seed_stderr * T + e * Z` is farther from 0 than the figure is from `bound`,
        where T has `seed_df` degrees of freedom, Z is normal and `e` is what `seed_stderr` leaves of
        `stderr`. T is a normal variate over the root of a chi-squared one, whose distribution is integrated
        over. Never less than the p-value of the interval's t.

        Args:
            bound: The hypothesis for the true figure.

        Returns:
            The p-value; None where there is no interval.
        """
        from scipy import special

        near = self.p_near(bound)
        if near is None or self.stderr is None or self.seed_stderr is None or self.seed_df is None:
            return None
        if self.seed_stderr == 0:  # as where nothing varies
            return near
        distance = abs(self.value - bound)
        log_chi2 = np.linspace(-60.0, np.log(special.chdtri(self.seed_df, 1e-16)), 1000)
        half = self.seed_df / 2
        log_density = half * (log_chi2 - np.log(2)) - np.exp(log_chi2) / 2 - special.gammaln(half)
        of_seeds = self.seed_stderr**2
        deviation = np.sqrt(of_seeds * self.seed_df / np.exp(log_chi2) + self.stderr**2 - of_seeds)
        beyond = 2 * special.ndtr(-distance / deviation)
        return min(1.0, max(near, float(np.trapezoid(np.exp(log_density) * beyond, log_chi2))))


def spread(values: Sequence[float] | np.ndarray) -> Spread:
    """Mean, standard deviation and t-interval over seeds (Student 1908).

    Args:
        values: One score per seed, `[seeds]`.

    Raises:
        ValueError: There is no value.
    """
    from scipy import special

    scores = np.asarray(values, dtype=np.float64)
    if scores.size == 0:
        raise ValueError("There is no score to summarize.")
    mean = float(scores.mean())
    if scores.size == 1:
        return Spread(mean, None, None, None, 1)
    deviation = float(scores.std(ddof=1))
    half = float(special.stdtrit(scores.size - 1, (1 + CONFIDENCE) / 2) * deviation / np.sqrt(scores.size))
    return Spread(mean, deviation, mean - half, mean + half, scores.size)


def resample(
    numerators: np.ndarray, denominators: np.ndarray, *, samples: int = SAMPLES, seed: int = BOOTSTRAP_SEED
) -> np.ndarray:
    """Scores of runs on resamples of the examples, the same resamples for all runs.

    The draws depend on `seed` and the number of examples alone: parallel test sets (XNLI's languages) are
    resampled together, item by item, as in metrics.score.

    Args:
        numerators: Counts per example, `[runs, examples]`.
        denominators: Likewise.
        samples: How many resamples.
        seed: Of the draws.

    Returns:
        100 * sum(numerators) / sum(denominators) on each resample, `[samples, runs]`.
    """
    runs, examples = numerators.shape
    counts = np.concatenate([numerators, denominators]).T  # [examples, 2 x runs]
    rng = np.random.default_rng([seed, examples])
    sums = np.empty((samples, 2 * runs))
    at_once = max(1, 2_000_000 // examples)  # 16 MB of indices
    for first in range(0, samples, at_once):
        number = min(at_once, samples - first)
        drawn = rng.integers(examples, size=(number, examples)) + examples * np.arange(number)[:, None]
        times = np.bincount(drawn.ravel(), minlength=number * examples).reshape(number, examples)
        sums[first : first + number] = times.astype(np.float64) @ counts
    return percent(sums[:, :runs], sums[:, runs:])


def estimate(parts: Sequence[Part], examples: int) -> Estimate:
    """Weighted sum of means over seeds, with an interval and a p-value over seeds and examples.

    See the module's text for the model, the formulas and their sources.

    Args:
        parts: The means, whose seeds are independent of one another. Replicates of all parts stand in the
            same order, so that what they share through the examples is counted.
        examples: Number of examples that were resampled; the smallest where parts have different ones.

    Raises:
        ValueError: There is no part, or a part without a seed.
    """
    if not parts or any(len(part.values) == 0 for part in parts):
        raise ValueError("An estimate needs parts with at least one seed each.")
    value = float(sum(part.weight * part.values.mean() for part in parts))
    if examples < 2:
        return Estimate(value, None, None, None, None, None, None, None, None)
    # A bootstrap's variance is that of a sum divided by n, the unbiased one is divided by n - 1.
    unbiased = examples / (examples - 1)
    figure = sum(part.weight * part.replicates.mean(axis=1) for part in parts)  # [samples]
    of_examples = unbiased * float(np.var(figure, ddof=1))
    example_stderr = float(np.sqrt(of_examples))
    if any(len(part.values) == 1 for part in parts):
        return Estimate(value, None, None, None, None, None, None, None, example_stderr)

    of_both = 0.0
    own = []  # variance of each part over its seeds
    for part in parts:
        seeds = len(part.values)
        inside = part.replicates - part.replicates.mean(axis=1, keepdims=True)  # [samples, seeds]
        of_both += (
            unbiased * part.weight**2 * float(np.var(inside, axis=0, ddof=1).sum()) / (seeds - 1) / seeds
        )
        own.append(part.weight**2 * float(np.var(part.values, ddof=1)) / seeds)
    common = max(of_examples - of_both, 0.0) if sum(own) > _NOTHING else of_examples
    return joined(
        value,
        own,
        [len(part.values) for part in parts],
        common,
        examples,
        example_stderr=example_stderr,
    )


def joined(
    value: float,
    own: Sequence[float],
    seeds: Sequence[float],
    common: float,
    examples: int,
    *,
    example_stderr: float | None = None,
) -> Estimate:
    """A figure with the interval that its variances make.

    Args:
        value: The figure.
        own: Variance of each part over its seeds, `w^2 s^2 / S`.
        seeds: Number of each part's seeds, at least two.
        common: Variance over examples beyond that, `max(V_examples - V_both, 0)`.
        examples: Number of examples, at least two.
        example_stderr: What the estimate tells of its examples.
    """
    from scipy import special

    of_seeds = float(sum(own))
    variance = of_seeds + common
    if variance <= _NOTHING:
        certain = float(abs(value) < 1e-9)
        return Estimate(value, value, value, certain, 0.0, np.inf, 0.0, np.inf, example_stderr)
    squares = sum(each**2 / (number - 1) for each, number in zip(own, seeds, strict=True))
    seed_df = of_seeds**2 / squares if squares > 0 else np.inf
    df = degrees_of_freedom(of_seeds / variance, seed_df, examples)
    stderr = float(np.sqrt(variance))
    half = float(special.stdtrit(df, (1 + CONFIDENCE) / 2)) * stderr
    return Estimate(
        value,
        value - half,
        value + half,
        _two_sided(abs(value) / stderr, df),
        stderr,
        float(df),
        float(np.sqrt(of_seeds)),
        float(seed_df),
        example_stderr,
    )


def degrees_of_freedom(seed_share: Any, seed_df: Any, examples: Any) -> Any:
    """Of the interval's t, for numbers or arrays.

    Args:
        seed_share: The seeds' share of the variance.
        seed_df: The seeds' own degrees of freedom.
        examples: Number of examples.
    """
    return 1 / (seed_share**_SHARE_POWER / seed_df + (1 - seed_share) ** _SHARE_POWER / (examples - 1))


def _two_sided(distance: float, df: float) -> float:
    """Chance that a t-variate is this far from 0 or farther."""
    from scipy import special

    return float(2 * special.stdtr(df, -distance))


def holm(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
    """Adjust p-values for their number so that the chance of any false rejection stays below the level.

    Holm 1979 (Scandinavian Journal of Statistics 6:65-70): the smallest of m is multiplied by m, the next by
    m - 1 and so on, and none may come out below the one before. It holds however the tests depend on each
    other.

    Args:
        p_values: `[tests]`.

    Returns:
        Adjusted p-values in the same order, at most 1.
    """
    given = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(given, kind="stable")
    steps = given[order] * np.arange(len(given), 0, -1)
    adjusted = np.empty_like(given)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def without_infinity(value: Any) -> Any:
    """The same with None for what JSON cannot hold, such as infinite degrees of freedom; tuples as lists."""
    if isinstance(value, dict):
        return {key: without_infinity(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_infinity(each) for each in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
