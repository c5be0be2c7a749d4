"""Finds a trained run or its checkpoint by what people call it: name, start of an id, `latest`, folder.

All commands and functions that take a run ask here.
"""

from __future__ import annotations

import difflib
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from xlprompt.training.store.checkpoint import Checkpoint, load_checkpoint
from xlprompt.training.store.database import find_model, open_reader, our_experiments, store_errors
from xlprompt.training.store.hub_folders import local_copy
from xlprompt.training.store.interrupted import ID_PREFIX, LATEST
from xlprompt.training.store.reading.reader import Reader
from xlprompt.training.store.store_option import in_store
from xlprompt.training.store.stored_models import model_of
from xlprompt.training.store.tracker import TrackingError

_log = logging.getLogger(__name__)

_SHOWN = 5  # runs that an error names
_LOOKED_AT = 100  # runs that one question is about


def find_checkpoint(run: str | Path, store: Path) -> tuple[Checkpoint, str | None]:
    """Read the checkpoint that is meant; arguments as of `find_place`.

    Returns:
        The checkpoint, and the id of its model in the store; None for one from elsewhere.

    Raises:
        CheckpointError, TrackingError: It cannot be found or used.
    """
    directory, model_id = find_directory(run, store)
    return load_checkpoint(directory), model_id


def find_directory(run: str | Path, store: Path) -> tuple[Path, str | None]:
    """The folder of the checkpoint that is meant, and its model's id as of `find_checkpoint`, unread.

    Raises:
        CheckpointError, TrackingError: It cannot be found.
    """
    place = find_place(run, store)
    if isinstance(place, Path):
        return place, None
    stored = find_model(store, place)
    return stored.directory, stored.model_id


def find_place(run: str | Path, store: Path) -> Path | str:
    """Where a checkpoint is: its folder, or the id of the run in the store that has it.

    Args:
        run: A folder, which comes first; else a run as `find_run_id` takes it, or the hub id of a folder with
            a checkpoint (`owner/name`). A `Path` is always a folder.
        store: Folder of the MLflow store where runs are looked up.

    Raises:
        CheckpointError, TrackingError: It cannot be found.
    """
    if isinstance(run, Path) or (run != LATEST and os.path.exists(run)):
        return Path(run)
    if os.sep not in run:
        return find_run_id(run, store, with_checkpoint=True)
    return Path(run) if os.path.isdir(run.partition(os.sep)[0]) else local_copy(run)


def find_run_id(which: str, store: Path, *, with_checkpoint: bool = False) -> str:
    """The id of the training run, or of the evaluation, that is meant.

    Args:
        which: `latest`, the newest training run that has finished; a run's name
            (`xnli-prompt-xglm-nano-seed0`), of several the newest that has finished, which is said; its id,
            or the first four letters of that or more.
        store: Folder of the MLflow store.
        with_checkpoint: Let `latest` be the newest with a checkpoint, if another is newer, which is said.

    Raises:
        TrackingError: There is no store or no such run, or several ids begin so; the message lists them.
    """
    client = open_reader(store)
    with store_errors(store):
        if which == LATEST:
            return _latest(client, store, with_checkpoint)
        named = _named(client, which, store)
        if named:
            return _newest(named, which)
        begun = _with_prefix(client, which, store)
        if len(begun) == 1:
            return str(begun[0].info.run_id)
        if begun:
            raise TrackingError(
                f"{store}: '{which}' begins the ids of {len(begun)} runs: {_listed(begun)}. Give more of it"
            )
        raise TrackingError(_unknown(client, which, store, with_checkpoint))


def training_runs(
    client: Reader, store: Path, condition: str = "", *, limit: int, job: str = "train"
) -> list[Any]:
    """Training runs, or those of another job, that meet a condition of MLflow's, newest first."""
    experiments = list(our_experiments(client, store).values())
    its_job = f"tags.job = '{job}'"
    return list(
        client.search_runs(
            experiments,
            f"{condition} and {its_job}" if condition else its_job,
            max_results=limit,
            order_by=["attributes.start_time DESC"],
        )
    )


def name_of(run: Any) -> str:
    """A training run's name; those of earlier versions stand in the store without their task."""
    task, name = run.data.tags.get("task", ""), str(run.info.run_name)
    return name if name.startswith(f"{task}-") else f"{task}-{name}"


def _latest(client: Reader, store: Path, with_checkpoint: bool) -> str:
    limit = _LOOKED_AT if with_checkpoint else 1
    finished = training_runs(client, store, "attributes.status = 'FINISHED'", limit=limit)
    if not finished:
        raise TrackingError(f"{store}: no training run has finished in this store. Train one first")
    newest = finished[0]
    if not with_checkpoint:
        return str(newest.info.run_id)
    chosen = next((run for run in finished if model_of(client, run)), None)
    if chosen is None:
        raise TrackingError(
            f"{store}: no finished run of this store has a checkpoint, as {name_of(newest)} has none. Train "
            "one first, by a method that trains something"
        )
    if chosen is not newest:
        _log.warning(
            "%s (%s) is taken, the newest with a checkpoint: %s, which is newer, has none",
            chosen.info.run_id,
            name_of(chosen),
            name_of(newest),
        )
    return str(chosen.info.run_id)


def _named(client: Reader, name: str, store: Path) -> list[Any]:
    if "'" in name:
        return []
    task, _, rest = name.partition("-")
    called = f"attributes.run_name = '{name}'"
    return (
        training_runs(client, store, called, limit=_LOOKED_AT)
        or training_runs(
            client, store, f"attributes.run_name = '{rest}' and tags.task = '{task}'", limit=_LOOKED_AT
        )
        or training_runs(client, store, called, limit=_LOOKED_AT, job="evaluate")
    )


def _newest(runs: Sequence[Any], name: str) -> str:
    """Of runs of one name, newest first, the newest that has finished, or else the newest."""
    finished = [run for run in runs if run.info.status == "FINISHED"]
    chosen = (finished or runs)[0]
    if len(runs) > 1:
        _log.warning(
            "%d runs are called %s: %s is taken, the newest%s. Others can be named by id",
            len(runs),
            name,
            chosen.info.run_id,
            " that has finished" if finished else "; none has finished",
        )
    return str(chosen.info.run_id)


def _with_prefix(client: Reader, prefix: str, store: Path) -> list[Any]:
    """Training runs whose id begins so, or else evaluations; of a whole id the run, whatever it did."""
    if not ID_PREFIX.fullmatch(prefix):
        return []
    if len(prefix) == 32:
        experiments = list(our_experiments(client, store).values())
        return list(client.search_runs(experiments, f"attributes.run_id = '{prefix}'"))
    begins = f"attributes.run_id LIKE '{prefix}%'"
    return training_runs(client, store, begins, limit=_LOOKED_AT) or training_runs(
        client, store, begins, limit=_LOOKED_AT, job="evaluate"
    )


def _unknown(client: Reader, which: str, store: Path, with_checkpoint: bool) -> str:
    recent = training_runs(client, store, limit=200)
    names = list(dict.fromkeys(map(name_of, recent)))
    near = difflib.get_close_matches(which, names, n=_SHOWN)
    like = [run for run in recent if name_of(run) in near] or recent
    what = "Near it" if near else "The newest"
    there = f"{what}: {_listed(like)}. " if recent else "It has no training run. "
    folder = ", or a checkpoint's folder" if with_checkpoint else ""
    given = ", and of a folder it has no answers or scores" if os.path.isdir(which) else ""
    return (
        f"{store}: no run '{which}' in this store{given}. {there}Give latest, a run's name, four letters or "
        f"more of its id{folder}; `xlprompt runs{in_store(store)}` lists the runs"
    )


def _listed(runs: Sequence[Any]) -> str:
    some = [f"{run.info.run_id} ({name_of(run)}, {run.info.status})" for run in runs[:_SHOWN]]
    more = len(runs) - len(some)
    return ", ".join(some) + (f" and {more} more" if more else "")
