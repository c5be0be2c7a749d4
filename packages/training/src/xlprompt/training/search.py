"""A hyper-parameter search: trials of one task and method until there are enough, and what came of them.

This is where the parts meet: `search_space` says what is searched, `search_trials` draws and remembers,
`search_worker` trains in processes of its own, `search_run` is its run in MLflow and `search_report` sums up.
Called again, or on other machines with the same database, a search goes on where it is.
"""

from __future__ import annotations

import io
import json
import shlex
import signal
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from xlprompt.data import TASKS
from xlprompt.data.languages import language
from xlprompt.evaluation import main_metric
from xlprompt.models import backbone_fingerprint, load_backbone, short_name
from xlprompt.training.cells import data_fingerprints, digest, result_parts
from xlprompt.training.executors import make_executor
from xlprompt.training.grid import find_recipe
from xlprompt.training.plan import wall_seconds
from xlprompt.training.progress import duration
from xlprompt.training.recipe import Recipe, recipe_to_dict
from xlprompt.training.search_report import (
    best_trial,
    draw_search,
    score_text,
    shipped_trial,
    trials_table,
    verdict,
    write_best,
)
from xlprompt.training.search_run import SearchRun
from xlprompt.training.search_space import (
    SearchError,
    SearchFile,
    describe,
    load_search,
    shipped_values,
    show,
)
from xlprompt.training.search_trials import SearchTrials, Trial, database_beside, hidden, open_trials
from xlprompt.training.search_worker import SearchJob
from xlprompt.training.signals import handled
from xlprompt.training.study_progress import StudyProgress, study_progress
from xlprompt.training.worker_process import Event, Job

__all__ = ["SearchError", "SearchResult", "run_search"]

_TRIAL = "xlprompt.training.trial"  # whose code decides the scores


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
    overrides = dict(recipe_overrides or {})
    settings = load_search(path, search_overrides)
    if method not in settings.methods:
        raise SearchError(f"{path}: has no method '{method}'; it has {', '.join(settings.methods)}")
    file, recipe = find_recipe(settings.recipe, path, task, method, overrides)
    shipped_values(recipe, settings.space_of(method), file)
    search = _Search(
        settings,
        recipe,
        file,
        method,
        _name(settings, recipe, method, console),
        database or database_beside(store),
        store,
        out / f"{task}-{method}.yaml",
        overrides,
        _command(path, task, method, search_overrides or {}, overrides),
    )
    trials = open_trials(search.database, search.name, settings, method, recipe)
    trials.give_up_dead()
    console.print(_plan(search, trials), highlight=False, markup=False, soft_wrap=True)
    console.print(f"Database {hidden(search.database)}, in it {search.name}", highlight=False, soft_wrap=True)
    run = SearchRun(store, search.name, task)
    failures: tuple[str, ...] = ()
    stopped_by = None
    if not trials.are_complete or not run.is_finished:
        space = {key: describe(knob) for key, knob in settings.space_of(method).items()}
        parent = run.open(recipe, space)
        try:
            if len(trials.trials()) < trials.budget:
                failures, stopped_by = _run_workers(search, trials, parent, console)
        except BaseException as error:
            run.close("FAILED", f"{type(error).__name__}: {error}")
            raise
        _close(run, search, trials, failures, stopped_by)
    return _sum_up(search, trials, run.run_id, failures, stopped_by, console)


@dataclass(frozen=True)
class _Search:
    """A search as it was asked for."""

    settings: SearchFile
    recipe: Recipe
    file: Path
    method: str
    name: str
    database: str
    store: Path
    best: Path
    overrides: Mapping[str, Any]
    command: str

    @property
    def title(self) -> str:
        """Such as `xnli · prompt · xglm-nano`."""
        return f"{self.recipe.task} · {self.method} · {short_name(self.recipe.model)}"

    @property
    def metric(self) -> str:
        """What the development score is called."""
        return main_metric(TASKS[self.recipe.task])

    @property
    def keys(self) -> list[str]:
        """What is searched."""
        return list(self.settings.space_of(self.method))

    def write_best(self, trials: Sequence[Trial], path: Path) -> Path:
        """Write the best trial as a recipe."""
        return write_best(
            path,
            trials,
            shipped=self.file,
            overrides=self.overrides,
            command=self.command,
            language=language(self.recipe.data.train_language).name,
        )

    def job(self, number: int, parent_run_id: str) -> SearchJob:
        """A worker's share."""
        return SearchJob(
            name=f"worker {number}",
            study=self.name,
            method=self.method,
            search=recipe_to_dict(self.settings),
            recipe=recipe_to_dict(self.recipe),
            recipe_path=str(self.file.absolute()),
            database=self.database,
            store=str(self.store.absolute()),
            parent_run_id=parent_run_id,
            directory=str(Path.cwd()),
        )


def _name(settings: SearchFile, recipe: Recipe, method: str, console: Console) -> str:
    """The search's name in the database: another one for whatever could make scores incomparable."""
    backbone = backbone_fingerprint(recipe.model)
    if backbone is None:
        console.print(f"Fetching {recipe.model}, which is not on this machine yet", highlight=False)
        load_backbone(recipe.model)
        backbone = backbone_fingerprint(recipe.model)
    values = recipe_to_dict(settings)
    parts = {
        **result_parts(recipe, data_fingerprints(recipe, test=False), backbone, entry=_TRIAL),
        "seed": recipe.seed,
        "space": values["space"] | values["methods"][method],
        "startup_trials": values["startup_trials"],
        "pruning": values["pruning"],
    }
    return f"{recipe.task}-{method}-{short_name(recipe.model)}-{digest(parts)[:12]}"


def _command(
    path: str | Path,
    task: str,
    method: str,
    settings: Mapping[str, Any],
    overrides: Mapping[str, Any],
) -> str:
    words = ["xlprompt", "search", str(path), "--task", task, "--method", method]
    if "trials" in settings:
        words += ["--trials", str(settings["trials"])]
    for key, value in overrides.items():
        words += ["--set", f"{key}={value if isinstance(value, str) else json.dumps(value)}"]
    return shlex.join(words)


def _plan(search: _Search, trials: SearchTrials) -> str:
    """What is searched, and how much of it is left."""
    known = trials.trials()
    running = sum(each.state == "running" for each in known)
    left = trials.budget - len(known)
    steps = search.recipe.schedule.steps
    lines = [
        f"Search {search.title}: {trials.budget} trials of {steps} steps at most; "
        f"{len(known) - running} done, "
        + (f"{running} running elsewhere, " if running else "")
        + f"{left} to run"
    ]
    if left:
        seconds = _seconds(known)
        executor = search.settings.executor
        workers = (
            f"{executor.workers or 1} at a time, {executor.threads} thread{'s' * (executor.threads > 1)} each"
        )
        lines[0] += f", {workers}"
        if seconds:
            whole = [statistics.median(seconds)] * left
            lines[0] += f"; about {duration(wall_seconds(whole, executor.workers or 1))}"
        shipped = trials.shipped
        width = max(map(len, shipped))
        for key, knob in search.settings.space_of(search.method).items():
            lines.append(f"  {key:<{width}}  {describe(knob)}; the recipe has {show(shipped[key])}")
    return "\n".join(lines)


def _seconds(trials: Sequence[Trial]) -> list[float]:
    """What whole trials took."""
    return [each.seconds for each in trials if each.state == "complete" and each.seconds is not None]


def _run_workers(
    search: _Search, trials: SearchTrials, parent_run_id: str, console: Console
) -> tuple[tuple[str, ...], int | None]:
    """Run trials until there are enough; returns workers' errors, and the signal that came, if one did."""
    known = trials.trials()
    left = trials.budget - len(known)
    executor = make_executor(search.settings.executor)
    jobs = [search.job(number, parent_run_id) for number in range(1, min(executor.workers, left) + 1)]
    seconds = _seconds(known)
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
            if event["event"] == "trial ended" and event["state"] != "stopped":
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
        words = {"complete": score, "pruned": f"cut short at {score}"}
        progress.ended(name, words.get(event["state"], str(event["state"])))
        return
    if kind == "trial":
        values = (f"{key.rpartition('.')[2]} {show(value)}" for key, value in event["values"].items())
        progress.say(f"{name}: {', '.join(values)}")
    progress.event(name, event)


def _close(
    run: SearchRun,
    search: _Search,
    trials: SearchTrials,
    failures: Sequence[str],
    stopped_by: int | None,
) -> None:
    """Give the search's MLflow run its end, with what came of the search where it is complete."""
    if trials.are_complete:
        with tempfile.TemporaryDirectory() as folder:
            _record(run, search, trials, Path(folder))
        run.close("FINISHED")
    elif stopped_by is not None:
        run.close("KILLED", "interrupted; the same command goes on")
    elif failures:
        run.close("FAILED", "\n".join(failures))
    elif any(each.state == "running" for each in trials.trials()):
        run.leave_to_others()
    else:
        run.close("KILLED", "a worker elsewhere was lost; the same command goes on")


def _record(run: SearchRun, search: _Search, trials: SearchTrials, folder: Path) -> None:
    found = trials.trials()
    best, shipped = best_trial(found), shipped_trial(found)
    figures: dict[str, float] = {
        "trials": len(found),
        "trials/pruned": sum(each.state == "pruned" for each in found),
        "trials/diverged": sum(each.state == "diverged" for each in found),
        "cost/trials_seconds": sum(each.seconds or 0.0 for each in found),
    }
    for name, trial in (("best", best), ("shipped", shipped)):
        if trial is not None and trial.score is not None:
            figures[f"{name}/{search.metric}"] = trial.score
    importances = trials.importances()
    figures |= {f"importance/{key}": share for key, share in importances.items()}
    files = draw_search(
        folder, search.title, search.metric, found, search.settings.space_of(search.method), importances
    )
    text = io.StringIO()
    plain = Console(file=text, width=110)
    plain.print(trials_table(found, search.metric, search.keys))
    plain.print(verdict(found), highlight=False)
    (folder / "trials.txt").write_text(text.getvalue(), encoding="utf-8")
    described = json.dumps([asdict(each) for each in found], indent=2, ensure_ascii=False)
    (folder / "trials.json").write_text(described, encoding="utf-8")
    settings = yaml.safe_dump(recipe_to_dict(search.settings), sort_keys=False, allow_unicode=True)
    (folder / "search.yaml").write_text(settings, encoding="utf-8")
    files += [folder / "trials.txt", folder / "trials.json", folder / "search.yaml"]
    if best is not None:
        files.append(search.write_best(found, search.best))
    run.record(figures, files, step=len(found))


def _sum_up(
    search: _Search,
    trials: SearchTrials,
    run_id: str | None,
    failures: tuple[str, ...],
    stopped_by: int | None,
    console: Console,
) -> SearchResult:
    """Print the table and what follows from it."""
    found = trials.trials()
    console.print(trials_table(found, search.metric, search.keys))
    said = verdict(found)
    console.print(said, highlight=False, soft_wrap=True)
    running = sum(each.state == "running" for each in found)
    written = None
    if trials.are_complete and best_trial(found):
        written = search.write_best(found, search.best)
        console.print(f"Train it: xlprompt train {written}", highlight=False, markup=False, soft_wrap=True)
    elif running and not failures and stopped_by is None:
        console.print(
            f"{running} trial{'s are' if running > 1 else ' is'} still running elsewhere; whoever ends the "
            "last one sums up.",
            highlight=False,
        )
    return SearchResult(
        study=search.name,
        task=search.recipe.task,
        method=search.method,
        model=search.recipe.model,
        metric=search.metric,
        budget=trials.budget,
        trials=found,
        best=best_trial(found),
        shipped=shipped_trial(found),
        verdict=said,
        importances=trials.importances() if trials.are_complete else {},
        recipe=written,
        run_id=run_id,
        failures=failures,
        stopped_by=stopped_by,
        finished=trials.are_complete,
    )
