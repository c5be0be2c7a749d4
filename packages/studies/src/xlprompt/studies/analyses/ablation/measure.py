"""From a grid file with variants to what they came to: finds their finished runs and compares them.

The runs are made by `xlprompt.studies.grid.study`; a seed that has not finished is left out and said to be.
Where variants differ in the training language, a matrix takes the place of their differences.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from xlprompt.evaluation import TaskRuns, load_runs
from xlprompt.evaluation.terminal import open_console
from xlprompt.evaluation.waiting import waiting
from xlprompt.models.accounting.trained_share import share_of_run
from xlprompt.studies.analyses.ablation.findings import Ablation, compare_variants
from xlprompt.studies.analyses.ablation.section import ablation_answer, ablation_section
from xlprompt.studies.analyses.ablation.settings import Settings
from xlprompt.studies.analyses.analysis import Outcome
from xlprompt.studies.analyses.transfer.findings import TransferMatrix, transfer_matrix
from xlprompt.studies.analyses.transfer.section import transfer_answer, transfer_section
from xlprompt.studies.errors import StudyError
from xlprompt.studies.grid.cells import Group, make_groups
from xlprompt.studies.grid.grid import load_grid
from xlprompt.studies.grid.ledger import CELL_TAG, CellRun, Ledger, open_ledger
from xlprompt.studies.reports.kept_sections import log_section, part_notes


def measure(settings: Settings, *, store: Path, console: Console | None = None) -> Outcome:
    """Compare the variants of a grid, and keep the outcome in the store for reports.

    Args:
        settings: The grid file, and what the study was called with.
        store: Folder of the MLflow store.
        console: Where progress goes; None for nowhere.

    Raises:
        RecipeError: The grid file or a recipe is wrong.
        StudyError: The grid has no two variants, one of them has no finished run, or several of them were
            trained on one language and others on another.
        DataError: Runs were not scored on the same examples.
    """
    grid_path = settings.grid
    grid = load_grid(grid_path, settings.overrides.grid)
    if len(grid.variants) < 2:
        raise StudyError(f"{grid_path}: has no two variants to compare. Name them under `variants`")
    remedy = settings.remedy(store)
    ledger = open_ledger(store, remedy)
    groups = make_groups(grid, grid_path, settings.overrides.recipe)
    missing: list[str] = []
    ways = [
        [group for group in groups if (group.task, group.method) == (task, method)]
        for task in dict.fromkeys(group.task for group in groups)
        for method in grid.methods
    ]
    name = f"ablation-{grid_path.stem}"
    ablations: tuple[Ablation, ...] | tuple[TransferMatrix, ...]
    with waiting(console or open_console(quiet=True), "Comparing the variants"):
        if any(len(set(_trained_on(chosen).values())) > 1 for chosen in ways):
            ablations = tuple(_transfer(chosen, ledger, missing, grid_path, remedy) for chosen in ways)
            section = transfer_section(grid_path.stem, ablations)
            answers = [transfer_answer(each) for each in ablations]
        else:
            ablations = tuple(_compare(chosen, ledger, missing, remedy) for chosen in ways)
            section = ablation_section(grid_path.stem, ablations)
            answers = [ablation_answer(each) for each in ablations]
    part = settings.part()
    params = {"grid": grid_path.name, "seeds": len(grid.seeds)}
    run_id = log_section(store, name, groups[0].model, section, params=params, part=part)
    values = {"ablations": [asdict(each) for each in ablations], "missing": missing}
    notes = [f"Not finished and left out: {', '.join(missing)}"] if missing else []
    notes += part_notes(part)
    return Outcome(ablations, values, [section], run_id, notes=notes, out=grid_path.stem, answers=answers)


def _trained_on(groups: list[Group]) -> dict[str, str]:
    """Training language by variant."""
    return {group.variant: group.cells[0].recipe.data.train_language for group in groups}


def _transfer(
    groups: list[Group], ledger: Ledger, missing: list[str], grid_path: Path, remedy: str
) -> TransferMatrix:
    trained_on = _trained_on(groups)
    if len(set(trained_on.values())) < len(trained_on):
        raise StudyError(
            f"{grid_path}: variants differ in data.train_language and some have the same one. Give each its "
            "own, or all the same"
        )
    counts, _ = _load(groups, ledger, missing, remedy)
    return transfer_matrix(counts, trained_on, method=groups[0].method)


def _compare(groups: list[Group], ledger: Ledger, missing: list[str], remedy: str) -> Ablation:
    counts, shares = _load(groups, ledger, missing, remedy)
    return compare_variants(
        counts,
        [group.variant for group in groups],
        method=groups[0].method,
        train_language=groups[0].cells[0].recipe.data.train_language,
        trainable_percent=shares,
        also_trained_on={group.variant: group.cells[0].recipe.data.also_train_on for group in groups},
    )


def _load(
    groups: list[Group], ledger: Ledger, missing: list[str], remedy: str
) -> tuple[TaskRuns, dict[str, float]]:
    """The variants' predictions, and what share of the parameters each trains."""
    runs: dict[tuple[str, str, int], CellRun] = {}
    for group in groups:
        finished = {run.tags[CELL_TAG]: run for run in ledger.runs_of_group(group)}
        for cell in group.cells:
            if run := finished.get(cell.fingerprint):
                runs[group.task, group.variant, cell.seed] = run
            else:
                missing.append(cell.name)
        if not any(key[1] == group.variant for key in runs):
            raise StudyError(f"{group.name} has no finished run. {remedy}")
    (counts,) = load_runs({key: ledger.predictions(run.run_id) for key, run in runs.items()}).values()
    shares = {
        variant: share
        for (_, variant, _), run in runs.items()
        if (share := share_of_run(run.params)) is not None
    }
    return counts, shares
