"""How numbers, intervals and differences are written in every table."""

from __future__ import annotations

from xlprompt.evaluation.comparison.compared import Comparison
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


def mean_text(summary: Spread) -> str:
    """Mean and deviation over seeds."""
    return f"{summary.mean:.1f} ± {number_text(summary.deviation, '.1f')}"


def seed_numbers(comparison: Comparison) -> str:
    """The seeds of both methods, or how many where tasks differ."""
    numbers = {task.method_seeds for task in comparison.tasks.values()}
    numbers |= {task.baseline_seeds for task in comparison.tasks.values()}
    if len(numbers) == 1:
        return ", ".join(map(str, numbers.pop()))
    counts = sorted({len(each) for each in numbers})
    return f"{counts[0]} to {counts[-1]} of them" if len(counts) > 1 else f"{counts[0]} of them"
