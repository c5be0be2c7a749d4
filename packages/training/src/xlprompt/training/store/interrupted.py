"""Runs of a store that were interrupted and can be gone on with."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mlflow.entities import Run

from xlprompt.training.errors import CheckpointError
from xlprompt.training.recipes.recipe import Recipe, flatten
from xlprompt.training.store.database import find_run, is_at_work, open_client
from xlprompt.training.store.training_state import FREE_KEYS, Identity, read_identity, saved_steps

LATEST = "latest"


@dataclass(frozen=True)
class Interrupted:
    """A run of the store that has training states."""

    folder: Path
    identity: Identity


def states_folder(store: Path, task: str, name: str, run_id: str) -> Path:
    """Where a run's training states lie until it has finished."""
    return store / "training-states" / f"{task}-{name}-{run_id}"


def find_interrupted(store: Path, recipe: Recipe, which: str) -> Interrupted | None:
    """The interrupted run with this id, or when `which` is `LATEST` the newest of the recipe that rests.

    Raises:
        CheckpointError: There is no training state of the run that was named.
    """
    # Data elsewhere may be other data, and what they are is not known here: that asks for another run.
    wanted = {key: value for key, value in flatten(recipe).items() if key not in FREE_KEYS - {"data.source"}}
    found = []
    for folder, run in _folders_and_runs(store):
        identity = read_identity(folder)
        if identity is None:
            continue
        if identity.run_id == which:
            return Interrupted(folder, identity)
        same = all(identity.recipe.get(key) == value for key, value in wanted.items())
        if which == LATEST and same and not (run and is_at_work(run)):
            found.append(Interrupted(folder, identity))
    if which != LATEST:
        raise CheckpointError(
            f"{store}: has no training state of a run '{which}'. Give the id of an interrupted run, or "
            "none for the newest of the recipe"
        )
    return max(found, key=lambda run: run.folder.stat().st_mtime, default=None)


def remove_leftovers(store: Path) -> None:
    """Remove what nobody goes on from: states of runs that have finished, folders that never got a state.

    Their processes were killed before they could do so themselves.
    """
    for folder, run in _folders_and_runs(store):
        status = run.info.status if run else None
        if status == "FINISHED" or (status != "RUNNING" and not saved_steps(folder)):
            shutil.rmtree(folder, ignore_errors=True)


def _folders_and_runs(store: Path) -> Iterator[tuple[Path, Run | None]]:
    """Each folder of training states with the run it is named after, where the store has it."""
    folders = list((store / "training-states").glob("*-*"))
    client = open_client(store) if folders else None
    for folder in folders:
        yield folder, find_run(client, folder.name.rpartition("-")[2])
