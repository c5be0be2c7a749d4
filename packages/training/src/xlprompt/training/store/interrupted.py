"""Runs of a store that were interrupted and can be gone on with."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xlprompt.data.how_many import first_of
from xlprompt.training.errors import CheckpointError
from xlprompt.training.recipes.recipe import Recipe, flatten
from xlprompt.training.store.database import find_run, is_at_work, is_deleted, open_reader, store_exists
from xlprompt.training.store.training_state import FREE_KEYS, Identity, read_identity, saved_steps

LATEST = "latest"
_SHOWN = 5  # runs that an error names
ID_PREFIX = re.compile("[0-9a-f]{4,32}")
"""What may be the start of a run's id: fewer letters would soon mean another one."""


@dataclass(frozen=True)
class Interrupted:
    """A run of the store that has training states."""

    folder: Path
    identity: Identity


def states_folder(store: Path, name: str, run_id: str) -> Path:
    """Where a run's training states lie until it has finished."""
    return store / "training-states" / f"{name}-{run_id}"


def find_interrupted(store: Path, recipe: Recipe, which: str) -> Interrupted | None:
    """The interrupted run that is named, or when `which` is `LATEST` the newest of the recipe that rests.

    A run is named by its id, by the first four letters of that or more, or by its name.

    Raises:
        CheckpointError: There is no training state of the run that was named, or of several.
    """
    # Data elsewhere may be other data, and what they are is not known here: that asks for another run.
    wanted = {key: value for key, value in flatten(recipe).items() if key not in FREE_KEYS - {"data.source"}}
    found, named, there = [], [], []
    for folder, run in _folders_and_runs(store):
        identity = read_identity(folder)
        if identity is None:
            continue
        there.append(Interrupted(folder, identity))
        if which != LATEST and _is_called(which, folder, identity.run_id or ""):
            named.append(Interrupted(folder, identity))
        same = all(identity.recipe.get(key) == value for key, value in wanted.items())
        if which == LATEST and same and not (run and (is_at_work(run) or is_deleted(run))):
            found.append(Interrupted(folder, identity))
    if len(named) > 1:
        raise CheckpointError(
            f"{store}: '{which}' may be each of the interrupted runs {_listed(named)}. Give more of its id"
        )
    if named:
        return named[0]
    if which != LATEST:
        raise CheckpointError(
            f"{store}: has no training state of a run '{which}'. Interrupted are: "
            f"{_listed(there) or 'none'}. Give the name of one or the start of its id, or neither for the "
            "newest of the recipe"
        )
    return max(found, key=lambda run: run.folder.stat().st_mtime, default=None)


def _listed(runs: Sequence[Interrupted]) -> str:
    """The ids of the newest first, with their names."""
    newest = sorted(runs, key=lambda run: run.folder.stat().st_mtime, reverse=True)
    named = [f"{each.identity.run_id} ({each.folder.name.rpartition('-')[0]})" for each in newest]
    return first_of(named, _SHOWN)


def _is_called(which: str, folder: Path, run_id: str) -> bool:
    return bool(ID_PREFIX.fullmatch(which) and run_id.startswith(which)) or folder.name == f"{which}-{run_id}"


def remove_leftovers(store: Path) -> None:
    """Remove what nobody goes on from: states of runs that finished or were deleted, folders without one.

    Their processes were killed before they could do so themselves.
    """
    for folder, run in _folders_and_runs(store):
        status = run.info.status if run else None
        if (
            status == "FINISHED"
            or (run and is_deleted(run))
            or (status != "RUNNING" and not saved_steps(folder))
        ):
            shutil.rmtree(folder, ignore_errors=True)


def _folders_and_runs(store: Path) -> Iterator[tuple[Path, Any]]:
    """Each folder of training states with the run it is named after, where the store has it."""
    folders = list((store / "training-states").glob("*-*"))
    client = open_reader(store) if folders and store_exists(store) else None
    for folder in folders:
        yield folder, None if client is None else find_run(client, folder.name.rpartition("-")[2])
