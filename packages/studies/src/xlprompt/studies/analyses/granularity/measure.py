"""The causal test on token granularity: a study's methods on text that is cut ever more finely.

The models of the store's finished study are scored again at each share of words cut, or, where the sweep
trains, a study is run with each share. Every scoring is a run of the store and is not done twice; what came
of all of them is one more, which the report and the verdict on the fourth claim take up.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from rich.console import Console

from xlprompt.data.how_many import how_many
from xlprompt.data.tokens.cutter import GranularitySettings
from xlprompt.evaluation import load_runs
from xlprompt.evaluation.comparison.counts import RunKey
from xlprompt.evaluation.processes import Processes
from xlprompt.evaluation.terminal import open_console
from xlprompt.evaluation.waiting import counted, waiting
from xlprompt.models import load_tokenizer
from xlprompt.studies.analyses.analysis import Outcome
from xlprompt.studies.analyses.granularity.findings import (
    KIND,
    GranularityFindings,
    compare_shares,
    figures,
    keys_at,
)
from xlprompt.studies.analyses.granularity.section import granularity_answer, granularity_section
from xlprompt.studies.analyses.granularity.settings import Settings, Sweep, part_of
from xlprompt.studies.errors import StudyError
from xlprompt.studies.grid.code_version import code_version
from xlprompt.studies.grid.ledger import TRAINED_BY_TAG, CellRun, Ledger, open_ledger
from xlprompt.studies.grid.study import run_study
from xlprompt.studies.reports.kept_sections import log_section, part_notes
from xlprompt.studies.reports.selection import BASELINE, METHOD, find_runs
from xlprompt.training.errors import CheckpointError, RecipeError
from xlprompt.training.inputs.chosen_data import languages_to_score, open_data, with_data_at
from xlprompt.training.inputs.preparation import Setup, choose_device, load_split
from xlprompt.training.recipes.data_settings import LIMITS
from xlprompt.training.recipes.recipe import Recipe, recipe_from_dict, task_of
from xlprompt.training.recipes.settings import load_settings
from xlprompt.training.runs.evaluate import evaluate
from xlprompt.training.store.checkpoint import load_checkpoint
from xlprompt.training.store.database import find_model, store_exists
from xlprompt.training.store.labels import run_name
from xlprompt.training.store.tracker import TrackingError

SCORING_TAG = "granularity_scoring"


def measure(settings: Settings, *, store: Path, console: Console) -> Outcome:
    """`run_sweep` of what is asked."""
    seeds = settings.seeds
    return run_sweep(
        settings.sweep,
        store=store,
        console=console,
        overrides=settings.of_sweep(),
        grid_overrides={} if seeds is None else {"seeds": seeds if isinstance(seeds, int) else list(seeds)},
        recipe_overrides=settings.recipe,
        data=settings.data,
        device=settings.device,
    )


def run_sweep(
    path: str | Path,
    *,
    store: Path,
    console: Console,
    overrides: Mapping[str, Any] | None = None,
    grid_overrides: Mapping[str, Any] | None = None,
    recipe_overrides: Mapping[str, Any] | None = None,
    data: str | None = None,
    device: str | None = None,
) -> Outcome:
    """Score (or train) both methods at every share, and keep what came out.

    Args:
        path: The sweep's file.
        store: Folder of the MLflow store.
        console: Where progress goes.
        overrides: Values by dotted key that win over the sweep's file.
        grid_overrides: Of a sweep that trains: values that win over the grid file's.
        recipe_overrides: Of a sweep that trains: values that win over every recipe's.
        data: Where the data lie now; None for where they lay in training, or where the recipes say.
        device: As in `train`.

    Raises:
        RecipeError: The file is missing or wrong, or something is given that it would not use.
        StudyError: The store has no study of both methods, or the sweep's could not be finished.
        DataError, RunError: The data are not there.
    """
    if store_exists(store):
        Ledger(store)  # which learns the own tasks that the sweep may name
    sweep = load_settings(path, Sweep, overrides)
    part = part_of(sweep, Path(path), grid_overrides or {})
    left_out: list[str] = []
    if sweep.train is None:
        if given := [*(grid_overrides or {}), *(recipe_overrides or {})]:
            raise RecipeError(f"the command line: {given[0]}: is of training. Add --train, or leave it out")
        with waiting(console, "Reading the study's models"):
            cells, left_out = _of_finished_study(sweep, store, console, data)
        ledger = Ledger(store)
        found, done = _score(cells, sweep, store, ledger, console, device)
    else:
        if device is not None:
            raise RecipeError(f"{path}: trains, on what its study's executor names. Leave --device out")
        changes = {**(recipe_overrides or {}), **({} if data is None else {"data.source": data})}
        cells, found, done = _train(sweep, Path(path), store, console, grid_overrides, changes)
    model = next(iter(cells.values())).recipe.model
    with waiting(console, "Comparing the shares"):
        tokens, cut_away = _tokens(cells, sweep)
        findings = compare_shares(load_runs(found), sweep.shares, tokens, method=METHOD, baseline=BASELINE)
        section = granularity_section(
            findings,
            tokens,
            title=f"Granularity: words cut more finely {_WHERE[sweep.train]}",
            notes=_notes(sweep, findings, cut_away, left_out),
        )
        run_id = log_section(
            store,
            f"{KIND}-{sweep.train or 'evaluation'}",
            model,
            section,
            findings=findings.to_dict(),
            params={**sweep.model_dump(mode="json"), "model": model},
            metrics=figures(findings, tokens),
            part=part,
        )
    answers = [granularity_answer(findings)]
    return Outcome(
        findings, findings.to_dict(), [section], run_id, done, notes=part_notes(part), answers=answers
    )


_WHERE = {None: "in evaluation", "train": "in training", "both": "in training and evaluation"}


@dataclass(frozen=True)
class _Cell:
    """A trained run of the study, and the recipe it was trained by."""

    run: CellRun
    recipe: Recipe
    languages: tuple[str, ...]


def _of_finished_study(
    sweep: Sweep, store: Path, console: Console, data: str | None
) -> tuple[dict[RunKey, _Cell], list[str]]:
    """Trained models by task, method and seed; and, in words, the runs whose weights cannot be read."""
    study = find_runs(open_ledger(store, "Run a study first: make all-tasks"), sweep.model)
    cells: dict[RunKey, _Cell] = {}
    left_out: list[str] = []
    for key, run in study.runs.items():
        task, method, seed = key
        if method not in (METHOD, BASELINE) or (sweep.tasks and task not in sweep.tasks):
            continue
        try:
            stored = load_checkpoint(find_model(store, run.run_id).directory)
        except (CheckpointError, TrackingError) as error:
            # Scores outlive weights, which someone may have deleted for their size.
            left_out.append(f"{method} seed {seed} of {task}")
            console.print(
                f"  left out: {left_out[-1]}. {error}", highlight=False, markup=False, soft_wrap=True
            )
            continue
        recipe = with_data_at(recipe_from_dict(stored.metadata.recipe, origin=run.run_id), data)
        cells[key] = _Cell(run, recipe, _languages(sweep, recipe))
    methods = {task: {key[1] for key in cells if key[0] == task} for task, *_ in cells}
    for task, there in methods.items():
        if missing := {METHOD, BASELINE} - there:
            console.print(
                f"  left out: {task}, of which no model of {missing.pop()} can be read",
                highlight=False,
                markup=False,
                soft_wrap=True,
            )
    cells = {key: cell for key, cell in cells.items() if {METHOD, BASELINE} <= methods[key[0]]}
    if not cells:
        what = f"{', '.join(sweep.tasks or ())} of {study.model}".removeprefix(" of ")
        gone = f"; the weights of {how_many(len(left_out), 'run')} cannot be read" if left_out else ""
        raise StudyError(
            f"{store}: no trained models of {what} by both {METHOD} and {BASELINE}{gone}. Train some first: "
            "make all-tasks"
        )
    return cells, left_out


def _languages(sweep: Sweep, recipe: Recipe) -> tuple[str, ...]:
    """The sweep's languages that the recipe's test sets have.

    Raises:
        StudyError: There are none.
    """
    present = languages_to_score(open_data(recipe), task_of(recipe), recipe.data)
    chosen = tuple(code for code in present if code in sweep.codes())
    if not chosen:
        raise StudyError(
            f"{recipe.task} has no test set in the sweep's languages; it has {', '.join(present)}. Name some "
            "with --languages"
        )
    return chosen


def _score(
    cells: Mapping[RunKey, _Cell],
    sweep: Sweep,
    store: Path,
    ledger: Ledger,
    console: Console,
    device: str | None,
) -> tuple[dict[RunKey, dict[str, Path]], int]:
    """Predictions of every cell at every share, by the keys of granularity.keys_at."""
    found: dict[RunKey, dict[str, Path]] = {}
    known = {
        run.tags[SCORING_TAG]: run.run_id
        for run in reversed(ledger.finished_runs(KIND, "job", KIND))
        if SCORING_TAG in run.tags
    }
    total, done = len(cells) * len(sweep.shares), 0
    with counted(console, "scoring", total, in_logs=False) as advance:
        for number, ((key, cell), share) in enumerate(product(cells.items(), sweep.shares), start=1):
            settings = _settings(sweep, share, cell)
            digest = _digest(cell, settings, sweep.limit)
            if digest not in known:
                console.print(
                    f"  {number}/{total}  {run_name(cell.recipe)}  share {share:g}",
                    highlight=False,
                    markup=False,
                )
                evaluate(
                    cell.run.run_id,
                    store=store,
                    console=open_console(file=io.StringIO()),  # its table is not what was asked for
                    source=cell.recipe.data.source,
                    languages=cell.languages,
                    limit=sweep.limit,
                    device=device,
                    align=("none",),  # whatever the recipe scores with beside it
                    granularity=settings,
                    experiment=KIND,
                    tags={"job": KIND, SCORING_TAG: digest, TRAINED_BY_TAG: cell.run.run_id},
                )
                (run,) = ledger.finished_runs(KIND, SCORING_TAG, digest)[:1]
                known[digest] = run.run_id
                done += 1
            found[keys_at(share, [key])[key]] = ledger.predictions(known[digest])
            advance()
    console.print(f"{total} scorings: {total - done} were there, {done} made", highlight=False)
    return found, done


def _settings(sweep: Sweep, share: float, cell: _Cell) -> GranularitySettings:
    """Each seed has words of its own cut, so that their draw is in the spread over seeds."""
    return GranularitySettings(
        share=share, languages=cell.languages, split="evaluation", kind=sweep.kind, seed=cell.recipe.seed
    )


def _digest(cell: _Cell, settings: GranularitySettings, limit: int | None) -> str:
    """What a scoring depends on: the trained model, the data, the cut and the code."""
    task, source = task_of(cell.recipe), open_data(cell.recipe)
    parts = {
        "run": cell.run.run_id,
        "data": {code: source.fingerprint(task, code, "test") for code in cell.languages},
        "granularity": settings.model_dump(mode="json") if settings.share else None,
        "limit": limit,
        "code": code_version(),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _train(
    sweep: Sweep,
    path: Path,
    store: Path,
    console: Console,
    grid_overrides: Mapping[str, Any] | None,
    recipe_overrides: Mapping[str, Any],
) -> tuple[dict[RunKey, _Cell], dict[RunKey, dict[str, Path]], int]:
    """Run the sweep's study with a variant for each share."""
    if sweep.study is None:
        raise StudyError(f"{path}: a sweep that trains needs a grid file of what is trained: the key study")
    variants: dict[str, dict[str, Any]] = {}
    for share in sweep.shares:
        values = {
            "share": share,
            "split": sweep.train,
            "kind": sweep.kind,
            "languages": list(sweep.codes()),
        }
        prefixed = {f"encoding.granularity.{key}": value for key, value in values.items()}
        variants[_variant(share)] = prefixed if share else {}  # the study as it is, which may be there
    given = {"variants": variants, "methods": [METHOD, BASELINE], **(grid_overrides or {})}
    if sweep.tasks:
        given["tasks"] = list(sweep.tasks)
    limits = {"data.limit": sweep.limit} if sweep.limit else {}
    models = {"model": sweep.model} if sweep.model else {}
    result = run_study(
        path.parent / sweep.study,
        store=store,
        console=console,
        grid_overrides=given,
        recipe_overrides={**models, **limits, **recipe_overrides},
    )
    if not result.finished:
        reasons = "; ".join(f"{name}: {error}" for name, error in result.failures.items())
        raise StudyError(f"the sweep's study is not finished; the same command goes on. {reasons}".rstrip())
    ledger = Ledger(store)
    cells: dict[RunKey, _Cell] = {}
    found: dict[RunKey, dict[str, Path]] = {}
    shares = {_variant(share): share for share in sweep.shares}
    for group in (each.group for each in result.results):
        for cell in group.cells:
            run = next(iter(ledger.runs_of_cell(cell.task, cell.fingerprint)))
            key = (cell.task, cell.method, cell.seed)
            languages = _languages(sweep, cell.recipe)
            predictions = ledger.predictions(run.run_id)
            found[keys_at(shares[group.variant], [key])[key]] = {
                code: predictions[code] for code in languages
            }
            cells.setdefault(key, _Cell(run, cell.recipe, languages))
    return cells, found, len(result.plan.to_do)


def _variant(share: float) -> str:
    return f"share-{share:g}"


def _tokens(
    cells: Mapping[RunKey, _Cell], sweep: Sweep
) -> tuple[dict[tuple[str, str], float], dict[str, int]]:
    """Tokens at the largest share for one at the smallest, by task and language, and cut examples by task."""
    ratios: dict[tuple[str, str], float] = {}
    cut_away: dict[str, int] = {}
    if sweep.train == "train":  # scored on text as it is
        return ratios, cut_away
    of_task: dict[str, _Cell] = {}
    for (name, _, _), cell in cells.items():
        of_task.setdefault(name, cell)
    device = choose_device("cpu")
    for name, cell in of_task.items():
        source, tokenizer = open_data(cell.recipe), load_tokenizer(cell.recipe.model)
        for code in cell.languages:
            totals = []
            for share in (sweep.shares[0], sweep.shares[-1]):
                settings = _settings(sweep, share, cell)
                encoding = cell.recipe.encoding.model_copy(update={"granularity": settings})
                limits = dict.fromkeys(LIMITS, sweep.limit) if sweep.limit else {}
                data = cell.recipe.data.model_copy(update=limits)
                recipe = cell.recipe.model_copy(update={"encoding": encoding, "data": data})
                setup = Setup(recipe, task_of(recipe), source, tokenizer, device, Processes(device=device))
                encoded = load_split(setup, code, "test").encoded
                totals.append(int(encoded.lengths.sum()))
                cut_away[name] = max(cut_away.get(name, 0), encoded.truncated)
            ratios[name, code] = totals[1] / totals[0]
    return ratios, cut_away


def _notes(
    sweep: Sweep, findings: GranularityFindings, cut_away: Mapping[str, int], left_out: Sequence[str]
) -> list[str]:
    how = {
        "forced": "each token of a chosen word is written with as few smaller known ones as possible",
        "sampling": "a chosen word's tokens are drawn from the tokenizer's distribution over cuts",
    }[sweep.kind]
    notes = [f"How: {how}."]
    if sweep.train is None:
        notes.append("The study's models, trained on text as it is, were scored on the finer text.")
    else:
        notes.append(
            "Both methods were trained anew for each share; finer text of the training language needs it to "
            "be among the languages that are cut."
        )
    counts = {len(seeds) for of_task in findings.seeds.values() for seeds in of_task.values()}
    notes.append(f"Seeds of a method: {' to '.join(map(str, sorted({min(counts), max(counts)})))}.")
    if left_out:
        notes.append(f"Left out, since their weights cannot be read: {', '.join(left_out)}.")
    if longest := {name: number for name, number in cut_away.items() if number}:
        listed = ", ".join(f"{number} of {name}" for name, number in longest.items())
        notes.append(f"In the longest rows text was cut away (examples of a language, at most: {listed}).")
    return notes
