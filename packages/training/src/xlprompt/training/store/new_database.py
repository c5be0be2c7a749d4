"""The making of a store's database: it stands under its name with its whole schema, or not at all.

MLflow makes a database by some hundred migrations, which take seconds and cannot be gone on with where one
was interrupted. So they are done under another name beside it, and the file is renamed afterwards. Only then
it has to be on the disk, so sqlite does not wait for that after each migration.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from xlprompt.training.store.sqlite_uri import sqlite_uri

# What has rows in a database that nobody has used: MLflow's own bookkeeping and its experiment `Default`.
_ROWS_WHEN_NEW = {"alembic_version": 1, "workspaces": 1, "experiments": 1}


def make_database(database: Path) -> None:
    """Make an MLflow database, in the place of what stands there; the caller keeps other processes away.

    Raises:
        Exception: What sqlite, the file system or MLflow has against it; what stood there is as it was.
    """
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    new = database.with_name(f".{database.name}.new")
    _remove(new)  # of a process that was killed
    try:
        new.touch()  # with the permissions that the umask leaves; sqlite would deny the group to write
        with _unsynchronized(new):
            store = SqlAlchemyStore(sqlite_uri(new), str(database.parent / "artifacts"))
        store.engine.dispose()  # or a connection of a pool would be used again for another file of this name
        with new.open("rb") as file:
            os.fsync(file.fileno())
        for left in _beside(database):
            left.unlink(
                missing_ok=True
            )  # or sqlite would play the journal of another file back into this one
        new.replace(database)
    finally:
        _remove(new)


@contextmanager
def _unsynchronized(database: Path) -> Iterator[None]:
    """Within it, connections to a database leave it to the system when their writes reach the disk."""
    from sqlalchemy import Engine, event

    def connected(connection: Any, _: Any) -> None:
        if not isinstance(connection, sqlite3.Connection):
            return  # of a server's database, which another thread is connecting to
        files = [Path(file).resolve() for _, _, file in connection.execute("PRAGMA database_list")]
        if database.resolve() in files:
            connection.execute("PRAGMA synchronous = OFF")

    event.listen(Engine, "connect", connected)
    try:
        yield
    finally:
        event.remove(Engine, "connect", connected)


def make_meanwhile(mlruns: Path) -> subprocess.Popen[bytes]:
    """Have another process make a folder's store, which takes seconds, while this one goes on.

    Who opens the store in between waits for it, as for any process that makes one. What that process cannot
    do the caller will be told when it opens the store itself.
    """
    make = "import sys, pathlib, xlprompt.training as t; t.create_store(pathlib.Path(sys.argv[1]))"
    quiet = subprocess.DEVNULL
    command = [sys.executable, "-c", make, str(mlruns)]
    return subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet)


def holds_nothing(database: Path) -> bool:
    """Whether a database has no row of anybody's: its making was interrupted, or it was never used."""
    with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        tables = [
            name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        ]
        return all(
            # A migration copies a table under this prefix, and then drops the one of the name.
            _rows(connection, name) <= _ROWS_WHEN_NEW.get(name.removeprefix("_alembic_tmp_"), 0)
            for name in tables
        )


def _rows(connection: sqlite3.Connection, table: str) -> int:
    (count,) = connection.execute(f'SELECT COUNT(*) FROM "{table}"').fetchone()
    return int(count)


def _remove(database: Path) -> None:
    for file in (database, *_beside(database)):
        file.unlink(missing_ok=True)


def _beside(database: Path) -> list[Path]:
    return [database.with_name(database.name + end) for end in ("-journal", "-wal", "-shm")]
