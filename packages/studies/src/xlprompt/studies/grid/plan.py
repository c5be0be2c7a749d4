"""What is left to do of a study, and what it will take, from what the store knows.

Nothing is started or written here. Times and memory are those of earlier runs on whatever machine made them;
where there are none they are unknown, since a guess would look like a measurement.
"""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from rich import box
from rich.table import Table
from rich.text import Text

from xlprompt.data.how_many import how_many
from xlprompt.studies.grid.cells import Cell, Group
from xlprompt.studies.grid.ledger import CELL_TAG, GROUP_TAG, RUN_TAG, SUPERSEDED_TAG, CellRun
from xlprompt.studies.grid.run_params import has_curve
from xlprompt.training.fitting.progress import duration
from xlprompt.training.recipes.recipe import flatten
from xlprompt.training.store.metric_names import PEAK_MEMORY_MIB

State = Literal["done", "resume", "run"]


@dataclass(frozen=True)
class PlannedCell:
    """A cell and what is to be done about it.

    Attributes:
        cell: The cell.
        state: `done` (it has a finished run), `resume` (an interrupted one has a training state) or `run`.
        run: The run that the state rests on.
        seconds: What it should take from here, or None where no run of its kind has been timed.
    """

    cell: Cell
    state: State
    run: CellRun | None
    seconds: float | None


@dataclass(frozen=True)
class Plan:
    """All cells of a study.

    Attributes:
        groups: The study.
        cells: Its cells in the order in which they are run.
        memory_mib: Most memory that a cell of a group took, by the group's name; absent where unknown.
    """

    groups: tuple[Group, ...]
    cells: tuple[PlannedCell, ...]
    memory_mib: Mapping[str, float]

    @property
    def to_do(self) -> tuple[PlannedCell, ...]:
        """The cells that are not done."""
        return tuple(each for each in self.cells if each.state != "done")

    def count(self, state: State, group: Group | None = None) -> int:
        """Number of cells in a state, of all groups or one."""
        if group is not None:
            return self._counts[group.name, state]
        return sum(each.state == state for each in self.cells)

    @cached_property
    def _counts(self) -> Counter[tuple[str, State]]:
        """Cells by the name of their group and their state."""
        return Counter((each.cell.kind, each.state) for each in self.cells)

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON-compatible data."""
        return {
            "cells": [
                {
                    "task": each.cell.task,
                    "method": each.cell.method,
                    "variant": each.cell.variant,
                    "model": each.cell.recipe.model,
                    "seed": each.cell.seed,
                    "fingerprint": each.cell.fingerprint,
                    "state": each.state,
                    "run_id": each.run.run_id if each.run else None,
                    "seconds": each.seconds,
                }
                for each in self.cells
            ],
            "done": self.count("done"),
            "to_resume": self.count("resume"),
            "to_run": self.count("run"),
            "memory_mib": dict(self.memory_mib),
        }


def make_plan(groups: Sequence[Group], runs: Sequence[CellRun], *, force: bool = False) -> Plan:
    """Compare the cells with the store's training runs, newest first.

    The order is seed by seed, so that every kind of cell has been timed early, and method by method within a
    seed, so that neighbors differ in the task and do not encode the same data at the same time.

    Args:
        groups: The study.
        runs: What `Ledger.training_runs` gave.
        force: Run everything, finished or not.
    """
    by_cell: dict[str, list[CellRun]] = {}
    for run in runs:
        if CELL_TAG in run.tags:
            by_cell.setdefault(run.tags[CELL_TAG], []).append(run)
    for run in runs:  # after those of studies, so that of two that have finished the study's own counts
        alone = run.status == "FINISHED" and not {CELL_TAG, SUPERSEDED_TAG} & run.tags.keys()
        if alone and RUN_TAG in run.tags:
            by_cell.setdefault(run.tags[RUN_TAG], []).append(run)
    known = _runs_like(groups, runs)
    times = {
        name: statistics.median(seconds)
        for name, found in known.items()
        if (seconds := [run.seconds for run in found if run.seconds is not None])
    }
    memory = {
        name: max(sizes)
        for name, found in known.items()
        if (sizes := [run.metrics[PEAK_MEMORY_MIB] for run in found if PEAK_MEMORY_MIB in run.metrics])
    }
    cells = [
        _planned(cell, [] if force else by_cell.get(cell.fingerprint, []), times.get(group.name))
        for group in groups
        for cell in group.cells
    ]
    ways = dict.fromkeys((group.variant, group.method) for group in groups)
    order = {way: place for place, way in enumerate(ways)}
    longest = max(groups, key=lambda group: len(group.cells))  # of a method that trains nothing, one seed
    seeds = {cell.seed: place for place, cell in enumerate(longest.cells)}
    cells.sort(key=lambda each: (seeds[each.cell.seed], order[each.cell.variant, each.cell.method]))
    return Plan(tuple(groups), tuple(cells), memory)


def wall_seconds(seconds: Sequence[float], workers: int) -> float:
    """Time of cells that are handed out in this order to whichever worker is free first."""
    busy = [0.0] * max(1, min(workers, len(seconds)))
    for each in seconds:
        first = busy.index(min(busy))
        busy[first] += each
    return max(busy)


def plan_table(plan: Plan) -> Table:
    """The plan by task, method and variant."""
    table = Table(title="Plan", box=box.SIMPLE_HEAD, pad_edge=False)
    has_variants = any(group.variant for group in plan.groups)
    for header, side in (
        ("task", "left"),
        ("method", "left"),
        *((("variant", "left"),) if has_variants else ()),
        ("model", "left"),
        ("done", "right"),
        ("to resume", "right"),
        ("to run", "right"),
        ("time", "right"),
        ("memory", "right"),
    ):
        table.add_column(header, justify="right" if side == "right" else "left")
    to_do: dict[str, list[float | None]] = defaultdict(list)
    for each in plan.to_do:
        to_do[each.cell.kind].append(each.seconds)
    for group in plan.groups:
        left = to_do[group.name]
        known = [seconds for seconds in left if seconds is not None]
        memory = plan.memory_mib.get(group.name)
        table.add_row(
            group.task,
            group.method,
            *((Text(group.variant),) if has_variants else ()),
            Text(group.model_name),
            str(plan.count("done", group)),
            str(plan.count("resume", group)),
            str(plan.count("run", group)),
            "" if not left else duration(sum(known)) if len(known) == len(left) else "unknown",
            f"{memory / 1024:.1f} GiB" if memory is not None else "unknown" if left else "",
        )
    return table


def plan_line(plan: Plan, workers: int, where: str) -> str:
    """The plan in a sentence or two."""
    counts = (
        f"{how_many(len(plan.cells), 'cell')}: {plan.count('done')} done, "
        f"{plan.count('resume')} to resume, {plan.count('run')} to run"
    )
    if not plan.to_do:
        return counts
    known = [each.seconds for each in plan.to_do if each.seconds is not None]
    unknown = len(plan.to_do) - len(known)
    if not known:
        time = "time unknown until the first cell of its kind has run"
    elif unknown:
        time = (
            f"about {duration(wall_seconds(known, workers))} for {len(known)} of them, by earlier runs; for "
            f"{unknown} unknown until the first cell of its kind has run"
        )
    else:
        time = f"about {duration(wall_seconds(known, workers))}, by earlier runs"
    return f"{counts}; {time}. In {where}"


def memory_at_once(plan: Plan, workers: int) -> float:
    """The most memory, in MiB, that so many of the cells left may take together, as far as it is known."""
    sizes = [plan.memory_mib.get(each.cell.kind, 0.0) for each in plan.to_do]
    return sum(sorted(sizes)[-workers:])


def memory_warning(plan: Plan, workers: int, free_bytes: int) -> str | None:
    """What to do where cells may take more than is free; None where they may not, as far as is known."""
    needed = memory_at_once(plan, workers) / 1024
    if needed * 2**30 <= free_bytes:
        return None
    remedy = "Close other programs, or lower evaluation.token_budget"
    if workers > 1:
        remedy = "Run fewer at a time (--workers, with make WORKERS=), or close other programs"
    free = free_bytes / 2**30
    return f"Up to {needed:.1f} GiB at a time by earlier runs, and {free:.1f} GiB are free. {remedy}."


def _planned(cell: Cell, runs: Sequence[CellRun], seconds: float | None) -> PlannedCell:
    runs = [run for run in runs if has_curve(run, cell.recipe)]
    if finished := next((run for run in runs if run.status == "FINISHED"), None):
        return PlannedCell(cell, "done", finished, None)
    if resumable := next((run for run in runs if run.step is not None), None):
        left = 1 - (resumable.step or 0) / cell.recipe.schedule.steps
        return PlannedCell(cell, "resume", resumable, None if seconds is None else seconds * left)
    return PlannedCell(cell, "run", None, seconds)


def _runs_like(groups: Sequence[Group], runs: Sequence[CellRun]) -> dict[str, list[CellRun]]:
    """By group, finished runs with its values; where there are none, of its task, method, model and steps."""
    close = ("task", "method", "model", "schedule.steps", "schedule.batch_size", "data.source", "data.limit")
    same: dict[str, list[CellRun]] = defaultdict(list)
    alike: dict[tuple[str | None, ...], list[CellRun]] = defaultdict(list)
    for run in runs:
        if run.status == "FINISHED":
            same[run.tags.get(GROUP_TAG, "")].append(run)
            alike[tuple(run.params.get(key) for key in close)].append(run)
    found = {}
    for group in groups:
        if group.fingerprint and group.fingerprint in same:
            found[group.name] = same[group.fingerprint]
        else:
            values = flatten(group.cells[0].recipe)
            found[group.name] = alike.get(tuple(_as_logged(values[key]) for key in close), [])
    return found


def _as_logged(value: Any) -> str:
    return "null" if value is None else str(value)
