"""What a model's size does to the difference between two methods: slopes over the doublings of parameters.

All models of a family answer the same test examples. A slope is that of the least-squares line through the
differences of the zero-shot mean over log2 of the parameters, in points a doubling. It is a weighted sum of
scores, so its interval comes about as that of any figure (evaluation/comparison/statistics.py): seeds and
examples are uncertain. The models are as they are: each size was pretrained once, and what another
pretraining would change is in no interval. A line is a summary; the differences stand beside it.

**The rule**, fixed before any run of another size was looked at. A size counts in a task where one of the two
methods beats what needs no model (scores/floors.py) in the zero-shot mean: where neither does, the difference
is that of two guesses. A method *gains* with size where its slope is above 0 and significant at 5 %, and
stays above 0 whichever size is left out, so that no single pretrained model decides; it *loses* where the
same holds below 0; anything else is *undecided*, and so are fewer than three sizes. Over tasks, p-values are
Holm's, one family of tests for each method; they are those for far tails (`Estimate.p_far`). The mean over
tasks is a test of its own, with the p-value of its interval.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import fmean
from typing import Any, Literal

from xlprompt.evaluation.comparison.counts import TaskRuns
from xlprompt.evaluation.comparison.rulings import LEVEL
from xlprompt.evaluation.comparison.statistics import Estimate, estimate, holm, without_infinity
from xlprompt.studies.analyses.size.costs import RunCost, SizeCost, mean_costs
from xlprompt.studies.analyses.size.scored import SizeDifference, SizeScore, TaskSizes

ALL = "all"
"""In place of a task: the mean over all of them."""

Ruling = Literal["gains", "loses", "undecided"]


@dataclass(frozen=True)
class SizeSlope:
    """What doubling the parameters changes in a method's difference from the baseline.

    Attributes:
        task: Task name, or ALL.
        method: Method name.
        sizes: How many models count; for ALL the fewest of a task.
        slope: In points a doubling.
        p_adjusted: Holm's over tasks, of ALL as it is; None where there is no interval.
        without_one: Least and largest slope where any one model is left out; None with fewer than three.
        ruling: What the module's rule says.
    """

    task: str
    method: str
    sizes: int
    slope: Estimate
    p_adjusted: float | None
    without_one: tuple[float, float] | None
    ruling: Ruling


@dataclass(frozen=True)
class SizeFindings:
    """A family of models.

    Attributes:
        models: By name, their parameters, rising.
        methods: What is compared with the baseline.
        baseline: Method name.
        metrics: By task, what is scored.
        seeds: By task, the fewest and the most seeds of a method and model.
        scores: By task, model and method.
        differences: By task, method and model.
        slopes: By method and task, ALL last where there are several.
        costs: By model and method, over `cost_tasks`.
        cost_tasks: Tasks that have runs of every method and model.
    """

    models: Mapping[str, int]
    methods: tuple[str, ...]
    baseline: str
    metrics: Mapping[str, str]
    seeds: Mapping[str, tuple[int, int]]
    scores: tuple[SizeScore, ...]
    differences: tuple[SizeDifference, ...]
    slopes: tuple[SizeSlope, ...]
    costs: tuple[SizeCost, ...]
    cost_tasks: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        values: dict[str, Any] = without_infinity(asdict(self))
        return values


def compare_sizes(
    runs: Mapping[str, TaskRuns],
    models: Mapping[str, int],
    methods: Sequence[str],
    *,
    baseline: str = "finetune",
    trained: Mapping[str, Sequence[str]] | None = None,
    costs: Sequence[RunCost] = (),
) -> SizeFindings:
    """Scores, differences and slopes of a family of models.

    Args:
        runs: From runs.load_runs, with methods named by `method_with`. A task may lack models and methods.
        models: By name, their parameters.
        methods: What is compared with the baseline.
        baseline: Method name.
        trained: By task, the languages trained on, the one that chose the checkpoint first; English by
            default.
        costs: Of single runs.

    Raises:
        ValueError: A task was scored in no language that was not trained on.
    """
    ordered = dict(sorted(models.items(), key=lambda item: item[1]))
    tables = [
        TaskSizes.of(of_task, ordered, (*methods, baseline), (trained or {}).get(name, ("en",)))
        for name, of_task in runs.items()
    ]
    differences = tuple(
        row for table in tables for method in methods for row in table.differences(method, baseline)
    )
    slopes = [row for method in methods for row in _slopes(tables, differences, method, baseline)]
    tasks, rows = mean_costs(costs, ordered, (*methods, baseline))
    return SizeFindings(
        ordered,
        tuple(methods),
        baseline,
        {table.runs.task: table.runs.metric for table in tables},
        {table.runs.task: table.seeds() for table in tables},
        tuple(row for table in tables for row in table.scores()),
        differences,
        tuple(slopes),
        rows,
        tasks,
    )


def _slopes(
    tables: Sequence[TaskSizes], differences: Sequence[SizeDifference], method: str, baseline: str
) -> list[SizeSlope]:
    """Of each task that has two sizes, and of the mean over them."""
    models = {
        table.runs.task: [
            row.model
            for row in differences
            if (row.task, row.method) == (table.runs.task, method) and row.usable
        ]
        for table in tables
    }
    tables = [table for table in tables if _sizes(table, models[table.runs.task]) > 1]
    rows = []
    for table in tables:
        of_task = {table.runs.task: models[table.runs.task]}
        slope = estimate(table.slope_parts(method, baseline, models[table.runs.task]), table.examples)
        without = _without_one([table], of_task, method, baseline)
        number = len(models[table.runs.task])
        rows.append(SizeSlope(table.runs.task, method, number, slope, slope.p_far(), without, "undecided"))
    tested = [row.p_adjusted for row in rows if row.p_adjusted is not None]
    adjusted = iter(holm(tested).tolist())
    rows = [row if row.p_adjusted is None else replace(row, p_adjusted=next(adjusted)) for row in rows]
    if len(tables) > 1:
        # Tasks have runs of their own, so the parts of all of them are independent.
        parts = [
            part
            for table in tables
            for part in table.slope_parts(method, baseline, models[table.runs.task], 1 / len(tables))
        ]
        slope = estimate(parts, min(table.examples for table in tables))
        without = _without_one(tables, models, method, baseline)
        fewest = min(row.sizes for row in rows)
        rows.append(SizeSlope(ALL, method, fewest, slope, slope.p_value, without, "undecided"))
    return [replace(row, ruling=ruling_of(row)) for row in rows]


def _sizes(table: TaskSizes, models: Sequence[str]) -> int:
    return len({table.models[model] for model in models})


def _without_one(
    tables: Sequence[TaskSizes], models: Mapping[str, Sequence[str]], method: str, baseline: str
) -> tuple[float, float] | None:
    """Least and largest mean slope where one model is left out of all tasks; None where two sizes are few."""
    found = []
    for left_out in dict.fromkeys(model for table in tables for model in models[table.runs.task]):
        slopes = []
        for table in tables:
            kept = [model for model in models[table.runs.task] if model != left_out]
            if _sizes(table, kept) < 2:
                return None
            parts = table.slope_parts(method, baseline, kept)
            slopes.append(sum(part.weight * float(part.values.mean()) for part in parts))
        found.append(fmean(slopes))
    return min(found), max(found)


def ruling_of(row: SizeSlope) -> Ruling:
    """The module's rule."""
    if row.p_adjusted is None or row.p_adjusted > LEVEL or row.without_one is None:
        return "undecided"
    least, largest = row.without_one
    if row.slope.value > 0 and least > 0:
        return "gains"
    return "loses" if row.slope.value < 0 and largest < 0 else "undecided"
