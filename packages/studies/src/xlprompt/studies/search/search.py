"""A hyper-parameter search: trials of one task and method until there are enough, and what came of them.

This is where the parts meet: `asked_search` says what is searched, `search_trials` draws and remembers,
`search_progress` has trials run in processes of their own, `search_run` is the run in MLflow, `search_report`
sums up. Called again, or on other machines with the same database, a search goes on where it is.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from xlprompt.evaluation.fitted_table import show_table
from xlprompt.training.asked_search import AskedSearch, ask_search
from xlprompt.training.executor_choice import make_executor
from xlprompt.training.search_database import database_beside, hidden
from xlprompt.training.search_progress import plan_text, run_workers
from xlprompt.training.search_report import (
    best_trial,
    draw_trials,
    outcome_figures,
    shipped_trial,
    trials_table,
    verdict,
    write_best,
    write_outcome,
)
from xlprompt.training.search_run import SearchRun
from xlprompt.training.search_space import SearchError, describe
from xlprompt.training.search_trials import SearchTrials, Trial, open_trials

__all__ = ["SearchError", "SearchResult", "run_search"]


@dataclass(frozen=True)
class SearchResult:
    """What a call of `run_search` leaves behind.

    Attributes:
        study: The search's name in the database.
        task: The task's name.
        method: The method's name.
        model: The backbone.
        metric: What is maximized on the development set.
        budget: Trials that there shall be.
        trials: Those that count, by number.
        best: The best of those that have ended.
        shipped: The one with the recipe's own values, if it has ended.
        verdict: Whether the best is better, in words.
        importances: Share of the scores' variance by key; empty for few trials.
        recipe: The file with the best, where the search is complete.
        run_id: Its MLflow run.
        failures: Errors of workers.
        stopped_by: The signal that ended this call early, if one did.
        finished: Whether all trials have ended.
    """

    study: str
    task: str
    method: str
    model: str
    metric: str
    budget: int
    trials: tuple[Trial, ...]
    best: Trial | None
    shipped: Trial | None
    verdict: str
    importances: Mapping[str, float]
    recipe: Path | None
    run_id: str | None
    failures: tuple[str, ...]
    stopped_by: int | None
    finished: bool

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON-compatible data."""
        return asdict(self) | {"recipe": str(self.recipe) if self.recipe else None}


def run_search(
    path: str | Path,
    *,
    task: str,
    method: str,
    store: Path,
    console: Console,
    out: Path = Path("build/search"),
    database: str | None = None,
    search_overrides: Mapping[str, Any] | None = None,
    recipe_overrides: Mapping[str, Any] | None = None,
) -> SearchResult:
    """Run trials until there are as many as the search file says, and write the best one as a recipe.

    SIGINT and SIGTERM end the trials that are running, which then count no more, and this function returns; a
    second one kills the workers. A search that is complete is only summed up.

    Args:
        path: The search file.
        task: The task's name.
        method: A method of the search file.
        store: Folder of the MLflow store, made where it does not exist.
        console: Where the plan, the progress and the table go.
        out: Folder of the recipe with the best trial.
        database: URL of an Optuna database, which workers on other machines may share; None for a file beside
            the MLflow store.
        search_overrides: Values by dotted key that win over the search file's (`"trials"`).
        recipe_overrides: Values by dotted key that win over the recipe's.

    Raises:
        RecipeError: The search file or the recipe is missing or wrong.
        SearchError: The method is none of the file's, or the database cannot be used.
        DataError, ModelError, RunError: Data or model are not there.
    """
    search = ask_search(path, task, method, console, settings=search_overrides, overrides=recipe_overrides)
    address = database or database_beside(store)
    trials = open_trials(address, search.name, search.settings, method, search.recipe)
    trials.give_up_dead()
    console.print(plan_text(search, trials), highlight=False, markup=False, soft_wrap=True)
    console.print(
        f"Database {hidden(address)}, in it {search.name}", highlight=False, markup=False, soft_wrap=True
    )
    best = out / f"{task}-{method}.yaml"
    run = SearchRun(store, search.name, task)
    failures: tuple[str, ...] = ()
    stopped_by = None
    if not trials.are_complete or not run.is_finished:
        failures, stopped_by = _run_trials(run, search, trials, address, store, best, console)
    found = trials.trials()
    _say_outcome(search, trials, found, best, console)
    return SearchResult(
        study=search.name,
        task=task,
        method=method,
        model=search.recipe.model,
        metric=search.metric,
        budget=trials.budget,
        trials=found,
        best=best_trial(found),
        shipped=shipped_trial(found),
        verdict=verdict(found),
        importances=trials.importances() if trials.are_complete else {},
        recipe=best if trials.are_complete and best_trial(found) else None,
        run_id=run.run_id,
        failures=failures,
        stopped_by=stopped_by,
        finished=trials.are_complete,
    )


def _run_trials(
    run: SearchRun,
    search: AskedSearch,
    trials: SearchTrials,
    address: str,
    store: Path,
    best: Path,
    console: Console,
) -> tuple[tuple[str, ...], int | None]:
    """Run the trials that are left in workers; gives the failures and the signal that stopped it."""
    parent = run.open(search.recipe, {key: describe(knob) for key, knob in search.space.items()})
    failures: tuple[str, ...] = ()
    stopped_by = None
    try:
        known = trials.trials()
        if left := trials.budget - len(known):
            executor = make_executor(search.settings.executor)
            jobs = [
                search.job(number, database=address, store=store, parent_run_id=parent)
                for number in range(1, min(executor.workers, left) + 1)
            ]
            failures, stopped_by = run_workers(jobs, executor, known, left, console)
        _close(run, search, trials, best, failures, stopped_by)
    except BaseException as error:
        run.close("FAILED", f"{type(error).__name__}: {error}")
        raise
    return failures, stopped_by


def _say_outcome(
    search: AskedSearch, trials: SearchTrials, found: Sequence[Trial], best: Path, console: Console
) -> None:
    """Show all trials and the verdict, and write the best recipe when the last trial has ended."""
    show_table(console, trials_table(found, search.metric, list(search.space)))
    console.print(verdict(found), highlight=False, markup=False, soft_wrap=True)
    if trials.are_complete and best_trial(found):
        write_best(best, search, found)
        console.print(f"Train it: xlprompt train {best}", highlight=False, markup=False, soft_wrap=True)
    elif running := sum(each.state == "running" for each in found):
        are = "trials are" if running > 1 else "trial is"
        console.print(f"{running} {are} still running elsewhere; whoever ends the last one sums up.")


def _close(
    run: SearchRun,
    search: AskedSearch,
    trials: SearchTrials,
    best: Path,
    failures: Sequence[str],
    stopped_by: int | None,
) -> None:
    """Give the search's MLflow run its end, with what came of the search where it is complete."""
    trials.give_up_dead()  # those of workers that were killed
    found = trials.trials()
    if trials.are_complete:
        importances = trials.importances()
        with tempfile.TemporaryDirectory() as folder:
            files = write_outcome(Path(folder), search, found)
            files += draw_trials(trials, Path(folder), search.metric)
            if best_trial(found):
                files.append(write_best(best, search, found))
            run.record(outcome_figures(search.metric, found, importances), files, step=len(found))
        run.close("FINISHED")
    elif any(each.state == "running" for each in found):
        run.leave_to_others()
    elif failures:
        run.close("FAILED", "\n".join(failures))
    else:
        run.close("KILLED", "interrupted; the same command goes on")
