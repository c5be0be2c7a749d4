"""How numbers, intervals and differences are written in every table."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from xlprompt.evaluation.comparison.compared import Comparison, Tally
from xlprompt.evaluation.comparison.statistics import Estimate, Spread

ABSENT = "–"


def number_text(value: float | None, form: str) -> str:
    """The number, or a dash where there is none."""
    return ABSENT if value is None else f"{value:{form}}"


def interval(low: float | None, high: float | None, form: str) -> str:
    """Both ends in brackets, or a dash where there is no interval."""
    return ABSENT if low is None or high is None else f"[{low:{form}}, {high:{form}}]"


def difference(estimate: Estimate) -> tuple[str, str]:
    """Points with their sign, and the interval."""
    return f"{estimate.value:+z.1f}", interval(estimate.low, estimate.high, "+z.1f")


def seeds_of(comparison: Comparison) -> set[tuple[int, ...]]:
    """The seeds of both methods in every task."""
    tasks = comparison.tasks.values()
    return {seeds for task in tasks for seeds in (task.method_seeds, task.baseline_seeds)}


def seed_numbers(seeds: Collection[tuple[int, ...]]) -> str:
    """The seeds, given those of each method and task, or how many where they differ."""
    different = set(seeds)
    if len(different) == 1:
        return ", ".join(map(str, different.pop()))
    counts = sorted({len(each) for each in different})
    return f"{counts[0]} to {counts[-1]} of them" if len(counts) > 1 else f"{counts[0]} of them"


def of_one_seed(seeds: Collection[tuple[int, ...]]) -> bool:
    """Tell whether each method and task has a single seed, given the seeds of each."""
    return all(len(each) == 1 for each in seeds)


def over_seeds(seeds: Collection[tuple[int, ...]]) -> str:
    """What a table's scores are, given the seeds of each method and task.

    Returns:
        `mean ± standard deviation over seeds (0, 1, 2)`, or `of one seed (0)`.
    """
    if of_one_seed(seeds):
        return f"of one seed ({', '.join(map(str, sorted({seed for (seed,) in seeds})))})"
    return f"mean ± standard deviation over seeds ({seed_numbers(seeds)})"


def error_bars(spreads: Iterable[Spread | None]) -> str:
    """What an axis says of its error bars, where a figure has any."""
    return ", ± sd over seeds" if any(each and each.deviation is not None for each in spreads) else ""


def tested_languages(tally: Tally, number: int) -> str:
    """How many languages came out so in a task's tests; absent where one seed leaves nothing to test."""
    return str(number) if tally.tested else ABSENT
