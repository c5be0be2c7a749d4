"""Finds a checkpoint by what people call it: the id of the run that trained it, its folder, or its hub id."""

from __future__ import annotations

import os
from pathlib import Path

from xlprompt.training.store.checkpoint import Checkpoint, load_checkpoint
from xlprompt.training.store.database import find_model
from xlprompt.training.store.hub_folders import is_hub_id, local_copy


def find_checkpoint(checkpoint: str | Path, store: Path) -> tuple[Checkpoint, str | None]:
    """Read the checkpoint that is meant.

    Args:
        checkpoint: A checkpoint folder, the hub id of one, or the id of the MLflow run that trained it.
        store: Folder of the MLflow store where a run id is looked up.

    Returns:
        The checkpoint, and the id of its model in the store; None for a folder.

    Raises:
        CheckpointError, TrackingError: It cannot be found or used.
    """
    folder, model_id = Path(checkpoint), None
    if not os.path.exists(folder) and folder.name == str(checkpoint):  # pathlib's raises for a long name
        stored = find_model(store, str(checkpoint))
        folder, model_id = stored.directory, stored.model_id
    elif is_hub_id(str(checkpoint)):
        folder = local_copy(str(checkpoint))
    return load_checkpoint(folder), model_id
