"""Studies whose truth is known: runs of two methods that answer at random around given scores."""

from collections.abc import Callable, Mapping

import numpy as np

from xlprompt.data import STUDY_LANGUAGES, language
from xlprompt.evaluation import TaskRuns
from xlprompt.evaluation.comparison.counts import Counts

XNLI = ("en", "ru", "zh", "de", "es", "fr", "el", "tr", "ar", "vi", "th", "bg", "hi", "ur", "sw")
POS = tuple(code for code in STUDY_LANGUAGES if code != "sw")


def make_runs(
    gap: Callable[[str], float] | float = 0.0,
    *,
    task: str = "xnli",
    languages: tuple[str, ...] = XNLI,
    seeds: tuple[int, ...] = (0, 1, 2),
    baseline_seeds: tuple[int, ...] | None = None,
    examples: int = 1000,
    deviation: float = 0.5,
    score: float = 60.0,
    majority: float = 34.0,
    alike: bool = False,
    draw: int = 0,
) -> Mapping[str, TaskRuns]:
    """A task's runs, in which prompt tuning is better than fine-tuning by `gap` points in a language.

    `deviation` is that of a run's effect in one language, in points; examples differ in how easy they are.
    Runs that are `alike` fail on the same examples, so that few examples give precise differences.
    """
    rng = np.random.default_rng([draw, examples, len(languages)])
    numbers = seeds if baseline_seeds is None else baseline_seeds
    runs = tuple([("prompt", seed) for seed in seeds] + [("finetune", seed) for seed in numbers])
    counts = {}
    for code in languages:
        ahead = gap(code) if callable(gap) else gap
        easy = rng.uniform(-20, 20, examples)
        chances = [
            score + ahead * (method == "prompt") + rng.normal(0, deviation) + easy for method, _ in runs
        ]
        dice = rng.random((1 if alike else len(runs), examples))
        right = (100 * dice < np.array(chances)).astype(float)
        counts[code] = Counts(right, np.ones_like(right), majority)
    return {task: TaskRuns(task, "accuracy", "test", runs, counts)}


def by_resources(low: float, high: float) -> Callable[[str], float]:
    """A gap of `low` points in languages of low or extremely low resources, of `high` in the others."""
    return lambda code: low if "low" in language(code).resource_level else high
