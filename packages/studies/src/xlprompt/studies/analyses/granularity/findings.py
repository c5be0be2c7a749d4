"""What a finer cut of the text does to the difference between two methods: slopes over shares of words cut.

The same runs answer the same examples at each share. A slope is that of the least-squares line through the
scores, in points for a share from 0 to 1. It is a weighted sum of scores, so its interval comes about as that
of any figure (evaluation/comparison/statistics.py): seeds and examples are uncertain, the words that were cut
are drawn anew with each seed (not where each share is trained anew: there `encoding.granularity.seed` is one
for all, and their draw is left out). A line is a summary; the scores at each share are given beside it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from xlprompt.evaluation.comparison.counts import RunKey, TaskRuns
from xlprompt.evaluation.comparison.statistics import Estimate, Part, estimate, resample, without_infinity

KIND = "granularity"
"""How all is called that a sweep leaves in the store."""

LEAST_FINER = 1.05
"""Tokens at the largest share for one at the smallest, below which a language was not cut more finely."""

ALL = "all"
"""In place of a task or language: the mean over all of them."""


@dataclass(frozen=True)
class ShareScore:
    """Both methods at one share of words cut.

    Attributes:
        task: Task name.
        language: Language code, or ALL.
        share: Of the words, 0 to 1.
        method: Mean score of the method over seeds, in percent.
        baseline: Of the baseline.
        difference: Method minus baseline.
        skilled: Whether the interval of one of the two lies above what needs no model (for ALL its mean);
            where it does not, the difference says nothing. None where there is no interval.
    """

    task: str
    language: str
    share: float
    method: float
    baseline: float
    difference: Estimate
    skilled: bool | None


@dataclass(frozen=True)
class Slope:
    """What cutting every word more finely changes, in points.

    Attributes:
        task: Task name, or ALL.
        language: Language code, or ALL.
        method: Slope of the method's score.
        baseline: Of the baseline's.
        difference: Of method minus baseline; the claim is that it is above 0.
    """

    task: str
    language: str
    method: Estimate
    baseline: Estimate
    difference: Estimate


@dataclass(frozen=True)
class GranularityFindings:
    """A sweep over shares.

    Attributes:
        method: The method.
        baseline: The other one.
        shares: The shares, rising.
        seeds: By task and method, the seeds that have all shares.
        scores: By task, language and share; ALL languages last.
        slopes: By task and language; ALL languages last, and ALL tasks at the end.
        usable: By task, the languages that were cut more finely and in which one of the methods beats what
            needs no model at every share.
        pooled: The slope of the difference over these alone, which is what says something about the claim:
            where both methods fall to the baseline, whatever difference there was is gone, and the slope is
            that loss; and a language whose tokens the cutter leaves alone, such as one of single
            characters, says nothing. None where there are none.
    """

    method: str
    baseline: str
    shares: tuple[float, ...]
    seeds: Mapping[str, Mapping[str, tuple[int, ...]]]
    scores: tuple[ShareScore, ...]
    slopes: tuple[Slope, ...]
    usable: Mapping[str, tuple[str, ...]]
    pooled: Estimate | None

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        values: dict[str, Any] = without_infinity(asdict(self))
        return values


def method_at(method: str, share: float) -> str:
    """What stands for the method in `load_runs`, for runs on text cut at a share."""
    return f"{method} at {share:g}"


def keys_at(share: float, keys: Sequence[RunKey]) -> dict[RunKey, RunKey]:
    """Keys of runs to the keys that they have in `load_runs` at a share."""
    return {(task, method, seed): (task, method_at(method, share), seed) for task, method, seed in keys}


def compare_shares(
    runs: Mapping[str, TaskRuns],
    shares: Sequence[float],
    tokens: Mapping[tuple[str, str], float] | None = None,
    *,
    method: str = "prompt",
    baseline: str = "finetune",
) -> GranularityFindings:
    """Scores and slopes of a sweep.

    Args:
        runs: From runs.load_runs, with methods named by method_at.
        shares: At least two.
        tokens: By task and language, tokens at the largest share for one at the smallest; a language that
            is not there counts as cut.
        method: The method whose advantage is looked at.
        baseline: The method it is compared with.

    Raises:
        ValueError: There is no task, or only one share, or no seed of a method has them all.
    """
    shares = tuple(sorted(set(shares)))
    if not runs or len(shares) < 2:
        raise ValueError("A slope needs runs at two shares or more.")
    sweeps = {name: _TaskSweep(of_task, shares, method, baseline) for name, of_task in runs.items()}
    least = min(sweep.least(sweep.languages) for sweep in sweeps.values())
    scores = tuple(score for sweep in sweeps.values() for score in sweep.scores())
    weights = slope_weights(shares)
    slopes = [slope for sweep in sweeps.values() for slope in sweep.slopes(weights)]
    slopes.append(_over_tasks([sweep.parts(sweep.languages, weights) for sweep in sweeps.values()], least))
    low = {(score.task, score.language) for score in scores if not score.skilled}
    usable = {
        name: tuple(
            code
            for code in sweep.languages
            if (name, code) not in low and (tokens or {}).get((name, code), math.inf) >= LEAST_FINER
        )
        for name, sweep in sweeps.items()
    }
    of_usable = [sweeps[name].parts(codes, weights) for name, codes in usable.items() if codes]
    pooled = _over_tasks(of_usable, least).difference if of_usable else None
    seeds = {name: sweep.seeds for name, sweep in sweeps.items()}
    return GranularityFindings(method, baseline, shares, seeds, scores, tuple(slopes), usable, pooled)


def slope_weights(shares: Sequence[float]) -> np.ndarray:
    """Weights of the scores in the slope of their least-squares line, `[shares]`."""
    centered = np.asarray(shares, dtype=np.float64) - np.mean(shares)
    return np.asarray(centered / (centered @ centered))


@dataclass(frozen=True)
class _Cube:
    """One language's scores of a method.

    Attributes:
        values: `[seeds, shares]`.
        replicates: The same on resampled examples, `[samples, seeds, shares]`.
    """

    values: np.ndarray
    replicates: np.ndarray


class _TaskSweep:
    """The runs of one task at all shares, of which scores and slopes are weighted sums."""

    def __init__(self, runs: TaskRuns, shares: Sequence[float], method: str, baseline: str) -> None:
        """Take both methods' seeds that have all shares.

        Raises:
            ValueError: No seed of a method has them all.
        """
        self._runs = runs
        self._shares = shares
        self._methods = method, baseline
        self.seeds = {each: _common_seeds(runs, each, shares) for each in self._methods}
        self._cubes = {each: _cubes(runs, each, self.seeds[each], shares) for each in self._methods}
        self.languages = tuple(runs.languages)

    def least(self, codes: Iterable[str]) -> int:
        """The number of examples of the language that has fewest."""
        return min(self._runs.languages[code].examples for code in codes)

    def parts(self, codes: Sequence[str], weights: np.ndarray) -> tuple[Part, Part]:
        """The mean over languages of a weighted sum over shares, by seed: the method's and the baseline's."""
        ours, theirs = (_part(self._cubes[each], codes, weights) for each in self._methods)
        return ours, theirs

    def scores(self) -> Iterator[ShareScore]:
        """Yield both methods at each share, by language, all of them last."""
        for group, codes in self._groups():
            least = self.least(codes)
            floor = float(np.mean([self._runs.languages[code].floor for code in codes]))
            for share, only in zip(self._shares, np.eye(len(self._shares)), strict=True):
                ours, theirs = self.parts(codes, only)
                means = float(ours.values.mean()), float(theirs.values.mean())
                skilled = _skilled((ours, theirs), least, floor)
                difference = _difference(ours, theirs, least)
                yield ShareScore(self._runs.task, group, share, *means, difference, skilled)

    def slopes(self, weights: np.ndarray) -> Iterator[Slope]:
        """Yield what each method's line rises by, by language, all of them last."""
        for group, codes in self._groups():
            least = self.least(codes)
            ours, theirs = self.parts(codes, weights)
            slopes = estimate([ours], least), estimate([theirs], least), _difference(ours, theirs, least)
            yield Slope(self._runs.task, group, *slopes)

    def _groups(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        for code in self.languages:
            yield code, (code,)
        if len(self.languages) > 1:
            yield ALL, self.languages


def _common_seeds(runs: TaskRuns, method: str, shares: Sequence[float]) -> tuple[int, ...]:
    there = [{seed for name, seed in runs.runs if name == method_at(method, share)} for share in shares]
    common = tuple(sorted(set.intersection(*there)))
    if not common:
        raise ValueError(f"No seed of {method} in task {runs.task!r} has runs at all shares.")
    return common


def _cubes(runs: TaskRuns, method: str, seeds: Sequence[int], shares: Sequence[float]) -> dict[str, _Cube]:
    places = [runs.runs.index((method_at(method, share), seed)) for seed in seeds for share in shares]
    shape = (len(seeds), len(shares))
    cubes = {}
    for code, counts in runs.languages.items():
        replicates = resample(counts.numerators[places], counts.denominators[places])
        cubes[code] = _Cube(counts.scores[places].reshape(shape), replicates.reshape(-1, *shape))
    return cubes


def _part(cubes: Mapping[str, _Cube], codes: Sequence[str], weights: np.ndarray) -> Part:
    """The mean over languages of a weighted sum over shares, by seed."""
    values = np.mean([cubes[code].values @ weights for code in codes], axis=0)  # [seeds]
    replicates = np.mean([cubes[code].replicates @ weights for code in codes], axis=0)  # [samples, seeds]
    return Part(1.0, values, replicates)


def _skilled(parts: Iterable[Part], examples: int, floor: float) -> bool | None:
    lows = [low for part in parts if (low := estimate([part], examples).low) is not None]
    return any(low > floor for low in lows) if lows else None


def _scaled(part: Part, weight: float) -> Part:
    return Part(weight, part.values, part.replicates)


def _difference(ours: Part, theirs: Part, examples: int) -> Estimate:
    return estimate([ours, _scaled(theirs, -1.0)], examples)


def _over_tasks(pooled: Sequence[tuple[Part, Part]], examples: int) -> Slope:
    """Means over tasks, which have runs of their own."""
    each = 1 / len(pooled)
    ours = [_scaled(part, each) for part, _ in pooled]
    theirs = [_scaled(part, each) for _, part in pooled]
    differences = [*ours, *(_scaled(part, -each) for _, part in pooled)]
    return Slope(
        ALL, ALL, estimate(ours, examples), estimate(theirs, examples), estimate(differences, examples)
    )


def figures(findings: GranularityFindings, tokens: Mapping[tuple[str, str], float]) -> dict[str, float]:
    """What the tracker is told, by name.

    Args:
        findings: Of a sweep.
        tokens: Tokens at the largest share for one at the smallest, by task and language.
    """
    metrics = {f"{KIND}/tokens/{name}/{code}": ratio for (name, code), ratio in tokens.items()}
    if findings.pooled is not None:
        metrics[f"{KIND}/slope/above_majority"] = findings.pooled.value
    for row in findings.slopes:
        parts: Sequence[tuple[str, Any]] = (
            ("difference", row.difference),
            (findings.method, row.method),
            (findings.baseline, row.baseline),
        )
        for name, found in parts:
            for suffix, value in (("", found.value), ("_low", found.low), ("_high", found.high)):
                if value is not None:
                    metrics[f"{KIND}/slope/{name}{suffix}/{row.task}/{row.language}"] = value
    return metrics
