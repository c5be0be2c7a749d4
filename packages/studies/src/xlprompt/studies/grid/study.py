"""A study: all cells of a grid that have no finished run yet, on an executor, and what came of all of them.

This is where the parts meet: `cells` says what there is, `ledger` what the store has of it, `plan` what is
left, an executor runs that, and `study_table` sums up. Called again, a study goes on where it was.
"""

from __future__ import annotations

import signal
import statistics
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from xlprompt.evaluation.fitted_table import show_table
from xlprompt.evaluation.waiting import waiting
from xlprompt.studies.errors import StudyError
from xlprompt.studies.executors.choose import make_executor
from xlprompt.studies.executors.executor import Executor, expected_workers, shared_memory
from xlprompt.studies.executors.worker_process import Event, Job
from xlprompt.studies.grid.cells import Group, make_groups
from xlprompt.studies.grid.grid import Grid, load_grid
from xlprompt.studies.grid.ledger import CELL_TAG, CellRun, Ledger
from xlprompt.studies.grid.parent_note import describe_parents
from xlprompt.studies.grid.plan import (
    Plan,
    PlannedCell,
    make_plan,
    memory_warning,
    plan_line,
    plan_table,
    wall_seconds,
)
from xlprompt.studies.grid.study_progress import StudyProgress, study_progress
from xlprompt.studies.grid.study_table import GroupResult, group_result, study_table
from xlprompt.studies.grid.worker import CellJob
from xlprompt.training.fitting.progress import duration
from xlprompt.training.machine.signals import handled
from xlprompt.training.recipes.recipe import recipe_to_dict
from xlprompt.training.store.database import store_exists
from xlprompt.training.store.shared.patience import begin_work

__all__ = ["StudyError", "StudyResult", "run_study"]


@dataclass(frozen=True)
class StudyResult:
    """What a call of `run_study` leaves behind.

    Attributes:
        plan: What there was to do when it began.
        results: Every group with the seeds that have finished.
        failures: Error by the name of the cell that failed in this call.
        stopped_by: The signal that ended this call early, if one did.
        answers: What the finished runs say of the methods, in sentences.
    """

    plan: Plan
    results: tuple[GroupResult, ...]
    failures: Mapping[str, str]
    stopped_by: int | None
    answers: tuple[str, ...] = ()

    @property
    def finished(self) -> bool:
        """Whether every cell has a finished run."""
        return all(len(result.seeds) == len(result.group.cells) for result in self.results)

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON-compatible data."""
        return {
            "finished": self.finished,
            "plan": self.plan.to_dict(),
            "groups": [result.to_dict() for result in self.results],
            "failures": dict(self.failures),
            "stopped_by": self.stopped_by,
            "answers": list(self.answers),
        }


def run_study(
    grid_path: str | Path,
    *,
    store: Path,
    console: Console,
    grid_overrides: Mapping[str, Any] | None = None,
    recipe_overrides: Mapping[str, Any] | None = None,
    address: str | None = None,
    force: bool = False,
    dry_run: bool = False,
) -> StudyResult:
    """Run the cells of a grid that have no finished run, and sum up all of them.

    SIGINT and SIGTERM make all workers write their training states and end, and this function return; a
    second one kills the workers. The errors of cells that fail are in the result, and the others are run all
    the same.

    Args:
        grid_path: The grid file.
        store: Folder of the MLflow store, made where it does not exist; with Ray all nodes must see it.
        console: Where the plan, the progress and the table go.
        grid_overrides: Values by dotted key that win over the grid file's (`"executor.workers"`).
        recipe_overrides: Values by dotted key that win over every recipe's.
        address: A running Ray cluster's, where the executor is Ray.
        force: Run finished cells again; their old runs stay in the store, outside of the study.
        dry_run: Stop after the plan, and write nothing.

    Raises:
        RecipeError: The grid file or a recipe is missing or wrong.
        StudyError: Another process is at work on it, the executor cannot be had, or something is given that
            would not be used.
        DataError, ModelError, RunError: Data or model are not there.
    """
    with waiting(console, "Reading the study"):
        grid, groups = _read(grid_path, grid_overrides or {}, recipe_overrides, address)
    if not dry_run and any(not group.fingerprint for group in groups):
        _fetch_models(groups, console)
        groups = make_groups(grid, grid_path, recipe_overrides)
    if dry_run and not store_exists(store):
        return _only_planned(make_plan(groups, [], force=force), grid, console)

    with waiting(console, "Reading the store"):
        ledger, tasks = Ledger(store, writing=not dry_run), list(dict.fromkeys(each.task for each in groups))
        if not dry_run:
            ledger.end_abandoned(tasks)
        plan = make_plan(groups, ledger.training_runs(tasks), force=force)
    if dry_run:
        return _only_planned(plan, grid, console)
    _take_in_single_runs(plan, ledger)
    failures: dict[str, str] = {}
    stopped_by = None
    if plan.to_do:
        with ExitStack() as locks:
            busy = [
                group for group in groups if any(each.cell.group == group.fingerprint for each in plan.to_do)
            ]
            for group in busy:
                locks.enter_context(ledger.locks.working_on_group(group.fingerprint, group.name))
            executor = locks.enter_context(make_executor(grid.executor, address=address))
            _print_plan(plan, grid, executor.workers, executor.description, console)
            if force:
                for each in plan.to_do:
                    ledger.supersede(each.cell)
            failures, stopped_by = _Execution(plan, busy, grid, ledger, store, console).run(executor)
    else:
        console.print(plan_line(plan, 1, ""), highlight=False, markup=False, soft_wrap=True)
    with waiting(console, "Summing up"):
        for group in groups:
            ledger.adopt(group)
        closed = _close_complete_parents(groups, ledger)
        results = _results(groups, ledger)
        if plan.to_do or closed:
            describe_parents(ledger, results)
    show_table(console, study_table(results))
    with waiting(console, "Comparing the methods"):
        answers = _answers(results, ledger)
    for answer in answers:
        console.print(answer, highlight=False, markup=False, soft_wrap=True)
    return StudyResult(plan, results, failures, stopped_by, answers)


def _read(
    grid_path: str | Path,
    grid_overrides: Mapping[str, Any],
    recipe_overrides: Mapping[str, Any] | None,
    address: str | None,
) -> tuple[Grid, tuple[Group, ...]]:
    """The grid and its groups; refuses what is given and would not be used."""
    grid = load_grid(grid_path, grid_overrides)
    if address and grid.executor.kind != "ray":
        raise StudyError("an address is a Ray cluster's: give it with --executor ray")
    if grid.executor.kind != "slurm" and any(key.startswith("executor.slurm.") for key in grid_overrides):
        raise StudyError("--slurm is of a Slurm cluster's jobs: give it with --executor slurm")
    groups = make_groups(grid, grid_path, recipe_overrides)
    if grid_overrides.get("executor.engine") == "deepspeed" and not any(
        grid.executor.engine_of(group.cells[0].recipe.method) for group in groups
    ):
        raise StudyError(
            "deepspeed is the engine of full fine-tuning, and no method here is finetune. Leave it out"
        )
    return grid, groups


class _Execution:
    """The part of a study in which cells run."""

    def __init__(
        self, plan: Plan, groups: Sequence[Group], grid: Grid, ledger: Ledger, store: Path, console: Console
    ) -> None:
        self._plan, self._groups, self._grid = plan, groups, grid
        self._ledger, self._store, self._console = ledger, store, console
        self._left: dict[str, PlannedCell] = {each.cell.name: each for each in plan.to_do}
        self._seconds: dict[str, list[float]] = {}  # measured in this call, by group
        self._workers = 1
        self._failures: dict[str, str] = {}

    def run(self, executor: Executor) -> tuple[dict[str, str], int | None]:
        """Run everything; returns the failures, and the signal that came, if one did."""
        begin_work()
        parents = {group.fingerprint: self._ledger.open_parent(group) for group in self._groups}
        jobs = [self._job(each, parents[each.cell.group]) for each in self._plan.to_do]
        self._workers = executor.workers
        stopped: list[int] = []
        interrupted = False
        try:
            with study_progress(self._console, cells=len(jobs), left=self._time_left) as progress:

                def on_signal(number: int) -> None:
                    stopped.append(number)
                    executor.stop()
                    if len(stopped) == 1:
                        progress.say("Stopping: workers write their training states. Once more kills them")

                def report(job: Job, event: Event) -> None:
                    progress.event(job.name, event)

                with (
                    handled(on_signal, signal.SIGINT, signal.SIGTERM),
                    closing(executor.run(jobs, report)) as outcomes,
                ):
                    for outcome in outcomes:
                        if outcome.state == "stopped":
                            interrupted = True
                            continue
                        self._take(outcome.job.name, outcome.run_id, outcome.error, progress)
        finally:
            interrupted = interrupted or bool(stopped)
            self._close_parents(interrupted=interrupted)
        number = stopped[0] if stopped else signal.SIGINT  # which the training loop may have caught
        return self._failures, number if interrupted else None

    def _take(self, name: str, run_id: str | None, error: str | None, progress: StudyProgress) -> None:
        each = self._left.pop(name)
        if run_id is None:
            self._failures[name] = f"{error} (log: {self._job(each, '').log})"
            progress.ended(name, f"FAILED: {error}")
        else:
            run = self._ledger.get(run_id)
            if run.seconds is not None and each.state == "run":
                self._seconds.setdefault(each.cell.group, []).append(run.seconds)
            progress.ended(name, "finished")
        group = next(group for group in self._groups if group.fingerprint == each.cell.group)
        if not any(other.cell.group == group.fingerprint for other in self._left.values()):
            self._close(group, interrupted=False)

    def _close_parents(self, *, interrupted: bool) -> None:
        waiting = {each.cell.group for each in self._left.values()}
        for group in self._groups:
            if group.fingerprint in waiting:
                self._close(group, interrupted=interrupted)

    def _close(self, group: Group, *, interrupted: bool) -> None:
        names = {cell.name for cell in group.cells}
        failed = sorted(names & self._failures.keys())
        if interrupted and names & self._left.keys():
            self._ledger.close_parent(group, "KILLED", "interrupted; the same command goes on")
        elif failed:
            reasons = "\n".join(f"{name}: {self._failures[name]}" for name in failed)
            self._ledger.close_parent(group, "FAILED", reasons)
        elif names & self._left.keys():
            self._ledger.close_parent(group, "FAILED", "the study ended by an error of its own")
        else:
            self._ledger.close_parent(group, "FINISHED")

    def _job(self, each: PlannedCell, parent_run_id: str) -> CellJob:
        cell = each.cell
        return CellJob(
            name=cell.name,
            task=cell.task,
            fingerprint=cell.fingerprint,
            group=cell.group,
            recipe=recipe_to_dict(cell.recipe),
            recipe_path=str(cell.recipe_path.absolute()),
            store=str(self._store.absolute()),
            parent_run_id=parent_run_id,
            threads=self._grid.executor.threads,
            engine=self._grid.executor.engine_of(cell.recipe.method),
            directory=str(Path.cwd()),
        )

    def _time_left(self) -> str:
        """From what was measured in this call where that is possible, else from earlier runs."""
        seconds = []
        for each in self._left.values():
            measured = self._seconds.get(each.cell.group)
            expected = statistics.median(measured) if measured and each.state == "run" else each.seconds
            if expected is None:
                return ""
            seconds.append(expected)
        return f"about {duration(wall_seconds(seconds, self._workers))} left" if seconds else ""


def _only_planned(plan: Plan, grid: Grid, console: Console) -> StudyResult:
    # An executor is not started for this, and a Ray cluster's size not known without.
    workers = expected_workers(grid.executor)
    _print_plan(plan, grid, workers, f"{grid.executor.kind} workers (dry run: nothing was started)", console)
    results = tuple(
        group_result(
            group,
            None,
            {
                each.cell.seed: each.run
                for each in plan.cells
                if each.run and each.state == "done" and each.cell in group.cells
            },
        )
        for group in plan.groups
    )
    return StudyResult(plan, results, {}, None)


def _print_plan(plan: Plan, grid: Grid, workers: int, where: str, console: Console) -> None:
    show_table(console, plan_table(plan))
    console.print(plan_line(plan, workers, where), highlight=False, markup=False, soft_wrap=True)
    free = shared_memory(grid.executor)
    if free is not None and (warning := memory_warning(plan, workers, free)):
        console.print(warning, style="yellow", highlight=False, markup=False, soft_wrap=True)


def _fetch_models(groups: Sequence[Group], console: Console) -> None:
    from xlprompt.models import load_backbone  # a study that is done need not wait for transformers

    for model in dict.fromkeys(group.model for group in groups if not group.fingerprint):
        console.print(f"Fetching {model}, which is not on this machine yet", highlight=False, markup=False)
        load_backbone(model)


def _take_in_single_runs(plan: Plan, ledger: Ledger) -> None:
    """Make runs outside of studies that the plan counts as done cells of this one."""
    for each in plan.cells:
        if each.state == "done" and each.run is not None and CELL_TAG not in each.run.tags:
            group = next(group for group in plan.groups if each.cell in group.cells)
            with ledger.locks.working_on_group(group.fingerprint, group.name):
                ledger.take_in(each.run, each.cell, group)


def _close_complete_parents(groups: Sequence[Group], ledger: Ledger) -> bool:
    """End the runs of complete groups that were not ended, as a study was killed, or that were deleted.

    Returns:
        Whether there were any.
    """
    closed = False
    for group in groups:
        known = ledger.parent(group)
        if known and known[1] == "FINISHED":
            continue
        finished = {run.tags[CELL_TAG] for run in ledger.runs_of_group(group)}
        if finished >= {cell.fingerprint for cell in group.cells}:
            with suppress(StudyError):  # another process is at work on it, which ends it
                with ledger.locks.working_on_group(group.fingerprint, group.name):
                    ledger.open_parent(group)
                    ledger.close_parent(group, "FINISHED")
                closed = True
    return closed


def _results(groups: Sequence[Group], ledger: Ledger) -> tuple[GroupResult, ...]:
    results = []
    for group in groups:
        known = ledger.parent(group)
        results.append(group_result(group, known[0] if known else None, _by_seed(group, ledger)))
    return tuple(results)


def _by_seed(group: Group, ledger: Ledger) -> dict[int, CellRun]:
    """The group's finished runs that this study asks for."""
    seeds = {cell.fingerprint: cell.seed for cell in group.cells}
    return {
        seeds[fingerprint]: run
        for run in ledger.runs_of_group(group)
        if (fingerprint := run.tags[CELL_TAG]) in seeds
    }


def _answers(results: Sequence[GroupResult], ledger: Ledger) -> tuple[str, ...]:
    """What the methods come to; the variants of an ablation are `xlprompt analyze ablation`'s to compare."""
    if any(result.group.variant for result in results):
        return ()
    from xlprompt.studies.grid.answers import study_answers  # which waits for scipy

    runs = {
        (result.group.task, result.group.method, seed): run
        for result in results
        for seed, run in _by_seed(result.group, ledger).items()
    }
    return study_answers(results, runs, ledger)
