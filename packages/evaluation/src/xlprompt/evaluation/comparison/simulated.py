"""Studies like a given one with more seeds or more languages, and what the verdicts' rules make of them.

The seen runs stay, and further ones are drawn around their means. A further seed's scores in all languages of
a task and method are `mean + sum_i z_i r_i / sqrt(S - 1)`, with `r_i` the residuals of the `S` seen seeds and
`z_i` normal. Their covariance is that of the seen seeds, so that languages which move together still do;
drawn with replacement, three seeds would be one seed three times now and then. What the test examples add to
the variance stays as it was seen, since further seeds answer the same examples. A further language is a seen
one drawn again, scores and all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from xlprompt.data.languages import language as language_row
from xlprompt.evaluation.comparison.compared import Comparison, TaskComparison
from xlprompt.evaluation.comparison.correlation import RankTest, additive_effects
from xlprompt.evaluation.comparison.rulings import (
    Ruling,
    low_resources_ruling,
    on_par_ruling,
    tokenization_ruling,
)
from xlprompt.evaluation.comparison.statistics import CONFIDENCE, Estimate, degrees_of_freedom, joined
from xlprompt.evaluation.comparison.verdicts import HIGH_RESOURCE, LOW_RESOURCE

Scores = Mapping[str, tuple[np.ndarray, np.ndarray]]
"""By task, of the method and of the baseline, `[seeds, languages]`."""


class Rulings(NamedTuple):
    """On the claims that have a rule of their own; the second one's is the first's."""

    first: Ruling
    third: Ruling
    fourth: Ruling


class _Part(NamedTuple):
    """Means over seeds, with their variances: `[languages]` each."""

    sign: float
    mean: np.ndarray
    variance: np.ndarray
    seeds: float


class SeenStudy:
    """What studies like one are drawn from, and how they are judged."""

    def __init__(
        self,
        comparison: Comparison,
        margin: float,
        fertility: Mapping[str, float] | None = None,
        slope: Estimate | None = None,
        slope_seeds: int = 0,
    ) -> None:
        """Take the scores, and how uncertain the test examples make them.

        Args:
            comparison: The study; each task has at least two seeds of both methods.
            margin: Of the verdicts.
            fertility: By language, subtokens a word.
            slope: Of the experiment with finer cuts; None where that was not made.
            slope_seeds: Its seeds.
        """
        self._tasks, self._margin, self._fertility = comparison.tasks, margin, fertility or {}
        self._slope, self._slope_seeds = slope, slope_seeds
        self._codes = {name: list(task.examples) for name, task in comparison.tasks.items()}
        self.scores: Scores = {
            name: (
                np.stack([task.method.values[code] for code in task.examples], axis=1),
                np.stack([task.baseline.values[code] for code in task.examples], axis=1),
            )
            for name, task in comparison.tasks.items()
        }
        floor = {(row.task, row.language): row.floor for row in comparison.scores}
        self._floor = {
            name: np.array([floor[name, code] for code in codes]) for name, codes in self._codes.items()
        }
        self._common, self._common_of_method = _example_variances(list(comparison.tasks.values()))
        ends = np.cumsum([0, *map(len, self._codes.values())])
        self._span = {
            name: slice(*span)
            for name, span in zip(self._codes, zip(ends, ends[1:], strict=False), strict=True)
        }
        trained = comparison.trained_languages
        self.languages = tuple(
            code
            for code in dict.fromkeys(code for codes in self._codes.values() for code in codes)
            if code not in trained
        )

    @property
    def seeds(self) -> int:
        """Of the task and method that has fewest."""
        return min(len(part) for both in self.scores.values() for part in both)

    def with_seeds(self, seeds: int, rng: np.random.Generator) -> Scores:
        """The scores with so many seeds of each task and method; those that have more keep them."""
        drawn = {}
        for name, both in self.scores.items():
            size = max(map(len, both))
            dice = rng.standard_normal((2, max(0, seeds), size))
            paired = self._tasks[name].seeds == "paired"
            ours, theirs = (
                _further(values, dice[0 if paired else place]) for place, values in enumerate(both)
            )
            drawn[name] = (ours, theirs)
        return drawn

    def with_languages(self, number: int, rng: np.random.Generator) -> tuple[str, ...]:
        """The zero-shot languages, and further ones drawn from them."""
        further = rng.choice(len(self.languages), size=max(0, number - len(self.languages)))
        return (*self.languages, *(self.languages[place] for place in further))

    def judged(
        self,
        scores: Scores,
        languages: Sequence[str] | None = None,
        *,
        endless: bool = False,
        rng: np.random.Generator | None = None,
        first: bool = True,
    ) -> Rulings:
        """What the verdicts' rules make of a study.

        Args:
            scores: Its scores.
            languages: Its zero-shot languages, which may hold some repeatedly; None for the seen ones.
            endless: Whether the means stand for endlessly many seeds, of which only test examples make one
                unsure.
            rng: Draws what the experiment with finer cuts would give with as many seeds; None for what it
                gave.
            first: Whether the first claim is judged, which takes longest; it is undecided else.
        """
        parts = {name: self._parts(name, *scores[name], endless) for name in scores}
        means = {
            name: np.asarray(sum(part.sign * part.mean for part in of_task))
            for name, of_task in parts.items()
        }
        skilled = {name: self._skilled(name, *scores[name], endless) for name in scores}
        pool = self.languages if languages is None else tuple(languages)
        usable = {
            name: {
                code: float(means[name][place])
                for place, code in enumerate(codes)
                if code in pool and skilled[name][place]
            }
            for name, codes in self._codes.items()
        }
        effects = additive_effects(usable)
        known = tuple(code for code in pool if code in effects and language_row(code).tokens)
        rho, p_value = _with_tokens(known).of([effects[code] for code in known])
        advantage = self._advantage(scores, usable, pool, endless)
        third = low_resources_ruling(advantage, rho, p_value, self._margin)
        cut = tuple(code for code in known if code in self._fertility)
        of_cut = _with_fertility(cut, tuple(self._fertility[code] for code in cut))
        fewest = min(len(part) for both in scores.values() for part in both)
        slope = self._slope if rng is None else self._slope_with(fewest, rng)
        if endless:
            slope = self._slope_of_examples()
        fourth = tokenization_ruling(third, slope, *of_cut.of([effects[code] for code in cut]), self._margin)
        on_par = self._on_par(parts, means, skilled) if first else "undecided"
        return Rulings(on_par, third, fourth)

    def _on_par(
        self,
        parts: Mapping[str, Sequence[_Part]],
        means: Mapping[str, np.ndarray],
        skilled: Mapping[str, np.ndarray],
    ) -> Ruling:
        differences = []
        for name, codes in self._codes.items():
            common = np.maximum(np.diag(self._common)[self._span[name]], 0)
            differences += [
                joined(
                    float(means[name][place]),
                    [float(part.variance[place]) for part in parts[name]],
                    [part.seeds for part in parts[name]],
                    float(common[place]),
                    self._tasks[name].examples[code],
                )
                for place, code in enumerate(codes)
            ]
        sure = [bool(each) for of_task in skilled.values() for each in of_task]
        return on_par_ruling(differences, sure, self._margin)[0]

    def _parts(self, name: str, ours: np.ndarray, theirs: np.ndarray, endless: bool) -> list[_Part]:
        if self._tasks[name].seeds == "paired":
            return [_part(1.0, ours - theirs, endless)]
        return [_part(1.0, ours, endless), _part(-1.0, theirs, endless)]

    def _skilled(self, name: str, ours: np.ndarray, theirs: np.ndarray, endless: bool) -> np.ndarray:
        """Whether one of the two beats what needs no model, `[languages]`."""
        from scipy import special

        found = np.zeros(len(self._codes[name]), dtype=bool)
        examples = np.array(list(self._tasks[name].examples.values()))
        for values, common in zip((ours, theirs), self._common_of_method, strict=True):
            part = _part(1.0, values, endless)
            variance = np.maximum(part.variance + np.maximum(common[self._span[name]], 0), 1e-18)
            df = degrees_of_freedom(part.variance / variance, part.seeds - 1, examples)
            low = part.mean - special.stdtrit(df, (1 + CONFIDENCE) / 2) * np.sqrt(variance)
            found |= low > self._floor[name]
        return found

    def _advantage(
        self,
        scores: Scores,
        usable: Mapping[str, Mapping[str, float]],
        pool: Sequence[str],
        endless: bool,
    ) -> Estimate | None:
        """Mean over tasks of low-resource languages' difference minus that of high-resource ones."""
        weights: dict[str, np.ndarray] = {}
        for name, codes in self._codes.items():
            times = np.array([pool.count(code) if code in usable[name] else 0 for code in codes], float)
            levels = [language_row(code).resource_level for code in codes]
            low = times * np.isin(levels, LOW_RESOURCE)
            high = times * np.isin(levels, HIGH_RESOURCE)
            if low.any() and high.any():
                weights[name] = low / low.sum() - high / high.sum()
        if not weights:
            return None
        value, own, seeds = 0.0, [], []
        whole = np.zeros(len(self._common))
        for name, of_task in weights.items():
            scaled = of_task / len(weights)
            whole[self._span[name]] = scaled
            ours, theirs = (values @ scaled[:, None] for values in scores[name])
            for part in self._parts(name, ours, theirs, endless):
                value += part.sign * float(part.mean[0])
                own.append(float(part.variance[0]))
                seeds.append(part.seeds)
        smallest = min(
            self._tasks[name].examples[code]
            for name, of_task in weights.items()
            for code, weight in zip(self._codes[name], of_task, strict=True)
            if weight
        )
        return joined(value, own, seeds, max(0.0, float(whole @ self._common @ whole)), smallest)

    def _slope_with(self, seeds: int, rng: np.random.Generator) -> Estimate | None:
        """What the experiment would give with so many seeds, drawn around what it gave."""
        slope, had = self._slope, self._slope_seeds
        if slope is None or seeds <= had or had < 2 or slope.seed_stderr is None or slope.stderr is None:
            return slope
        of_seeds = slope.seed_stderr**2
        value = slope.value + rng.standard_normal() * np.sqrt(of_seeds * had * (seeds - had)) / seeds
        df = (slope.seed_df or 1.0) * (seeds - 1) / (had - 1)
        common = max(0.0, slope.stderr**2 - of_seeds)
        return joined(float(value), [of_seeds * had / seeds], [df + 1], common, _MANY)

    def _slope_of_examples(self) -> Estimate | None:
        """What the experiment gave, as if its seeds were endlessly many."""
        slope = self._slope
        if slope is None or slope.seed_stderr is None or slope.stderr is None:
            return slope
        return joined(slope.value, [0.0], [np.inf], max(0.0, slope.stderr**2 - slope.seed_stderr**2), _MANY)


_MANY = 10**6  # examples, where their number makes no difference


def _further(values: np.ndarray, dice: np.ndarray) -> np.ndarray:
    """Scores with further seeds, `[seeds, languages]`, where there are more dice than seeds."""
    seen = len(values)
    more = dice[seen:, :seen]
    mean = values.mean(axis=0)
    return np.concatenate([values, mean + more @ (values - mean) / np.sqrt(seen - 1)])


def _part(sign: float, values: np.ndarray, endless: bool) -> _Part:
    mean = values.mean(axis=0)
    if endless:
        return _Part(sign, mean, np.zeros_like(mean), np.inf)
    return _Part(sign, mean, values.var(axis=0, ddof=1) / len(values), float(len(values)))


def _example_variances(tasks: Sequence[TaskComparison]) -> tuple[np.ndarray, np.ndarray]:
    """Of all tasks' languages: the differences' covariances, and the variances of both methods' scores.

    What seeds and examples do together is not in them, as in statistics.estimate.

    Returns:
        `[cells, cells]` and `[2, cells]`, with the tasks' languages one after the other.
    """
    figures, together, of_methods = [], [], []
    for task in tasks:
        codes = list(task.examples)
        ours, theirs = (
            np.stack([samples.replicates[code] for code in codes], axis=2)  # [samples, seeds, languages]
            for samples in (task.method, task.baseline)
        )
        figures.append(ours.mean(axis=1) - theirs.mean(axis=1))
        parts = [ours - theirs] if task.seeds == "paired" else [ours, theirs]
        together.append(np.sum([_inside(part) for part in parts], axis=0))
        of_methods.append(
            [part.mean(axis=1).var(axis=0, ddof=1) - np.diag(_inside(part)) for part in (ours, theirs)]
        )
    common = np.atleast_2d(np.cov(np.concatenate(figures, axis=1), rowvar=False))
    first = 0
    for block in together:
        here = slice(first, first + len(block))
        common[here, here] -= block
        first += len(block)
    examples = np.array([number for task in tasks for number in task.examples.values()], dtype=float)
    unbiased = np.sqrt(examples / np.maximum(examples - 1, 1))
    common *= np.outer(unbiased, unbiased)
    return common, np.concatenate(of_methods, axis=1) * unbiased**2


def _inside(replicates: np.ndarray) -> np.ndarray:
    """What seeds and examples do together to a mean over seeds, `[languages, languages]`."""
    seeds = replicates.shape[1]
    inside = replicates - replicates.mean(axis=1, keepdims=True)
    total = sum(np.atleast_2d(np.cov(inside[:, seed], rowvar=False)) for seed in range(seeds))
    return np.asarray(total / (seeds - 1) / seeds)


@lru_cache(maxsize=64)
def _with_tokens(codes: tuple[str, ...]) -> RankTest:
    return RankTest(_log_tokens(codes))


@lru_cache(maxsize=64)
def _with_fertility(codes: tuple[str, ...], fertility: tuple[float, ...]) -> RankTest:
    return RankTest(fertility, given=_log_tokens(codes))


def _log_tokens(codes: Sequence[str]) -> np.ndarray:
    return np.log([language_row(code).tokens for code in codes])
