"""Mean, standard deviation and confidence interval of a figure over seeds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy.special import stdtrit

LEVEL = 0.95


@dataclass(frozen=True)
class OverSeeds:
    """A figure over seeds; spread and interval are None for a single seed, which says nothing about them.

    Attributes:
        mean: The mean.
        deviation: The sample's standard deviation, with n - 1 in the denominator.
        low: Lower end of the interval that holds the mean over all seeds with a probability of 95 %, if
        seeds'
            figures are normally distributed (Student's t).
        high: Its upper end.
        count: Number of seeds.
    """

    mean: float
    deviation: float | None
    low: float | None
    high: float | None
    count: int


def over_seeds(values: Sequence[float]) -> OverSeeds:
    """Summarize one figure of each seed."""
    count, mean = len(values), statistics.fmean(values)
    if count < 2:
        return OverSeeds(mean, None, None, None, count)
    deviation = statistics.stdev(values)
    half = float(stdtrit(count - 1, (1 + LEVEL) / 2)) * deviation / math.sqrt(count)
    return OverSeeds(mean, deviation, mean - half, mean + half, count)


def summarize(runs: Sequence[Mapping[str, float]], prefix: str = "test/") -> dict[str, OverSeeds]:
    """Summarize the metrics that all runs have and whose names begin with `prefix`."""
    if not runs:
        return {}
    shared = set.intersection(*({name for name in run if name.startswith(prefix)} for run in runs))
    return {name: over_seeds([run[name] for run in runs]) for name in sorted(shared)}


def as_metrics(summaries: Mapping[str, OverSeeds]) -> dict[str, float]:
    """Flat names for the tracker: the mean under the metric's own, and `/sd`, `/ci_low` and `/ci_high`."""
    flat: dict[str, float] = {}
    for name, summary in summaries.items():
        flat[name] = summary.mean
        for suffix, value in (
            ("sd", summary.deviation),
            ("ci_low", summary.low),
            ("ci_high", summary.high),
        ):
            if value is not None:
                flat[f"{name}/{suffix}"] = value
    return flat
