"""The Optuna database of searches: a file beside the MLflow store, or any that SQLAlchemy has a URL for."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from filelock import FileLock
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from xlprompt.studies.search.space import SearchError
from xlprompt.training.store.sqlite_uri import sqlite_uri

try:
    import optuna
except ModuleNotFoundError as absent:
    raise SearchError(
        "Optuna is not installed, which draws the trials. Install it: pip install 'xlprompt-studies[search]'"
    ) from absent

_WAIT = 60  # seconds that sqlite waits for another process's write
_BEAT = 30  # seconds between a trial's signs of life
GRACE = 180
"""Seconds after its last sign of life until a trial is given up: other machines' processes cannot be seen."""


def database_beside(store: Path) -> str:
    """The URL of the database that a store's searches have where no other is named."""
    return sqlite_uri(store / "search.db")


def hidden(database: str) -> str:
    """A database's URL for people to see: without its password."""
    try:
        return make_url(database).render_as_string(hide_password=True)
    except SQLAlchemyError:
        return "that was named"


def open_database(database: str) -> optuna.storages.RDBStorage:
    """The database behind a URL, whose tables are made where they are not there yet.

    Raises:
        SearchError: It cannot be used.
    """
    try:
        return _open(database)
    except (ImportError, OSError, SQLAlchemyError, optuna.exceptions.OptunaError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise SearchError(
            f"the database {hidden(database)} cannot be used ({reason}). Give a URL as SQLAlchemy takes "
            "them: sqlite:////data/search.db or postgresql://user@host/search, and install its driver"
        ) from error


def _open(database: str) -> optuna.storages.RDBStorage:
    url = make_url(database)
    if url.get_backend_name() != "sqlite":
        return _storage(database, pool_pre_ping=True)
    if not url.database or url.database == ":memory:":
        raise ValueError("a database in memory is this process's alone")
    file = Path(url.database)
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{file}.lock"):  # of several processes one makes the tables
        return _storage(database, connect_args={"timeout": _WAIT})


def _storage(database: str, **engine: Any) -> optuna.storages.RDBStorage:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.storages.RDBStorage(
            database, engine_kwargs=engine, heartbeat_interval=_BEAT, grace_period=GRACE
        )
