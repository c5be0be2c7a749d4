"""Which settings of alignment a store's runs were scored with, and their scores by task and method."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from xlprompt.evaluation import compare, load_runs
from xlprompt.evaluation.comparison.compared import TaskComparison
from xlprompt.studies.analyses.alignment.aligned_runs import KINDS, SWEPT_KEYS, cell_of, settings_of
from xlprompt.studies.analyses.alignment.recommended.rule import Cell, Setting
from xlprompt.studies.grid.ledger import CellRun, Ledger
from xlprompt.studies.grid.run_params import train_languages_of
from xlprompt.training.store.metric_names import KeptPredictions, kept_in

CellKey = tuple[str, str, str]  # task, model, method


def find_cells(
    ledger: Ledger,
    scored: Sequence[CellRun],
    *,
    seeds: Mapping[CellKey, set[int]],
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, list[Cell]]:
    """All settings of each task and method, by model.

    Of runs that differ in more than seed, sentences and layer those with the most settings count. A setting
    counts that all seeds have, and a cell that was scored in other languages than it was trained on.

    Args:
        ledger: Of the store.
        scored: Runs, newest first.
        seeds: The seeds to take, in the order in which the cells shall come.
        say: Is told what is being worked on.

    Raises:
        DataError: Runs of a task were not scored on the same examples.
    """
    groups: dict[CellKey, dict[str, list[CellRun]]] = {key: {} for key in seeds}
    runs_of_seeds = [run for run in scored if int(run.params["seed"]) in seeds.get(cell_of(run), ())]
    settings = settings_of(ledger, runs_of_seeds, *SWEPT_KEYS)
    for run in runs_of_seeds:
        groups[cell_of(run)].setdefault(settings[run.run_id], []).append(run)
    found: dict[str, list[Cell]] = {}
    for (task, model, method), of_cell in groups.items():
        say(f"All settings of {task} {method} with {model}")
        kept = [(_files(ledger, runs, seeds[task, model, method]), runs) for runs in of_cell.values()]
        files, runs = max(kept, key=lambda each: len(each[0].settings), default=(_Files({}, {}), []))
        if files.settings:
            cell = _cell(task, method, train_languages_of(runs), files)
            if cell.languages:  # a run that was scored where it was trained alone has nothing to align
                found.setdefault(model, []).append(cell)
    return found


@dataclass(frozen=True)
class _Files:
    """Prediction files by language: of each seed without alignment, and of each setting and seed."""

    plain: Mapping[int, Mapping[str, Path]]
    settings: Mapping[Setting, Mapping[int, Mapping[str, Path]]]


def _files(ledger: Ledger, runs: Sequence[CellRun], seeds: set[int]) -> _Files:
    plain: dict[int, Mapping[str, Path]] = {}
    settings: dict[Setting, dict[int, Mapping[str, Path]]] = {}
    for run in runs:
        seed = int(run.params["seed"])
        for setting, kept in scored_settings(ledger, run).items():
            plain.setdefault(seed, ledger.predictions(run.run_id))
            settings.setdefault(setting, {}).setdefault(seed, ledger.predictions(run.run_id, *kept))
    complete = {setting: of_seeds for setting, of_seeds in settings.items() if of_seeds.keys() == seeds}
    return _Files(plain, complete)


def scored_settings(ledger: Ledger, run: CellRun) -> dict[Setting, KeptPredictions]:
    """The settings whose predictions a run kept, and what these are called there."""
    found = {}
    sentences, layer = (run.params.get(key, "") for key in SWEPT_KEYS)
    for path in sorted(ledger.artifacts(run.run_id).glob("*")):
        kept = kept_in(path.name)
        if kept is None or kept.kind not in KINDS:
            continue
        if kept.sentences is not None:
            found[Setting(kept.kind, kept.sentences, kept.layer)] = kept
        elif sentences.isdecimal():
            found[Setting(kept.kind, int(sentences), int(layer) if layer.isdecimal() else None)] = kept
    return found


def _cell(task: str, method: str, trained: tuple[str, ...], files: _Files) -> Cell:
    keys = {(task, "none", seed): paths for seed, paths in files.plain.items()}
    for setting, of_seeds in files.settings.items():
        keys |= {(task, setting.name, seed): paths for seed, paths in of_seeds.items()}
    counts = load_runs(keys)[task]
    gains: dict[Setting, TaskComparison] = {}
    for setting in files.settings:
        found = compare(
            {task: counts.only({name: name for name in ("none", setting.name)})},
            method=setting.name,
            baseline="none",
            train_language=trained[0],
            also_trained_on=trained[1:],
            seeds="paired",
        ).tasks[task]
        # All have the same resamples of the same baseline, which need memory once.
        gains[setting] = replace(found, baseline=next(iter(gains.values()), found).baseline)
    return Cell(task, method, trained, gains)
