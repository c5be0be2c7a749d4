"""Two methods compared over tasks, languages and seeds: the tables of a study's report, as data.

    runs = load_runs({("xnli", "prompt", 0): {"de": "….jsonl.gz", …}, ("xnli", "finetune", 0): {…}, …})
    study = compare(runs)
    study.scores        # per task, language and method: mean, deviation and t-interval over seeds
    study.differences   # per task and language: prompt minus fine-tuning, interval, p, Holm's p, win or loss
    study.tallies       # per task: wins, ties, losses
    study.groups        # per task: mean difference over resource levels, families, scripts, all, zero-shot
    study.correlations  # per task: difference against pre-training tokens
    study.to_dict()     # all of it as flat records, for JSON or pandas.DataFrame(…["differences"])

How intervals and p-values come about is said in statistics.py, and who wins when in `Difference`. The paper's
claims are judged in verdicts.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from xlprompt.data.languages import language as language_row
from xlprompt.evaluation.comparison.counts import TaskRuns
from xlprompt.evaluation.comparison.statistics import (
    CONFIDENCE,
    SAMPLES,
    Estimate,
    Part,
    RankCorrelation,
    Spread,
    estimate,
    holm,
    rank_correlation,
    resample,
    spread,
    without_infinity,
)
from xlprompt.evaluation.scores.metrics import BOOTSTRAP_SEED

LEVEL = 0.05
"""An adjusted p-value up to here makes a win or a loss."""

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
        majority: Score of always giving the commonest gold label; 0 for entity F1.
        skilled: Whether the interval of `estimate` lies above `majority`; None where there is no interval.
        collapsed: Seeds whose predictions collapsed onto one label (metrics.label_shares).
    """

    task: str
    language: str
    method: str
    values: tuple[float, ...]
    spread: Spread
    estimate: Estimate
    majority: float
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
            proof of equality: the interval says how large a difference may still be.
    """

    task: str
    language: str
    method: float
    baseline: float
    estimate: Estimate
    p_adjusted: float | None
    outcome: Outcome


def differences_by_task(rows: Iterable[Difference]) -> dict[str, dict[str, float]]:
    """The differences themselves, in points, by task and language."""
    by_task: dict[str, dict[str, float]] = {}
    for row in rows:
        by_task.setdefault(row.task, {})[row.language] = row.estimate.value
    return by_task


@dataclass(frozen=True)
class Tally:
    """How often the method won in a task, by corrected tests, and how often it was merely ahead."""

    task: str
    wins: int
    ties: int
    losses: int
    ahead: int


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
        correlations: By task.
    """

    method: str
    baseline: str
    train_language: str
    tasks: Mapping[str, TaskComparison]
    scores: tuple[MethodScore, ...]
    differences: tuple[Difference, ...]
    tallies: tuple[Tally, ...]
    groups: tuple[GroupDifference, ...]
    correlations: tuple[TokensCorrelation, ...]
    also_trained_on: tuple[str, ...] = ()

    @property
    def trained_languages(self) -> tuple[str, ...]:
        """All languages trained on."""
        return (self.train_language, *self.also_trained_on)

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


def compare(
    runs: Mapping[str, TaskRuns],
    *,
    method: str = "prompt",
    baseline: str = "finetune",
    train_language: str = "en",
    also_trained_on: Sequence[str] = (),
    seeds: Seeds = "independent",
    samples: int = SAMPLES,
    seed: int = BOOTSTRAP_SEED,
) -> Comparison:
    """Compare two methods by the stored predictions of their runs.

    Args:
        runs: From runs.load_runs.
        method: The method whose wins are counted.
        baseline: The method it is compared with.
        train_language: The language trained on.
        also_trained_on: Further languages trained on.
        seeds: How runs of the same seed number belong together. "independent": the effect of seed 1 on
            prompts says nothing about its effect on fine-tuning. Runs of one number share the order of the
            data; what that makes them share makes these intervals too wide, never too narrow, and with few
            seeds they are still the shorter ones, having twice the degrees of freedom. "paired": differences
            are taken seed by seed, which is exact for any dependence; it needs the same seed numbers.
        samples: Resamples of the examples.
        seed: Of the resamples; the same runs give the same figures.

    Raises:
        ValueError: A task lacks runs of a method, or paired runs have different seed numbers.
        DataError: A language is not in the language table.
    """
    tasks = {
        name: _task_comparison(of_task, method, baseline, seeds, samples, seed)
        for name, of_task in runs.items()
    }
    scores: list[MethodScore] = []
    differences: list[Difference] = []
    trained = (train_language, *also_trained_on)
    for name, task in tasks.items():
        for code in task.examples:
            for which, of_method in ((method, task.method), (baseline, task.baseline)):
                counts = runs[name].languages[code]
                collapsed = sum(counts.collapsed[run] for run in runs[name].of(which) if counts.collapsed)
                scores.append(_method_score(task, code, which, of_method, counts.majority, collapsed))
        differences += _differences(task)
    return Comparison(
        method,
        baseline,
        train_language,
        tasks,
        tuple(scores),
        tuple(differences),
        tuple(_tally(name, differences) for name in tasks),
        tuple(group for task in tasks.values() for group in _groups(task, trained)),
        tuple(_tokens_correlation(name, differences, trained, seed) for name in tasks),
        tuple(also_trained_on),
    )


def _task_comparison(
    runs: TaskRuns, method: str, baseline: str, seeds: Seeds, samples: int, seed: int
) -> TaskComparison:
    ours, theirs = runs.seeds(method), runs.seeds(baseline)
    if seeds == "paired" and ours != theirs:
        raise ValueError(
            f"Paired seeds need the same numbers in both methods; task {runs.task!r} has {list(ours)} of "
            f"{method} and {list(theirs)} of {baseline}. Train the missing ones, or take seeds as "
            "independent."
        )
    values = {code: counts.scores for code, counts in runs.languages.items()}
    replicates = _replicates(runs, samples, seed)

    def of(name: str) -> Samples:
        places = runs.of(name)
        return Samples(
            {code: values[code][places] for code in values},
            {code: replicates[code][:, places] for code in values},
        )

    return TaskComparison(
        runs.task,
        runs.metric,
        runs.split,
        seeds,
        ours,
        theirs,
        {code: counts.examples for code, counts in runs.languages.items()},
        of(method),
        of(baseline),
    )


def _replicates(runs: TaskRuns, samples: int, seed: int) -> dict[str, np.ndarray]:
    """Resampled scores by language, `[samples, runs]`; languages of one size share the draws and the work."""
    by_size: dict[int, list[str]] = {}
    for code, counts in runs.languages.items():
        by_size.setdefault(counts.examples, []).append(code)
    number = len(runs.runs)
    replicates = {}
    for codes in by_size.values():
        together = resample(
            np.concatenate([runs.languages[code].numerators for code in codes]),
            np.concatenate([runs.languages[code].denominators for code in codes]),
            samples=samples,
            seed=seed,
        )
        for place, code in enumerate(codes):
            replicates[code] = together[:, place * number : (place + 1) * number]
    return replicates


def _method_score(
    task: TaskComparison, code: str, method: str, samples: Samples, majority: float, collapsed: int
) -> MethodScore:
    values = samples.values[code]
    mean = estimate([Part(1.0, values, samples.replicates[code])], task.examples[code])
    return MethodScore(
        task.task,
        code,
        method,
        tuple(float(value) for value in values),
        spread(values),
        mean,
        majority,
        None if mean.low is None else mean.low > majority,
        collapsed,
    )


def _differences(task: TaskComparison) -> list[Difference]:
    estimates = {code: task.contrast({code: 1.0}) for code in task.examples}
    far = {code: each.p_far() for code, each in estimates.items()}
    p_values = {code: p_value for code, p_value in far.items() if p_value is not None}
    adjusted = dict(zip(p_values, holm(list(p_values.values())).tolist(), strict=True))
    rows = []
    for code, each in estimates.items():
        p_adjusted = adjusted.get(code)
        outcome: Outcome = "tie"
        if p_adjusted is not None and p_adjusted <= LEVEL:
            outcome = "win" if each.value > 0 else "loss"
        ours, theirs = task.method.values[code].mean(), task.baseline.values[code].mean()
        rows.append(Difference(task.task, code, float(ours), float(theirs), each, p_adjusted, outcome))
    return rows


def _tally(name: str, differences: Sequence[Difference]) -> Tally:
    rows = [row for row in differences if row.task == name]
    outcomes = [row.outcome for row in rows]
    ahead = sum(row.estimate.value > 0 for row in rows)
    return Tally(name, outcomes.count("win"), outcomes.count("tie"), outcomes.count("loss"), ahead)


def _groups(task: TaskComparison, trained: Sequence[str]) -> list[GroupDifference]:
    zero_shot = [code for code in task.examples if code not in trained]
    groups: dict[tuple[str, str], list[str]] = {("all", "all"): list(task.examples)}
    if zero_shot:
        groups["zero-shot", "zero-shot"] = zero_shot
    for grouping in ("resource level", "family", "script"):
        for code in zero_shot:
            group = getattr(language_row(code), grouping.replace(" ", "_"))
            groups.setdefault((grouping, group), []).append(code)
    rows = []
    for (grouping, group), codes in groups.items():
        ours, theirs = (
            float(np.mean([samples.values[code].mean() for code in codes]))
            for samples in (task.method, task.baseline)
        )
        difference = task.contrast(dict.fromkeys(codes, 1 / len(codes)))
        rows.append(GroupDifference(task.task, grouping, group, tuple(codes), ours, theirs, difference))
    return rows


def _tokens_correlation(
    name: str, differences: Sequence[Difference], trained: Sequence[str], seed: int
) -> TokensCorrelation:
    rows = [
        row
        for row in differences
        if row.task == name and row.language not in trained and language_row(row.language).tokens
    ]
    tokens = np.log([language_row(row.language).tokens for row in rows])
    return TokensCorrelation(name, rank_correlation(tokens, [row.estimate.value for row in rows], seed=seed))


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
