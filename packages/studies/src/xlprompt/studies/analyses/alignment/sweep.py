"""Scores the finished runs of a store's newest study again with alignment, by number of sentences or layer.

Each scoring is what `xlprompt evaluate RUN --align ...` makes, a run of the store with a tag by which it is
known, and is not made twice; so the same call goes on. What comes of all of them is measure.py's.
"""

from __future__ import annotations

import hashlib
import json
import signal
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from xlprompt.data.sources import Source
from xlprompt.evaluation.waiting import counted, waiting
from xlprompt.studies.analyses.alignment.aligned_runs import KINDS
from xlprompt.studies.analyses.alignment.worker import SWEEP_TAG, AlignmentJob
from xlprompt.studies.errors import StudyError
from xlprompt.studies.executors.choose import make_executor
from xlprompt.studies.executors.executor import visible_gpus
from xlprompt.studies.executors.settings import ExecutorSettings
from xlprompt.studies.grid.code_version import code_version
from xlprompt.studies.grid.ledger import CellRun, Ledger, open_ledger
from xlprompt.studies.reports.selection import newest_runs
from xlprompt.training.errors import RecipeError
from xlprompt.training.inputs.chosen_data import languages_to_score, open_data, with_data_at
from xlprompt.training.machine.environment import usable_cores
from xlprompt.training.machine.signals import handled
from xlprompt.training.recipes.recipe import Recipe, task_of
from xlprompt.training.store.labels import run_name
from xlprompt.training.store.recipe_file import stored_recipe

SENTENCES = (5, 10, 20, 50, 100, 200)


@dataclass(frozen=True)
class AlignmentSweep:
    """What is scored.

    Attributes:
        kinds: Kinds of alignment.
        sentences: Numbers of unlabelled sentences of a language; the largest is what gains are told of.
        layers: Decoder layers, None for what the head reads; the last is what gains are told of, and what
            the numbers of sentences are swept at. Each costs a pass over the test sets for each kind.
        model: Backbone; needed only where the store has studies of several.
        tasks: Tasks; none for all that the study has.
        methods: Methods; likewise.
        seeds: Seeds; likewise. A number is that of the first ones.
        languages: Languages; none for the recipes' choice.
        limit: At most this many test examples of each language; None for the recipes' limits.
        data: Where the data lie now; None for where they lay in training.
    """

    kinds: tuple[str, ...] = KINDS
    sentences: tuple[int, ...] = SENTENCES
    layers: tuple[int | None, ...] = (None,)
    model: str | None = None
    tasks: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    seeds: int | tuple[int, ...] | None = None
    languages: tuple[str, ...] = ()
    limit: int | None = None
    data: str | None = None

    def __post_init__(self) -> None:
        """Refuse a number of seeds that is none.

        Raises:
            StudyError: It is below 1.
        """
        if isinstance(self.seeds, int) and self.seeds < 1:
            raise StudyError(f"seeds: expected at least one, got {self.seeds}")

    def parts(self) -> list[tuple[tuple[int, ...], tuple[int | None, ...]]]:
        """Sentences and layers of each scoring: one scoring sweeps over one of the two."""
        numbers = tuple(sorted(set(self.sentences)))
        if len(numbers) > 1 and len(self.layers) > 1:
            return [(numbers, self.layers[-1:]), (numbers[-1:], self.layers)]
        return [(numbers, self.layers)]


@dataclass(frozen=True)
class SweepResult:
    """How a sweep went.

    Attributes:
        model: The study's backbone.
        known: Scorings that were there.
        done: Scorings that this call has made.
        failures: By name, why a scoring could not be made.
        stopped_by: The signal that ended it early; None where none did.
    """

    model: str
    known: int
    done: int
    failures: Mapping[str, str]
    stopped_by: int | None


def sweep_alignment(
    sweep: AlignmentSweep,
    *,
    store: Path,
    console: Console,
    device: str | None = None,
    workers: int = 1,
) -> SweepResult:
    """Make the scorings that the store does not have yet.

    Args:
        sweep: What is scored.
        store: Folder of the MLflow store.
        console: Where progress goes.
        device: As in `train`.
        workers: Scorings at a time. One is made in this very process; several in processes of their own,
            which share the cores and the GPUs.

    Raises:
        RecipeError: There is no such kind of alignment.
        StudyError: The store has no finished study, or none with these tasks, methods and seeds, or studies
            of several models and none is named.
        DataError, RunError: The data of a run are not there.
    """
    if unknown := [kind for kind in sweep.kinds if kind not in KINDS]:
        raise RecipeError(f"there is no alignment '{unknown[0]}'; the kinds are {', '.join(KINDS)}")
    remedy = "Run a study first: make all-tasks"
    ledger = open_ledger(store, remedy, tasks=sweep.tasks, methods=sweep.methods)
    with waiting(console, "Reading the store"):
        newest = newest_runs(ledger, sweep.model)
    chosen = {key: run for key, run in newest.runs.items() if _is_wanted(key, sweep, newest.runs)}
    if not chosen:
        there = ", ".join(sorted({f"{task} {method}" for task, method, _ in newest.runs}))
        raise StudyError(
            f"no finished run of a study{f' of {newest.model}' if newest.model else ''} with these tasks, "
            f"methods and seeds. {f'There are: {there}' if there else 'Run one: make all-tasks'}"
        )
    executor = _executor(device, workers)
    with waiting(console, "Reading runs and data"):
        jobs = _jobs(sweep, chosen, ledger, store, device, executor.threads)
        left = [job for job in jobs if not ledger.finished_runs(job.task, SWEEP_TAG, job.digest)]
    console.print(
        f"Runs: {len(chosen)}, scorings: {len(jobs)}, of which {len(jobs) - len(left)} are there",
        highlight=False,
    )
    failures, done, stopped = _run(left, executor, console)
    return SweepResult(newest.model, len(jobs) - len(left), done, failures, stopped)


def _is_wanted(
    key: tuple[str, str, int], sweep: AlignmentSweep, runs: Mapping[tuple[str, str, int], CellRun]
) -> bool:
    task, method, seed = key
    if (sweep.tasks and task not in sweep.tasks) or (sweep.methods and method not in sweep.methods):
        return False
    if isinstance(sweep.seeds, int):
        return seed in sorted(other[2] for other in runs if other[:2] == (task, method))[: sweep.seeds]
    return sweep.seeds is None or seed in sweep.seeds


def _executor(device: str | None, workers: int) -> ExecutorSettings:
    threads = max(1, usable_cores() // max(1, workers))
    gpus = [] if device == "cpu" else visible_gpus()
    share = min(1.0, len(gpus) / workers) if gpus else 0.0
    return ExecutorSettings(workers=0 if workers < 2 else workers, threads=threads, gpus=share, retries=0)


def _jobs(
    sweep: AlignmentSweep,
    runs: Mapping[tuple[str, str, int], CellRun],
    ledger: Ledger,
    store: Path,
    device: str | None,
    threads: int,
) -> list[AlignmentJob]:
    jobs = []
    contents: dict[tuple[str, str], dict[str, str]] = {}
    for (task, _, _), run in runs.items():
        recipe = with_data_at(stored_recipe(ledger.artifacts(run.run_id), run.run_id), sweep.data)
        source = open_data(recipe)
        languages = _languages(sweep, source, recipe)
        where = (task, json.dumps(recipe.data.model_dump(mode="json"), sort_keys=True))
        if where not in contents:
            contents[where] = _contents(source, recipe, languages)
        for sentences, layers in sweep.parts():
            what = {
                "kinds": sweep.kinds,
                "sentences": sentences,
                "layers": layers,
                "languages": languages if sweep.languages else None,
                "limit": sweep.limit,
            }
            parts = {"run": run.run_id, "data": contents[where], "code": code_version(), **what}
            name = f"{run_name(recipe)}{'-layers' if len(layers) > 1 else ''}"
            jobs.append(
                AlignmentJob(
                    name=name,
                    task=task,
                    run_id=run.run_id,
                    digest=hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest(),
                    kinds=sweep.kinds,
                    sentences=sentences,
                    layers=layers,
                    languages=languages if sweep.languages else None,
                    limit=sweep.limit,
                    data=recipe.data.source,
                    device=device,
                    store=str(store.absolute()),
                    threads=threads,
                    directory=str(Path.cwd()),
                )
            )
    return jobs


def _languages(sweep: AlignmentSweep, source: Source, recipe: Recipe) -> tuple[str, ...]:
    """The languages that a run is scored in.

    Raises:
        StudyError: It has a test set in none of those that are wanted.
    """
    present = languages_to_score(source, task_of(recipe), recipe.data)
    chosen = tuple(code for code in present if not sweep.languages or code in sweep.languages)
    if not chosen:
        raise StudyError(
            f"{recipe.task} has no test set in {', '.join(sweep.languages)}; it has {', '.join(present)}. "
            "Name some of these with --languages, or other tasks with --tasks"
        )
    return chosen


def _contents(source: Source, recipe: Recipe, languages: Sequence[str]) -> dict[str, str]:
    """Fingerprints of all that is read: test sets, and the text that moments are of."""
    task = task_of(recipe)
    contents = {f"{code}/test": source.fingerprint(task, code, "test") for code in languages}
    for code in {*languages, recipe.data.train_language}:
        for split in ("validation", "train"):  # as alignment.find_text chooses
            if code in source.languages(task, split):
                contents[f"{code}/{split}"] = source.fingerprint(task, code, split)
                break
    return contents


def _run(
    jobs: Sequence[AlignmentJob], settings: ExecutorSettings, console: Console
) -> tuple[dict[str, str], int, int | None]:
    """Failures by name, how many scorings were made, and the signal that came, if one did."""
    failures: dict[str, str] = {}
    done = 0
    stopped: list[int] = []
    interrupted = False
    if not jobs:
        return failures, done, None
    with make_executor(settings) as executor:

        def on_signal(number: int) -> None:
            stopped.append(number)
            executor.stop()

        console.print(f"In {executor.description}", highlight=False, markup=False)
        with (
            counted(console, "scoring", len(jobs), in_logs=False) as advance,
            handled(on_signal, signal.SIGINT, signal.SIGTERM),
            closing(executor.run(jobs, lambda job, event: None)) as outcomes,
        ):
            for number, outcome in enumerate(outcomes, start=1):
                name = outcome.job.name
                if outcome.state == "failed":
                    failures[name] = f"{outcome.error} (log: {outcome.job.log})"
                done += outcome.state == "finished"
                interrupted = interrupted or outcome.state == "stopped"
                console.print(
                    f"  {number}/{len(jobs)}  {name}  {outcome.state}", highlight=False, markup=False
                )
                advance()
    number = stopped[0] if stopped else signal.SIGINT  # which the scoring itself may have caught
    return failures, done, number if interrupted or stopped else None
