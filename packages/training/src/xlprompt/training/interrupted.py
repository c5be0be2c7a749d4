"""Runs of a store that were interrupted and can be gone on with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from xlprompt.training.checkpoint import CheckpointError
from xlprompt.training.recipe import Recipe, flatten
from xlprompt.training.training_state import FREE_KEYS, Identity, read_identity

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
    """The interrupted run with this id, or the newest one of the recipe when `which` is `LATEST`.

    Raises:
        CheckpointError: There is no training state of the run that was named.
    """
    # Data elsewhere may be other data, and what they are is not known here: that asks for another run.
    wanted = {key: value for key, value in flatten(recipe).items() if key not in FREE_KEYS - {"data.source"}}
    found = []
    for folder in (store / "training-states").glob("*-*"):
        identity = read_identity(folder)
        if identity is None:
            continue
        if identity.run_id == which:
            return Interrupted(folder, identity)
        same = all(identity.recipe.get(key) == value for key, value in wanted.items())
        if which == LATEST and same:
            found.append(Interrupted(folder, identity))
    if which != LATEST:
        raise CheckpointError(
            f"{store}: has no training state of a run '{which}'. Give the id of an interrupted run, or "
            "none for the newest of the recipe"
        )
    return max(found, key=lambda run: run.folder.stat().st_mtime, default=None)
