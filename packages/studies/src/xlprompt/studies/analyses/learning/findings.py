"""Steps to a share of the final score, falls, and spread over seeds, by language: numbers without text.

All of it is of small samples of the test sets. So a single language's figures are rough, and the zero-shot
mean's are better. Intervals are over seeds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from xlprompt.evaluation.comparison.learning import LanguageCurves, falls_of, steps_to
from xlprompt.evaluation.comparison.statistics import Estimate, Part, Spread, estimate, spread


@dataclass(frozen=True)
class LanguageLearning:
    """One language over the seeds of a task and method.

    Attributes:
        language: Its code.
        final: The last score, in percent.
        steps: First step at which 90 % of the last score is reached.
        falls: Noticeable falls a run, while the training language does not fall.
        deepest: Points below the highest score before, where that is most.
        lasting: Runs that end noticeably below an earlier score.
        over_seeds: Standard deviation over seeds, in points, mean over the steps; None for one seed.
    """

    language: str
    final: Spread
    steps: Spread
    falls: float
    deepest: Spread
    lasting: int
    over_seeds: float | None


@dataclass(frozen=True)
class Learning:
    """A task and method.

    Attributes:
        task: Task name.
        method: Method name.
        metric: The metric that the task is judged by.
        trained: Languages trained on; the first one chose the checkpoint.
        seeds: Rising.
        steps: Those that all runs have scores at.
        examples: Of a language's sample, at most.
        languages: By language, the trained ones first.
        zero_shot: Mean over the others at each step, over seeds.
        english: The first trained language at each step, over seeds.
        by_language: Scores at each step, means over seeds.
        quantities: Values by seed of what methods are compared by, under the names of `QUANTITIES`.
    """

    task: str
    method: str
    metric: str
    trained: tuple[str, ...]
    seeds: tuple[int, ...]
    steps: tuple[int, ...]
    examples: int
    languages: tuple[LanguageLearning, ...]
    zero_shot: tuple[Spread, ...]
    english: tuple[Spread, ...]
    by_language: Mapping[str, tuple[float, ...]]
    quantities: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True)
class Contrast:
    """One method minus another in a quantity, with Welch's interval over seeds."""

    task: str
    quantity: str
    method: str
    baseline: str
    difference: Estimate


STEPS_TRAINED = "steps to 90 %, trained"
STEPS_ZERO_SHOT = "steps to 90 %, zero-shot mean"
FALLS = "falls a run and language"
DEEPEST = "deepest fall, mean over languages"
QUANTITIES = (STEPS_TRAINED, STEPS_ZERO_SHOT, FALLS, DEEPEST)


def learning_of(
    task: str, method: str, metric: str, trained: Sequence[str], curves: Mapping[int, LanguageCurves]
) -> Learning | None:
    """Sum up the seeds of a task and method.

    Args:
        task: Task name.
        method: Method name.
        metric: The metric that the scores are of.
        trained: Languages trained on, the one that chose the checkpoint first.
        curves: By seed. Languages and steps that all of them have count.

    Returns:
        None where the trained language or all others are missing, or there are no two steps.
    """
    seeds = tuple(sorted(curves))
    runs = [curves[seed] for seed in seeds]
    codes = [code for code in runs[0].scores if all(code in run.scores for run in runs)]
    steps = sorted(set.intersection(*(set(run.steps) for run in runs)))
    others = [code for code in codes if code not in trained]
    if trained[0] not in codes or not others or len(steps) < 2:
        return None
    shared = [_at(run, codes, steps) for run in runs]
    table = {code: np.array([run.scores[code] for run in shared]) for code in codes}  # [seeds, steps]
    means = [run.mean(trained) for run in shared]
    falls = {code: [falls_of(run, code, trained[0]) for run in shared] for code in codes}
    ordered = [code for code in codes if code in trained] + others
    quantities: dict[str, list[float]] = {
        STEPS_TRAINED: [steps_to(steps, run.scores[trained[0]]) for run in shared],
        STEPS_ZERO_SHOT: [steps_to(steps, mean) for mean in means],
        FALLS: [float(np.mean([falls[code][place].number for code in others])) for place in range(len(runs))],
        DEEPEST: [
            float(np.mean([falls[code][place].deepest for code in others])) for place in range(len(runs))
        ],
    }
    return Learning(
        task,
        method,
        metric,
        tuple(trained),
        seeds,
        tuple(steps),
        max(run.examples for run in runs),
        tuple(
            LanguageLearning(
                code,
                spread(table[code][:, -1]),
                spread([steps_to(steps, scores) for scores in table[code]]),
                float(np.mean([each.number for each in falls[code]])),
                spread([each.deepest for each in falls[code]]),
                sum(each.is_lasting for each in falls[code]),
                float(table[code].std(axis=0, ddof=1).mean()) if len(runs) > 1 else None,
            )
            for code in ordered
        ),
        tuple(map(spread, zip(*means, strict=True))),
        tuple(map(spread, table[trained[0]].T)),
        {code: tuple(table[code].mean(axis=0)) for code in ordered},
        {name: tuple(map(float, values)) for name, values in quantities.items()},
    )


def contrast(ours: Learning, theirs: Learning) -> list[Contrast]:
    """Two methods on a task, compared in every quantity; their seeds are independent of each other."""
    return [
        Contrast(ours.task, name, ours.method, theirs.method, difference_of(ours.quantities[name], values))
        for name, values in theirs.quantities.items()
    ]


def difference_of(ours: Sequence[float], theirs: Sequence[float]) -> Estimate:
    """Difference of two means over seeds, with Welch's interval; none where one has a single seed."""
    parts = [
        Part(weight, np.asarray(values, dtype=float), np.tile(np.asarray(values, dtype=float), (2, 1)))
        for weight, values in ((1.0, ours), (-1.0, theirs))
    ]
    return estimate(parts, examples=2)  # which are as they are: all replicates are alike


def _at(run: LanguageCurves, codes: Sequence[str], steps: Sequence[int]) -> LanguageCurves:
    """A run at some of its steps, in some of its languages."""
    places = [run.steps.index(step) for step in steps]
    scores = {code: tuple(run.scores[code][place] for place in places) for code in codes}
    return LanguageCurves(tuple(steps), scores, run.examples)
