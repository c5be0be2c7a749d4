"""The ways in from Python, as `import xlprompt` has them: what the commands do, with data frames as answers.

Each function calls what the command of its name calls, and shows no progress unless it is given a console.
Scores are tidy: a row a run and language, so that frames of several runs can be put below each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console

from xlprompt.data.tasks.own import OWN
from xlprompt.evaluation import TransferReport
from xlprompt.evaluation import compare as compare_methods
from xlprompt.evaluation.comparison.compared import Difference, GroupDifference
from xlprompt.evaluation.terminal import open_console
from xlprompt.models import short_name
from xlprompt.studies.errors import StudyError
from xlprompt.studies.grid.ledger import CellRun, open_ledger
from xlprompt.studies.grid.run_params import train_languages_of
from xlprompt.studies.grid.single_runs import train_alone
from xlprompt.studies.reports.selection import BASELINE, METHOD, find_runs, newest_runs
from xlprompt.studies.reports.sources import RunSource, open_runs
from xlprompt.training import evaluate as evaluate_checkpoint
from xlprompt.training import find_checkpoint, load_recipe, open_predictor
from xlprompt.training.errors import RecipeError
from xlprompt.training.exchange.peft_import import Imported, import_from_peft
from xlprompt.training.recipes.recipe import Recipe, recipe_from_dict
from xlprompt.training.recipes.unused_keys import refuse_unused
from xlprompt.training.runs.predictor import Predictor
from xlprompt.training.store.find import find_place, find_run_id
from xlprompt.training.store.hub_folders import local_copy
from xlprompt.training.store.listing import ListedRun, list_runs
from xlprompt.training.store.metric_names import MEAN_ZERO_SHOT

_STORE = "mlruns"
_STUDY_FIRST = "Run a study first (make all-tasks), name another store, or name the runs"


def load(
    run: str | Path = "latest",
    *,
    store: str | Path = _STORE,
    device: str | None = None,
    model: str | None = None,
) -> Predictor:
    """Load a trained model, its backbone once, to label text.

    Args:
        run: `latest`, a run's name (`xnli-prompt-xglm-nano-seed0`), its id or the first four letters of that
            or more, a checkpoint's folder, or the hub id of one.
        store: Folder of the MLflow store where runs are looked up.
        device: `cpu` or `cuda[:n]`; None takes a GPU where there is one.
        model: Where the backbone lies now, a folder or a hub id; None for where it lay in training.

    Returns:
        What `predict` is called on: `load("latest").predict([("A man sleeps.", "Nobody sleeps.")])`.

    Raises:
        TrackingError, CheckpointError: There is no such run or checkpoint, or the backbone is another.
        ModelError: The backbone is not where it lay, or cannot be loaded.
        RunError: There is no such device.
    """
    checkpoint, _ = find_checkpoint(run, Path(store))
    return open_predictor(checkpoint, device=device, model=model)


def train(
    *recipe: str | Path,
    task: str | None = None,
    method: str | None = None,
    scale: str | None = None,
    model: str | None = None,
    data: str | Path | None = None,
    seed: int | None = None,
    set: Mapping[str, Any] | None = None,  # noqa: A002  # as the command's option
    store: str | Path = _STORE,
    device: str | None = None,
    engine: str | None = None,
    resume: str | None = None,
    console: Console | None = None,
) -> pd.DataFrame:
    """Train by a recipe, and score every language; the run stands in the store.

    Args:
        recipe: Files, of which later ones win; `experiments/mini/xnli-prompt.yaml` also stands for two. None
            for the one of `experiments/` below this folder that `task`, `method` and `scale` name.
        task: A task of the recipes, where no file is given; None with `data` for the task that the data are.
        method: A method, where no file is given; None for prompts.
        scale: A folder of recipes, where no file is given; None for mini.
        model: The backbone, instead of the recipe's.
        data: `mini`, `hub` or a folder, instead of the recipe's.
        seed: The seed, instead of the recipe's.
        set: Any other keys of the recipe: `{"schedule.steps": 100}`.
        store: Folder of the MLflow store, made where there is none.
        device: `cpu` or `cuda[:n]`; None takes a GPU where there is one.
        engine: `torch` or `deepspeed`; None takes DeepSpeed for full fine-tuning and torch for all else.
        resume: Go on with an interrupted run: `latest`, of this recipe, or a named one.
        console: Where progress goes; None shows none.

    Returns:
        Test scores: see `evaluate`. `load(scores.run[0])` loads what was trained.

    Raises:
        RecipeError: The recipe, or a value given for it, is not as it should be.
        RunError, DataError, ModelError, EngineError: See `xlprompt.training.train`.
    """
    named = {"task": task, "method": method, "scale": scale}
    if recipe and (passed_over := [name for name, value in named.items() if value is not None]):
        raise RecipeError(
            f"{passed_over[0]}: names a recipe where no file is given, and {recipe[0]} is. Leave one out"
        )
    files = list(recipe) or [_recipe_named(task, method or "prompt", scale or "mini", data)]
    given = {"model": model, "data.source": None if data is None else str(data), "seed": seed}
    overrides = {**{key: value for key, value in given.items() if value is not None}, **(set or {})}
    loaded = load_recipe(files, overrides)
    refuse_unused(overrides, [loaded])
    result = train_alone(
        loaded,
        store=Path(store),
        console=console or open_console(quiet=True),
        recipe_path=Path(files[0]),
        device=device,
        engine=engine,
        resume=resume,
    )
    if result is None:
        raise RecipeError("train is called in one process; use `xlprompt train --launcher` for several")
    return _scores(result.run_id, loaded, result.report)


def evaluate(
    run: str | Path = "latest",
    *,
    data: str | Path | None = None,
    languages: Sequence[str] | None = None,
    split: str = "test",
    limit: int | None = None,
    align: Sequence[str] = (),
    store: str | Path = _STORE,
    device: str | None = None,
    model: str | None = None,
    console: Console | None = None,
) -> pd.DataFrame:
    """Score a trained model by language; the scores stand in the store too, as a run of their own.

    Args:
        run: As `load` takes it.
        data: `mini`, `hub` or a folder, instead of what it was trained on.
        languages: These languages only.
        split: `test` or `validation`.
        limit: At most this many examples of each language.
        align: Kinds of alignment to score with as well: `mean`, `mean_scale`, `principal`, `subspace`.
        store: Folder of the MLflow store.
        device: As in `load`.
        model: As in `load`.
        console: Where progress goes; None shows none.

    Returns:
        A row for each language and kind of alignment: `run` (the one that trained, or its folder), `task`,
        `method`, `model`, `seed`, `split`, `alignment`, `language`, `zero_shot` (whether it was not trained
        on), `metric`, `score` in percent, `stderr`, `examples` and `collapsed`.

    Raises:
        RecipeError, CheckpointError, TrackingError, ModelError, RunError: See `xlprompt.training.evaluate`.
    """
    place = find_place(run, Path(store))
    scores = evaluate_checkpoint(
        place,
        store=Path(store),
        console=console or open_console(quiet=True),
        source=None if data is None else str(data),
        languages=languages,
        split=split,
        limit=limit,
        align=align,
        device=device,
        model=model,
    )
    checkpoint, _ = find_checkpoint(place, Path(store))
    recipe = recipe_from_dict(checkpoint.metadata.recipe, origin=str(place))
    reports = {"none": scores.report, **scores.aligned}
    frames = [_scores(str(place), recipe, report, kind) for kind, report in reports.items()]
    return pd.concat(frames, ignore_index=True)


def import_peft(
    folder: str | Path,
    *recipe: str | Path,
    task: str | None = None,
    labels: Sequence[str] = (),
    data: str | Path | None = None,
    model: str | None = None,
    set: Mapping[str, Any] | None = None,  # noqa: A002  # as the command's option
    store: str | Path = _STORE,
    device: str | None = None,
    console: Console | None = None,
) -> Imported:
    """Make a run of an adapter that PEFT has trained; with data, score it on every language.

    Args:
        folder: What PEFT's `save_pretrained` wrote, or the hub id of it.
        recipe: Files that say how texts are encoded and scored, where the task and tokenizer do not.
        task: What it was trained for; not needed for what xlprompt has exported.
        labels: The labels of its logits in their order; the task's order where none are given.
        data: `mini`, `hub` or a folder to score it on.
        model: The backbone; None for the one that it names.
        set: Any other keys of the recipe: `{"data.languages": ["de"]}`.
        store: Folder of the MLflow store, made where there is none.
        device: As in `load`.
        console: Where progress goes; None shows none.

    Returns:
        The run: `load(imported.run_id)` loads it, `imported.notes` say what has to be known of it, and
        `imported.scores` are there with data.

    Raises:
        ModelError, RecipeError, RunError, CheckpointError: See
            `xlprompt.training.exchange.peft_import.import_from_peft`.
    """
    given = {"task": task, "data.source": None if data is None else str(data)}
    return import_from_peft(
        local_copy(str(folder)),
        store=Path(store),
        console=console or open_console(quiet=True),
        recipe_paths=[Path(each) for each in recipe],
        overrides={**{key: value for key, value in given.items() if value is not None}, **(set or {})},
        labels=labels,
        model=model,
        device=device,
    )


def _require_comparable(
    named: Sequence[CellRun],
    both: str | None,
    backbone: str | None,
    train_language: str | None,
    published: Sequence[str | Path],
) -> None:
    """Refuse named runs of several models or of more than two methods, and what would be passed over."""
    given = {"backbone": backbone, "train_language": train_language, "published": published}
    if unused := [name for name, value in given.items() if value]:
        raise StudyError(f"{unused[0]} chooses among the store's study, and runs are named. Leave it out")
    models = sorted({run.tags["model"] for run in named})
    if len(models) > 1:
        raise StudyError(f"the runs are of several models: {', '.join(models)}. Name runs of one")
    methods = list(dict.fromkeys(run.tags["method"] for run in named))
    if len(methods) > 2 and not both:
        raise StudyError(
            f"the runs are of {len(methods)} methods: {', '.join(methods)}. Say which two: method, baseline"
        )


def compare(
    *run: str,
    method: str | None = None,
    baseline: str | None = None,
    backbone: str | None = None,
    train_language: str | None = None,
    published: str | Path | Sequence[str | Path] = (),
    store: str | Path = _STORE,
) -> pd.DataFrame:
    """Compare two methods by language, over the seeds and the test examples of their runs.

    Args:
        run: Runs of the store as `load` takes them, of two methods; none for those of the store's study,
            which `xlprompt report` is about.
        method: The method whose wins are counted; None for the first run's, or the prompt.
        baseline: The method it is compared with; None for the other run's, or fine-tuning (the prompt, where
            `method` is fine-tuning).
        backbone: Of the runs on this one; needed only where the store has studies of several.
        train_language: Of the runs trained on this language, or these (`en+de`).
        published: A file of published runs, or several, which count as if they were the store's study.
        store: Folder of the MLflow store.

    Returns:
        A row for each task and language, and one for the task's mean over the languages that were not trained
        on (`mean_zero_shot`): `task`, `metric`, `language`, a column of each method's mean score in percent,
        `difference` with the ends of its 95 % interval, `low` and `high`, `p_value`, and by language
        `p_adjusted` by Holm's correction and `outcome` (win, tie or loss). With one seed of a method there is
        neither interval nor outcome.

    Raises:
        StudyError: There are no such runs, or they are not of two methods and one model; runs are named, and
            something is given that says which to take of the store's study.
        TrackingError: There is no such run.
        DataError: Runs of a task were not scored on the same examples.
    """
    if isinstance(published, str | Path):
        published = (published,)
    if run:
        ledger = open_ledger(Path(store), _STUDY_FIRST)
        source = RunSource(Path(store), ledger)
        named = [ledger.get(find_run_id(each, Path(store))) for each in run]
        _require_comparable(named, method and baseline, backbone, train_language, published)
        runs = _by_cell(named)
        methods = list(dict.fromkeys(key[1] for key in runs))
    else:
        source = open_runs(Path(store), [Path(each) for each in published], _STUDY_FIRST)
        usual = {method, baseline} <= {METHOD, BASELINE, None}
        choose = find_runs if usual else newest_runs  # the former tells what a report lacks
        runs, methods = dict(choose(source, backbone, train_language).runs), [METHOD, BASELINE]
    ours = method or next((each for each in methods if each != baseline), METHOD)
    theirs = baseline or next((each for each in reversed(methods) if each != ours), BASELINE)
    cells = {(key[0], key[1]) for key in runs}
    tasks = [
        task for task in dict.fromkeys(key[0] for key in runs) if {(task, ours), (task, theirs)} <= cells
    ]
    if not tasks or ours == theirs:
        there = ", ".join(sorted(f"{task} {name}" for task, name in cells)) or "none"
        raise StudyError(
            f"no task has finished runs of both {ours} and {theirs}, only {there}. Name other runs"
        )
    chosen = {key: of for key, of in runs.items() if key[0] in tasks and key[1] in (ours, theirs)}
    counts = {
        task: source.counts({key: of for key, of in chosen.items() if key[0] == task}) for task in tasks
    }
    trained, *more = train_languages_of(chosen.values())
    found = compare_methods(
        counts, method=ours, baseline=theirs, train_language=trained, also_trained_on=more
    )
    rows: list[dict[str, Any]] = []
    for task in tasks:
        shared = {"task": task, "metric": found.tasks[task].metric}
        by_language = [row for row in found.differences if row.task == task]
        rows += [
            {**shared, "language": row.language, **_compared(row, ours, theirs)}
            | {"p_adjusted": row.p_adjusted, "outcome": row.outcome}
            for row in by_language
        ]
        mean = found.zero_shot(task)
        if mean is not None:
            rows.append({**shared, "language": MEAN_ZERO_SHOT, **_compared(mean, ours, theirs)})
    return pd.DataFrame(rows)


def runs(
    *,
    task: str | None = None,
    method: str | None = None,
    model: str | None = None,
    limit: int | None = None,
    store: str | Path = _STORE,
) -> pd.DataFrame:
    """The training runs of a store, newest first, as `xlprompt runs` lists them.

    Args:
        task: Only of this task.
        method: Only of this method.
        model: Only on this backbone.
        limit: At most so many.
        store: Folder of the MLflow store.

    Returns:
        A row a run, in the columns of `xlprompt.training.store.listing.ListedRun`.

    Raises:
        TrackingError: There is no store, or it cannot be read.
    """
    found = list_runs(Path(store), task=task, method=method, model=model, limit=limit)
    return pd.DataFrame([vars(each) for each in found], columns=[each.name for each in fields(ListedRun)])


def _recipe_named(task: str | None, method: str, scale: str, data: str | Path | None) -> Path:
    if task is None and data is None:
        raise RecipeError("nothing says what to train: give a recipe file, or a task, such as task='xnli'")
    return Path("experiments", scale, f"{task or OWN}-{method}.yaml")


def _scores(run: str, recipe: Recipe, report: TransferReport, alignment: str = "none") -> pd.DataFrame:
    """A report's main metric by language, as `evaluate` describes it."""
    what = {
        "run": run,
        "task": recipe.task,
        "method": recipe.method,
        "model": short_name(recipe.model),
        "seed": recipe.seed,
        "split": report.split.removesuffix(f"-{alignment}"),
        "alignment": alignment,
    }
    return pd.DataFrame(
        {
            **what,
            "language": code,
            "zero_shot": code not in report.trained_languages,
            "metric": report.metric,
            "score": result.scores[report.metric].value,
            "stderr": result.scores[report.metric].stderr,
            "examples": result.examples,
            "collapsed": result.collapsed,
        }
        for code, result in report.results.items()
    )


def _by_cell(runs: Sequence[CellRun]) -> dict[tuple[str, str, int], CellRun]:
    """Runs by task, method and seed.

    Raises:
        StudyError: Two are of one seed.
    """
    found: dict[tuple[str, str, int], CellRun] = {}
    for run in runs:
        key = (run.tags["task"], run.tags["method"], int(run.params["seed"]))
        if found.setdefault(key, run).run_id != run.run_id:
            task, method, seed = key
            raise StudyError(
                f"two runs are of {task}, {method}, seed {seed}: {found[key].run_id} and {run.run_id}"
            )
    return found


def _compared(row: Difference | GroupDifference, method: str, baseline: str) -> dict[str, Any]:
    estimate = row.estimate
    return {
        method: row.method,
        baseline: row.baseline,
        "difference": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "p_value": estimate.p_value,
    }
