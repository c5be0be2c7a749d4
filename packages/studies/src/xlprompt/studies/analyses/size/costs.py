"""What methods take with each model of a family: time, memory and trained share, means over runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean


@dataclass(frozen=True)
class RunCost:
    """What one run took; None where the store does not say it."""

    task: str
    method: str
    model: str
    seconds: float | None
    memory_mib: float | None
    trained_percent: float | None


@dataclass(frozen=True)
class SizeCost:
    """What a method takes with one model, mean over tasks and seeds.

    Attributes:
        method: Method name.
        model: The backbone.
        parameters: The backbone's.
        seconds: Of training.
        memory_mib: Peak memory.
        trained_percent: What trains in percent of the backbone's parameters, the largest of a task.
    """

    method: str
    model: str
    parameters: int
    seconds: float | None
    memory_mib: float | None
    trained_percent: float | None


def mean_costs(
    costs: Sequence[RunCost], models: Mapping[str, int], methods: Sequence[str]
) -> tuple[tuple[str, ...], tuple[SizeCost, ...]]:
    """Means over the tasks that have every method and model that any task has, after the names of these.

    Args:
        costs: Of single runs.
        models: By name, their parameters, in the order of the rows.
        methods: Method names, likewise.
    """
    cells: dict[str, set[tuple[str, str]]] = {}
    for cost in costs:
        cells.setdefault(cost.task, set()).add((cost.method, cost.model))
    everything = set().union(*cells.values())
    tasks = tuple(task for task, found in cells.items() if found == everything)
    rows = []
    for model, parameters in models.items():
        for method in methods:
            runs = [row for row in costs if (row.method, row.model) == (method, model) and row.task in tasks]
            if runs:
                shares = [row.trained_percent for row in runs if row.trained_percent is not None]
                rows.append(
                    SizeCost(
                        method,
                        model,
                        parameters,
                        _mean(row.seconds for row in runs),
                        _mean(row.memory_mib for row in runs),
                        max(shares, default=None),
                    )
                )
    return tasks, tuple(rows)


def _mean(values: Iterable[float | None]) -> float | None:
    """None where one is missing: a mean over some of the runs is of other runs."""
    known = list(values)
    found = [value for value in known if value is not None]
    return fmean(found) if found and len(found) == len(known) else None
