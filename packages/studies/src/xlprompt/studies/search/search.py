"""A hyper-parameter search: trials of one task and method until there are enough, and what came of them.

This is where the parts meet: `asked` says what is searched, `trials` draws and remembers, `record` is the run
in MLflow, `outcome` sums up. Trials run in processes of their own. Called again, or on other machines with
the same database, a search goes on where it is.
"""

from __future__ import annotations

import shlex
import signal
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from xlprompt.data.how_many import how_many
from xlprompt.evaluation.fitted_table import show_table
from xlprompt.evaluation.terminal import offer
from xlprompt.studies.executors.choose import make_executor
from xlprompt.studies.executors.executor import Executor, expected_workers
from xlprompt.studies.executors.worker_process import Event, Job
from xlprompt.studies.grid.plan import wall_seconds
from xlprompt.studies.grid.study_progress import StudyProgress, study_progress
from xlprompt.studies.search.asked import AskedSearch, ask_search
from xlprompt.studies.search.database import GRACE, database_beside, hidden
from xlprompt.studies.search.outcome import (
    best_trial,
    draw_trials,
    outcome_figures,
    score_text,
    shipped_trial,
    trials_table,
    verdict,
    write_best,
    write_outcome,
)
from xlprompt.studies.search.record import SearchRun
from xlprompt.studies.search.space import SearchError, describe, show
from xlprompt.studies.search.trials import SearchTrials, Trial, open_trials
from xlprompt.studies.search.worker import SearchJob
from xlprompt.training.fitting.progress import duration
from xlprompt.training.machine.signals import handled
from xlprompt.training.store.store_option import in_store

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
        out: Folder of the recipe with the best trial, whose file is named after task, method and model.
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
        f"Kept in {hidden(address)} as {search.name}", highlight=False, markup=False, soft_wrap=True
    )
    best = out / search.recipe_name
    run = SearchRun(store, search.name, search.recipe.task)
    failures: tuple[str, ...] = ()
    stopped_by = None
    if not trials.are_complete or not run.is_finished:
        failures, stopped_by = _run_trials(run, search, trials, address, store, best, console)
    found = trials.trials()
    _say_outcome(search, trials, found, best, store, console)
    return SearchResult(
        study=search.name,
        task=search.recipe.task,
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
        if (left := trials.budget - len(known)) > 0:
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
    search: AskedSearch,
    trials: SearchTrials,
    found: Sequence[Trial],
    best: Path,
    store: Path,
    console: Console,
) -> None:
    """Show all trials and the verdict, and write the best recipe when the last trial has ended."""
    show_table(console, trials_table(found, search.metric, list(search.space)))
    console.print(verdict(found), highlight=False, markup=False, soft_wrap=True)
    if trials.are_complete and best_trial(found):
        write_best(best, search, found)
        if search.recipe.data.limit is not None:
            console.print(
                f"Trials had at most {search.recipe.data.limit} examples of a split, and so has the recipe: "
                "take data.limit out of it to train on all.",
                highlight=False,
                soft_wrap=True,
            )
        offer(console, "Train it", f"xlprompt train {shlex.quote(str(best))}{in_store(store)}")
    elif running := [each for each in found if each.state == "running"]:
        console.print(_still_running(running), highlight=False, markup=False, soft_wrap=True)


def _still_running(trials: Sequence[Trial]) -> str:
    """Which trials a search waits for, and for how long."""
    named = [f"{each.number} on {each.machine}" if each.machine else str(each.number) for each in trials]
    return (
        f"{how_many(len(trials), 'trial is', 'trials are')} still running elsewhere ({', '.join(named)}); "
        "whoever ends the last one sums up. A trial whose process died is given up "
        f"{GRACE // 60} minutes after its last sign of life: then the same command runs another in its place."
    )


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


def plan_text(search: AskedSearch, trials: SearchTrials) -> str:
    """What is searched, and how much of it is left."""
    known = trials.trials()
    running = sum(each.state == "running" for each in known)
    left = max(0, trials.budget - len(known))
    steps = search.recipe.schedule.steps
    lines = [
        f"Search {search.title}: {how_many(trials.budget, 'trial')} of {how_many(steps, 'step')} at most; "
        f"{len(known) - running} done, "
        + (f"{running} running elsewhere, " if running else "")
        + f"{left} to run"
    ]
    if left:
        seconds = whole_seconds(known)
        executor = search.settings.executor
        workers = min(left, expected_workers(executor))
        lines[0] += f", {workers} at a time, {how_many(executor.threads, 'thread')} each"
        if seconds:
            whole = [statistics.median(seconds)] * left
            lines[0] += f"; about {duration(wall_seconds(whole, workers))}"
        shipped = trials.shipped
        width = max(map(len, shipped))
        for key, knob in search.space.items():
            lines.append(f"  {key:<{width}}  {describe(knob)}; the recipe has {show(shipped[key])}")
    return "\n".join(lines)


def run_workers(
    jobs: Sequence[SearchJob],
    executor: Executor,
    trials: Sequence[Trial],
    left: int,
    console: Console,
) -> tuple[tuple[str, ...], int | None]:
    """Have workers run trials until there are enough; returns their errors, and the signal that came, if any.

    Args:
        jobs: One for each worker.
        executor: Runs them.
        trials: Those that count already, by which time is estimated.
        left: Number of trials that are left to run.
        console: Where progress goes.
    """
    seconds = whole_seconds(trials)
    ended: list[int] = []
    stopped: list[int] = []
    failures: list[str] = []
    interrupted = False

    def time_left() -> str:
        if not seconds:
            return ""
        each = [statistics.median(seconds)] * max(0, left - len(ended))
        return f"about {duration(wall_seconds(each, len(jobs)))} left" if each else ""

    with (
        executor,
        study_progress(console, cells=left, left=time_left, what="trials", last="ending") as progress,
    ):

        def on_signal(number: int) -> None:
            stopped.append(number)
            executor.stop()
            if len(stopped) == 1:
                progress.say("Stopping: trials end after the step that they are in. Once more kills them")

        def report(job: Job, event: Event) -> None:
            if event["event"] == "trial ended" and event["state"] not in ("stopped", "failed"):
                ended.append(event["trial"])
                if event["state"] == "complete":
                    seconds.append(event["seconds"])
            _show(progress, job, event)

        with (
            handled(on_signal, signal.SIGINT, signal.SIGTERM),
            closing(executor.run(jobs, report)) as outcomes,
        ):
            for outcome in outcomes:
                interrupted = interrupted or outcome.state == "stopped"
                if outcome.state == "failed":
                    failures.append(f"{outcome.job.name}: {outcome.error} (log: {outcome.job.log})")
    number = stopped[0] if stopped else signal.SIGINT  # which the training loop may have caught
    return tuple(failures), number if interrupted or stopped else None


def _show(progress: StudyProgress, job: Job, event: Event) -> None:
    """Let people see what a worker tells."""
    kind = event["event"]
    if kind == "lost":
        then = "another trial takes the place of its own" if event["again"] else "giving up"
        progress.say(f"{job.name}: its process died ({event['reason']}); {then}")
    if "trial" not in event:
        return
    name = f"trial {event['trial']}"
    if kind == "trial ended":
        score = score_text(event.get("score"), event.get("stderr"))
        words = {"complete": score, "pruned": f"{score}, cut short at step {event.get('step')}"}
        state = str(event["state"])
        progress.ended(name, words.get(state, state), counts=state != "stopped")
        return
    if kind == "trial":
        values = (f"{key.rpartition('.')[2]} {show(value)}" for key, value in event["values"].items())
        progress.say(f"{name}: {', '.join(values)}")
    progress.event(name, event)


def whole_seconds(trials: Sequence[Trial]) -> list[float]:
    """What whole trials took."""
    return [each.seconds for each in trials if each.state == "complete" and each.seconds is not None]
