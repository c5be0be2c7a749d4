"""A run outside studies that equals a cell of one is that cell: how it is marked, found and spoken of.

It equals the cell where they have one fingerprint: recipe, seed, data, weights and code agree. A study that
asks for the cell counts such a run as done, and takes it in.
"""

from __future__ import annotations

import sys
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from xlprompt.evaluation.waiting import waiting
from xlprompt.models import backbone_fingerprint
from xlprompt.studies.grid.cells import Cell, Group, cell_fingerprint, digest
from xlprompt.studies.grid.ledger import RUN_TAG, Ledger
from xlprompt.training.fitting.choose_engine import choose_engine
from xlprompt.training.inputs.checks import check_training
from xlprompt.training.machine.environment import usable_cores
from xlprompt.training.machine.imports import quick_imports
from xlprompt.training.recipes.recipe import Recipe, recipe_to_dict
from xlprompt.training.store.database import store_exists
from xlprompt.training.store.new_database import make_meanwhile

if TYPE_CHECKING:
    from xlprompt.training.runs.train import RunResult


def train_alone(
    recipe: Recipe, *, store: Path, console: Console, one_process: bool = True, **options: Any
) -> RunResult | None:
    """Train a run outside studies, which a study that asks for its cell takes in later.

    Args:
        recipe: What to do.
        store: Folder of the MLflow store.
        console: Where progress and scores go.
        one_process: Whether it trains in one process, as a study's cells do. Several share out their sums in
            another order, and are not marked as a cell.
        options: Further arguments of `xlprompt.training.train`, whose errors are raised.

    Returns:
        What the run leaves behind; None in processes other than the first.
    """
    choose_engine(recipe.method, options.get("engine"), options.get("deepspeed_config"))
    check_training(recipe, store=store, device=options.get("device"), resume=options.get("resume"))
    alone = one_process and "torch" not in sys.modules and usable_cores() > 1
    with (
        nullcontext() if store_exists(store) or not alone else make_meanwhile(store),
        waiting(console, "Loading torch and transformers"),
        quick_imports(),
    ):  # here: what is wrong is told without waiting for torch
        from xlprompt.training.runs.train import train

    tags = partial(marks, recipe, store, console) if one_process else dict
    result = train(recipe, store=store, console=console, tags=tags, **options)
    if result is not None and options.get("resume") is not None:
        unmark_if_changed(recipe, store, result.run_id)
    return result


def marks(recipe: Recipe, store: Path, console: Console) -> dict[str, str]:
    """Tags by which a run that now begins is known as a cell; says where it repeats one that has finished.

    Args:
        recipe: The run's.
        store: Folder of the MLflow store.
        console: Where that is said.
    """
    fingerprint = cell_fingerprint(recipe)
    if fingerprint is None:
        return {}
    done = [run for run in Ledger(store).runs_like(recipe.task, fingerprint) if run.status == "FINISHED"]
    if done:
        console.print(
            f"Run {done[0].run_id} has done just this and has finished: the same recipe, seed, data, weights "
            "and code. This one repeats it",
            highlight=False,
            soft_wrap=True,
        )
    return {RUN_TAG: fingerprint}


def unmark_if_changed(recipe: Recipe, store: Path, run_id: str) -> None:
    """Take the marks off a run that was gone on with by other code than it was begun by."""
    fingerprint, ledger = cell_fingerprint(recipe), Ledger(store)
    if fingerprint != ledger.get(run_id).tags.get(RUN_TAG, fingerprint):
        ledger.remove_tag(run_id, RUN_TAG)


def count_in_reports(recipe: Recipe, store: Path, run_id: str) -> None:
    """Let a finished run that was trained elsewhere count as one of a study, which reports are about.

    Runs of one recipe that differ in the seed alone are one group, as cells of a study are. No study takes
    such a run for a cell of its own: what decided its result is not known here.

    Args:
        recipe: What is known of its training.
        store: Folder of the MLflow store.
        run_id: The run.
    """
    values = {**recipe_to_dict(recipe), "model": backbone_fingerprint(recipe.model)}
    del values["seed"]
    shared = digest({"elsewhere": values})
    fingerprint = digest({"elsewhere": values, "run": run_id})
    path = Path("elsewhere")
    cell = Cell(recipe.task, recipe.method, recipe.seed, recipe, path, shared, fingerprint)
    group = Group(recipe.task, recipe.method, recipe.model, shared, (cell,))
    ledger = Ledger(store)
    with ledger.locks.working_on_group(group.fingerprint, group.name):
        ledger.take_in(ledger.get(run_id), cell, group)
        ledger.close_parent(group, "FINISHED")
