"""The MLflow store of a folder: a sqlite database with its artifacts beside it, opened, locked, explained.

Where `MLFLOW_TRACKING_URI` names a server (see `server`), it stands in the place of the database.

It is addressed through `MlflowClient`: MLflow's global state (tracking URI, active run) is never touched, so
one process can track several runs. What the database has against a call ends in a `TrackingError`.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from xlprompt.training.machine.process_identity import is_gone, is_there, this_process
from xlprompt.training.store.new_database import holds_nothing, make_database
from xlprompt.training.store.reading.reader import Reader
from xlprompt.training.store.reading.sqlite_reader import NotInStore, open_sqlite
from xlprompt.training.store.shared.fetched import model_folder, run_folder
from xlprompt.training.store.shared.patience import causes, patience, patient_at_work
from xlprompt.training.store.shared.server import (
    PREFIX,
    VARIABLE,
    experiment_name,
    is_http,
    is_of_others,
    tracking_server,
    why_unreachable,
    without_password,
)
from xlprompt.training.store.sqlite_uri import sqlite_uri
from xlprompt.training.store.store_option import in_store
from xlprompt.training.store.stored_models import keep_one_model, model_of, models_of
from xlprompt.training.store.tracker import StoredModel, TrackingError

if TYPE_CHECKING:  # importing it takes longer than most questions to a store
    import mlflow

MAX_TAG = 5000  # MLflow's own limit, below which nothing is lost silently

# How long to wait for a store that another program has locked. MLflow's sessions wait 20 s, whatever the
# connection says (`PRAGMA busy_timeout` in mlflow/store/db/utils.py), so the waiting is done before them.
WAIT_TO_START = 10.0  # long enough for the writes of other runs on a slow disk, short enough for a person
WAIT_TO_FINISH = 60.0  # hours of work hang on it
_WAIT_TO_LOOK = 1.0

PROCESS_TAG = "process"  # tag: which process works on a run


def store_uri(mlruns: Path) -> str:
    """The tracking URI of a folder's store, as MLflow's own commands take it."""
    return tracking_server(mlruns) or sqlite_uri(database_file(mlruns))


def store_name(mlruns: Path) -> str:
    """What the store is called in messages."""
    server = tracking_server(mlruns)
    return without_password(server) if server else str(database_file(mlruns))


def store_exists(mlruns: Path) -> bool:
    """Whether there is a store to read: a server is taken to be there."""
    return bool(tracking_server(mlruns)) or database_file(mlruns).is_file()


def open_client(mlruns: Path) -> mlflow.MlflowClient:
    """A client of the folder's store, for what goes beyond one run; the store is made where there is none."""
    return connect(mlruns)


def create_store(mlruns: Path) -> None:
    """Make the folder's store where there is none; of several processes one does, and the others wait.

    Raises:
        TrackingError: It cannot be made or read.
    """
    connect(mlruns, writing=False)


def find_model(mlruns: Path, run_id: str) -> StoredModel:
    """The checkpoint that a training run of the store has produced, or that an evaluation has scored.

    Raises:
        TrackingError: There is no store, no such run, or the run has no complete checkpoint.
    """
    client = open_reader(mlruns)
    with store_errors(mlruns):
        run = _known_run(client, mlruns, run_id)
        model = model_of(client, run)
        if model is None:
            why = _why_no_model(run, mlruns)
            raise TrackingError(f"run {run_id} ({run.info.status}) has no checkpoint: {why}")
        return StoredModel(model.model_id, model_folder(client, model, mlruns))


def _why_no_model(run: Any, mlruns: Path) -> str:
    if models_of(run):
        return "it was deleted. Its scores remain; train again for a checkpoint"
    job = run.data.tags.get("job")
    if job == "evaluate":
        return "it scored one that is not in this store. Give the folder of that"
    if job != "train":
        return f"it is no training run. `xlprompt runs{in_store(mlruns)}` lists those"
    if run.info.status == "FINISHED":
        return "it trained nothing, and its scores are all there is. Give a run that trained"
    return "it ended before training did. Train again"


def find_artifacts(mlruns: Path, run_id: str) -> Path:
    """The folder of a run's artifacts.

    Raises:
        TrackingError: There is no store, or no such run.
    """
    client = open_reader(mlruns)
    with store_errors(mlruns):
        return run_folder(client, _known_run(client, mlruns, run_id), mlruns)


def open_reader(mlruns: Path) -> Reader:
    """What reads a store which has to be there: sqlite itself where it is a folder's own, MLflow where not.

    Raises:
        TrackingError: There is no store, or it cannot be read.
    """
    _require_store(mlruns)
    reader = None if tracking_server(mlruns) else open_sqlite(database_file(mlruns))
    return reader or connect(mlruns, writing=False)


def _require_store(mlruns: Path) -> None:
    if not store_exists(mlruns):
        raise TrackingError(
            f"{mlruns}: no MLflow store here (mlflow.db is missing). Give the folder of a run's store"
        )


def _known_run(client: Reader, mlruns: Path, run_id: str) -> Any:
    run = find_run(client, run_id)
    if run is None:
        where = store_name(mlruns) if tracking_server(mlruns) else mlruns
        raise TrackingError(
            f"{where}: no run '{run_id}' in this store. `xlprompt runs{in_store(mlruns)}` lists the runs"
        )
    return run


def connect(mlruns: Path, *, writing: bool = True) -> mlflow.MlflowClient:
    """A client of the folder's store, whose schema is created or checked when the client is made."""
    import mlflow

    # The one writes a page of migration steps on first use; the other the whole traceback of errors that are
    # raised anyway, and of those that are survived.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    with store_errors(mlruns):
        mlruns.mkdir(parents=True, exist_ok=True)
        if server := tracking_server(mlruns):
            if reason := why_unusable(mlruns, WAIT_TO_START):
                raise TrackingError(explained(mlruns, reason))
            return patient_at_work(mlflow.MlflowClient(tracking_uri=server), server)
        may_create = writing or os.access(mlruns, os.W_OK)
        with store_lock(mlruns) if may_create else nullcontext():
            if not database_file(mlruns).exists():
                make_database(database_file(mlruns))
            # Before MLflow, whose tries at a store that is locked take minutes.
            elif reason := why_unusable(mlruns, WAIT_TO_START, writing=writing):
                raise TrackingError(explained(mlruns, reason))
            return _opened(mlruns, may_create)


def _opened(mlruns: Path, may_create: bool) -> mlflow.MlflowClient:
    """A client of a store; one whose making was interrupted and that holds nothing yet is made anew."""
    import mlflow

    uri = f"{store_uri(mlruns)}?timeout={WAIT_TO_FINISH:.0f}"
    try:
        return mlflow.MlflowClient(tracking_uri=uri)
    except Exception:
        if not may_create or not holds_nothing(database_file(mlruns)):
            raise
        make_database(database_file(mlruns))
        return mlflow.MlflowClient(tracking_uri=uri)


def database_file(mlruns: Path) -> Path:
    """The file of the folder's database."""
    return mlruns / "mlflow.db"


def why_unusable(mlruns: Path, wait: float, *, writing: bool = True) -> str | None:
    """Why the store's database cannot be written (or read) now, in sqlite's words; None where it can.

    Nothing is written, so a full disk is not noticed.

    Args:
        mlruns: The store's folder.
        wait: Seconds to wait for another program to release its lock.
        writing: False asks for reading only.
    """
    if server := tracking_server(mlruns):
        return why_unreachable(server, wait if wait < WAIT_TO_START else patience())
    if not database_file(mlruns).exists():
        return "no such file"
    database = database_file(mlruns).absolute().as_uri() + ("?mode=rw" if writing else "?mode=ro")
    until = time.monotonic() + wait
    while True:
        # Python cannot be interrupted while sqlite waits, so it does in short spells.
        spell = min(1.0, max(0.0, until - time.monotonic()))
        try:
            with closing(
                sqlite3.connect(database, uri=True, timeout=spell, isolation_level=None)
            ) as connection:
                # Exclusive, as a commit needs it: a reader that does not finish is as much in the way.
                connection.execute("BEGIN EXCLUSIVE" if writing else "BEGIN")
                connection.execute("SELECT COUNT(*) FROM sqlite_master")
                connection.execute("ROLLBACK")
            return None
        except sqlite3.Error as error:
            locked = getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
            if not locked or time.monotonic() >= until:
                return str(error)


@contextmanager
def store_errors(mlruns: Path) -> Iterator[None]:
    """Raise what the store has against a call as a TrackingError; errors of other kinds are left alone."""
    try:
        yield
    except TrackingError:
        raise
    except Exception as error:
        reason = outage(error) or _refusal(error)
        if reason is None:
            raise
        raise TrackingError(explained(mlruns, reason)) from error


def outage(error: BaseException | None) -> str | None:
    """What a database, the network or the file system reports, beneath MLflow's wrapping, if it is theirs."""
    import sqlalchemy

    for each in causes(error):
        if isinstance(each, sqlalchemy.exc.OperationalError) and each.orig is not None:
            return str(each.orig).partition("\n")[0]
        if isinstance(each, sqlite3.Error | OSError):
            return str(each)
    return None


def _refusal(error: Exception) -> str | None:
    """MLflow's objection to a call, such as that the run was deleted."""
    import mlflow

    return str(error).partition("\n")[0] if isinstance(error, mlflow.MlflowException) else None


def explained(mlruns: Path, reason: str) -> str:
    """Why the store cannot be used, and what to do."""
    return (
        f"{store_name(mlruns)}: the MLflow store cannot be used ({reason}). {remedy(reason)}, then run "
        "the command again"
    )


def remedy(reason: str) -> str:
    """What to do about it."""
    words = reason.lower()
    if any(sign in words for sign in ("does not answer", "connection", "max retries")):
        return f"Start its server again, or correct {VARIABLE}"
    if "locked" in words:
        return "Close the program that has it open (a database browser, a backup, a stopped run)"
    if "no such file" in words:
        return "Bring its folder back (was it moved, or its disk taken away?)"
    if any(sign in words for sign in ("readonly", "read-only", "permission", "unable to open")):
        return "Make the file and its folder writable"
    if "full" in words or "no space" in words:
        return "Make room on its disk"
    if "schema" in words:
        return "Back it up and upgrade it (`mlflow db upgrade`), or name another store with --mlruns"
    if "deleted" in words:
        return "Restore the run (`mlflow runs restore`)"
    return "Repair it, or name another store with --mlruns"


def is_at_work(run: Any) -> bool:
    """Whether another process of this machine works on a run."""
    process = run.data.tags.get(PROCESS_TAG, "")
    return run.info.status == "RUNNING" and process != this_process() and is_there(process)


def is_deleted(run: Any) -> bool:
    """Whether a run was deleted, as in MLflow's UI; the store keeps it until `mlflow gc`."""
    return run.info.lifecycle_stage == "deleted"


def end_abandoned_runs(client: mlflow.MlflowClient, experiment_id: str, mlruns: Path) -> None:
    """End runs whose process on this machine is gone: who is killed by SIGKILL cannot do so himself."""
    with store_lock(mlruns):  # MLflow looks for a tag and then inserts it: of two that do, one would fail
        for run in client.search_runs([experiment_id], "attributes.status = 'RUNNING'"):
            if is_gone(run.data.tags.get(PROCESS_TAG, "")) and not is_of_others(mlruns, run.info.run_id):
                keep_one_model(client, experiment_id, run.info.run_id)
                client.set_tag(run.info.run_id, "error", "its process ended without a word")
                client.set_terminated(run.info.run_id, status="KILLED")


def find_run(client: Reader, run_id: str) -> Any:
    """A run of the store; None where it has none of this id."""
    try:
        return client.get_run(run_id)
    except NotInStore:
        return None
    except Exception as error:
        if outage(error) or _refusal(error) is None:
            raise
        return None  # no such run, or no id at all


def store_lock(mlruns: Path) -> FileLock:
    """The lock of those who make or change the store as a whole."""
    return FileLock(mlruns / ".lock", timeout=600)


def find_experiment(client: mlflow.MlflowClient, name: str, mlruns: Path) -> str:
    """The id of an experiment, which is made where there is none."""
    server, name = tracking_server(mlruns), experiment_name(name, mlruns)
    with store_lock(mlruns):
        experiment = client.get_experiment_by_name(name)
        if experiment is None:
            # A server knows where its files go; a database does not.
            location = None if server and is_http(server) else (mlruns.absolute() / "artifacts").as_uri()
            try:
                return str(client.create_experiment(name, artifact_location=location))
            except Exception as error:  # another machine was faster
                if getattr(error, "error_code", None) != "RESOURCE_ALREADY_EXISTS":
                    raise
                experiment = client.get_experiment_by_name(name)
    if experiment.lifecycle_stage == "deleted":
        raise TrackingError(
            f"the experiment '{name}' was deleted in this store. Restore it with "
            f"`mlflow experiments restore --experiment-id {experiment.experiment_id}` "
            f"({VARIABLE}={without_password(server) if server else store_uri(mlruns)}), or use another store"
        )
    return str(experiment.experiment_id)


def our_experiments(client: Reader, mlruns: Path) -> dict[str, str]:
    """The ids of the experiments that may hold runs of ours, by the names that we call them.

    Those are all of a folder's own store, and of a server the ones whose names begin with PREFIX.
    """
    condition = f"name LIKE '{PREFIX}%'" if tracking_server(mlruns) else None
    found = client.search_experiments(filter_string=condition)
    return {each.name.removeprefix(PREFIX): each.experiment_id for each in found}


def store_problem(mlruns: Path) -> tuple[str, str] | None:
    """Why a folder's store cannot be used and what to do, or None where it can; nothing is written.

    Where there is no store yet, the question is whether one can be made.
    """
    if server := tracking_server(mlruns):
        unreachable = why_unreachable(server, 0)
        return (f"{store_name(mlruns)}: {unreachable}", remedy(unreachable)) if unreachable else None
    database = database_file(mlruns)
    if not os.path.lexists(database):
        place = next(each for each in (mlruns, *mlruns.absolute().parents) if os.path.lexists(each))
        if place.is_dir() and os.access(place, os.W_OK | os.X_OK):
            return None
        return (
            f"none can be made in {place}",
            "Make it a folder that can be written, or name another with --mlruns",
        )
    reason = why_unusable(mlruns, _WAIT_TO_LOOK) or _other_schema(database)
    if reason is None and not os.access(mlruns, os.W_OK):
        reason = "its folder is read-only"  # where sqlite puts its journal
    return None if reason is None else (f"{database} cannot be used ({reason})", remedy(reason))


def _other_schema(database: Path) -> str | None:
    """What is wrong with a database's tables, by MLflow's own mark; an empty one is filled at first use."""
    with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        try:
            if connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone() == (0,):
                return None
            versions = [row[0] for row in connection.execute("SELECT version_num FROM alembic_version")]
            connection.execute("SELECT status, lifecycle_stage FROM runs LIMIT 1")
        except sqlite3.Error as error:
            return f"it is no MLflow store: {error}"
    from mlflow.store.db.utils import _get_latest_schema_revision

    head = _get_latest_schema_revision()
    return None if versions == [head] else f"its schema is {', '.join(versions)}, and this MLflow's is {head}"
