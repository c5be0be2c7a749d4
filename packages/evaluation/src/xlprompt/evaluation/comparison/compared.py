"""What two methods compared come to: the rows of a study's tables, and the samples that they are made of.

compare.py makes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from xlprompt.data.languages import language as language_row
from xlprompt.evaluation.comparison.correlation import RankCorrelation, rank_correlation
from xlprompt.evaluation.comparison.rulings import LEVEL as LEVEL
from xlprompt.evaluation.comparison.statistics import (
    CONFIDENCE,
    Estimate,
    Part,
    Spread,
    estimate,
    without_infinity,
)
from xlprompt.evaluation.scores.metrics import BOOTSTRAP_SEED

Outcome = Literal["win", "tie", "loss"]
Seeds = Literal["independent", "paired"]


@dataclass(frozen=True)
class MethodScore:
    """One method's score in one language.

    Attributes:
        task: Task name.
        language: Language code.
        method: Method name.
        values: Score of each seed in percent, in the order of the seeds.
        spread: Mean, deviation and t-interval over seeds, the test set taken as it is.
        estimate: The mean with its uncertainty over seeds and examples.
        floor: Score of what needs no model, as in `Counts`.
        skilled: Whether the interval of `estimate` lies above `floor`; None where there is no interval.
        collapsed: Seeds whose predictions collapsed onto one label (metrics.label_shares).
    """

    task: str
    language: str
    method: str
    values: tuple[float, ...]
    spread: Spread
    estimate: Estimate
    floor: float
    skilled: bool | None
    collapsed: int


@dataclass(frozen=True)
class Difference:
    """One language's difference, method minus baseline, in percentage points.

    Attributes:
        task: Task name.
        language: Language code.
        method: Mean score of the method.
        baseline: Mean score of the baseline.
        estimate: The difference over seeds and examples; its interval and p-value are those of this language
            alone.
        p_adjusted: Holm's p-value over the task's languages, from `estimate.p_far`; None where there is none.
        outcome: "win" or "loss" of the method where `p_adjusted` is at most LEVEL, else "tie". A tie is no
            proof of equality: the interval says how large a difference may still be. None where nothing is
            tested.
    """

    task: str
    language: str
    method: float
    baseline: float
    estimate: Estimate
    p_adjusted: float | None
    outcome: Outcome | None

    @property
    def is_significant(self) -> bool:
        """Whether one of the methods is shown to be better."""
        return self.outcome in ("win", "loss")


def differences_by_task(rows: Iterable[Difference]) -> dict[str, dict[str, float]]:
    """The differences themselves, in points, by task and language."""
    by_task: dict[str, dict[str, float]] = {}
    for row in rows:
        by_task.setdefault(row.task, {})[row.language] = row.estimate.value
    return by_task


@dataclass(frozen=True)
class Tally:
    """How often the method won in a task, by corrected tests, and how often it was merely ahead.

    Attributes:
        task: Task name.
        wins: Languages in which it is better.
        ties: Languages that were tested, and in which neither is shown to be better.
        losses: Languages in which the baseline is better.
        ahead: Languages in which its mean is higher.
        tested: Whether any language was tested, which takes two seeds of both methods.
    """

    task: str
    wins: int
    ties: int
    losses: int
    ahead: int
    tested: bool


@dataclass(frozen=True)
class GroupDifference:
    """Mean difference over a group of languages, each counting once.

    Attributes:
        task: Task name.
        grouping: "all", "zero-shot", "resource level", "family" or "script".
        group: Such as "low", "Uralic" or "Cyrillic"; for "all" and "zero-shot" the same word again.
        languages: Codes of the group's languages; the training language is in none but "all".
        method: Mean score of the method.
        baseline: Mean score of the baseline.
        estimate: The mean difference over seeds and examples, for these languages: others would differ.
    """

    task: str
    grouping: str
    group: str
    languages: tuple[str, ...]
    method: float
    baseline: float
    estimate: Estimate


@dataclass(frozen=True)
class TokensCorrelation:
    """Rank correlation, in one task, of the difference with the logarithm of pre-training tokens.

    It is over zero-shot languages that XGLM, whose tokens these are, saw in pre-training.
    """

    task: str
    correlation: RankCorrelation


@dataclass(frozen=True)
class Samples:
    """What further figures of a task can be computed from (`TaskComparison.contrast`).

    Attributes:
        values: Scores by language, `[seeds]`, of the method.
        replicates: The same on resampled examples, `[samples, seeds]`.
    """

    values: Mapping[str, np.ndarray]
    replicates: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class TaskComparison:
    """The scores of one task, from which differences over any weighting of languages follow.

    Attributes:
        task: Task name.
        metric: The metric compared.
        split: "validation" or "test".
        seeds: How the two methods' seeds are taken.
        method_seeds: Seed numbers of the method.
        baseline_seeds: Seed numbers of the baseline.
        examples: Language codes to numbers of examples.
        method: Samples of the method.
        baseline: Samples of the baseline.
    """

    task: str
    metric: str
    split: str
    seeds: Seeds
    method_seeds: tuple[int, ...]
    baseline_seeds: tuple[int, ...]
    examples: Mapping[str, int]
    method: Samples
    baseline: Samples

    def parts(self, weights: Mapping[str, float], *, scale: float = 1.0) -> list[Part]:
        """The parts of a weighted sum of differences, for statistics.estimate.

        Args:
            weights: Language codes to weights.
            scale: Factor on all weights.
        """

        def total(samples: Samples) -> tuple[np.ndarray, np.ndarray]:
            values = sum(weight * samples.values[code] for code, weight in weights.items())
            replicates = sum(weight * samples.replicates[code] for code, weight in weights.items())
            return np.asarray(values), np.asarray(replicates)

        ours, theirs = total(self.method), total(self.baseline)
        if self.seeds == "paired":
            return [Part(scale, ours[0] - theirs[0], ours[1] - theirs[1])]
        return [Part(scale, *ours), Part(-scale, *theirs)]

    def by_seed(self) -> dict[str, np.ndarray]:
        """The method minus the baseline by language, `[seeds]`, in points; of paired seeds."""
        return {code: self.method.values[code] - self.baseline.values[code] for code in self.examples}

    def smallest(self, languages: Sequence[str]) -> int:
        """Number of examples of the language that has fewest."""
        return min(self.examples[code] for code in languages)

    def contrast(self, weights: Mapping[str, float]) -> Estimate:
        """Weighted sum over languages of the differences, such as one group's mean minus another's."""
        return estimate(self.parts(weights), self.smallest(list(weights)))


@dataclass(frozen=True)
class Comparison:
    """A study's two methods compared.

    Attributes:
        method: The method whose wins are counted.
        baseline: The other one.
        train_language: The language trained on.
        also_trained_on: Further languages trained on; no zero-shot figure counts any of them.
        tasks: Task names to samples, for further figures.
        scores: By task, language and method.
        differences: By task and language.
        tallies: By task.
        groups: By task, grouping and group.
        seed: Of resamples and permutations.
    """

    method: str
    baseline: str
    train_language: str
    tasks: Mapping[str, TaskComparison]
    scores: tuple[MethodScore, ...]
    differences: tuple[Difference, ...]
    tallies: tuple[Tally, ...]
    groups: tuple[GroupDifference, ...]
    also_trained_on: tuple[str, ...] = ()
    seed: int = BOOTSTRAP_SEED

    @property
    def trained_languages(self) -> tuple[str, ...]:
        """All languages trained on."""
        return (self.train_language, *self.also_trained_on)

    @property
    def tests_languages(self) -> bool:
        """Whether any language's difference has a p-value, which takes two seeds of both methods."""
        return any(row.p_adjusted is not None for row in self.differences)

    @cached_property
    def correlations(self) -> tuple[TokensCorrelation, ...]:
        """By task the differences against pre-training tokens, computed where somebody asks."""
        return tuple(self._correlation(name) for name in self.tasks)

    def _correlation(self, task: str) -> TokensCorrelation:
        rows = [
            row
            for row in self.differences
            if row.task == task
            and row.language not in self.trained_languages
            and language_row(row.language).tokens
        ]
        tokens = np.log([language_row(row.language).tokens for row in rows])
        values = [row.estimate.value for row in rows]
        return TokensCorrelation(task, rank_correlation(tokens, values, seed=self.seed))

    def zero_shot(self, task: str) -> GroupDifference | None:
        """A task's mean over the languages that were not trained on; None where there is none."""
        rows = (row for row in self.groups if (row.task, row.grouping) == (task, "zero-shot"))
        return next(rows, None)

    def zero_shot_by_seed(self, task: str, method: str) -> np.ndarray | None:
        """A method's mean over the languages not trained on, `[seeds]`; None where there is none."""
        values = [
            row.values
            for row in self.scores
            if (row.task, row.method) == (task, method) and row.language not in self.trained_languages
        ]
        return np.mean(values, axis=0) if values else None

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold: the settings, and each table as a list of flat records."""
        return {
            "method": self.method,
            "baseline": self.baseline,
            "train_language": self.train_language,
            "also_trained_on": list(self.also_trained_on),
            "confidence": CONFIDENCE,
            "tasks": [
                {
                    "task": task.task,
                    "metric": task.metric,
                    "split": task.split,
                    "seeds": task.seeds,
                    "method_seeds": list(task.method_seeds),
                    "baseline_seeds": list(task.baseline_seeds),
                    "examples": dict(task.examples),
                }
                for task in self.tasks.values()
            ],
            "scores": [_flat(row) for row in self.scores],
            "differences": [_flat(row) for row in self.differences],
            "tallies": [_flat(row) for row in self.tallies],
            "groups": [_flat(row) for row in self.groups],
            "correlations": [_flat(row) for row in self.correlations],
        }


def _flat(row: Any) -> dict[str, Any]:
    """A dataclass as one level of keys: the fields of a nested one stand beside the others.

    The mean over seeds is `spread_mean` beside the estimate's `value`, and so on, so that no key is lost.
    """
    flat: dict[str, Any] = {}
    for key, value in asdict(row).items():
        if isinstance(value, dict):
            prefix = "spread_" if key == "spread" else ""
            flat |= {f"{prefix}{name}": without_infinity(nested) for name, nested in value.items()}
        else:
            flat[key] = without_infinity(value)
    return flat
