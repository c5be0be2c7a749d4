from pathlib import Path

import sqlalchemy

from xlprompt.training import create_store
from xlprompt.training.store.database import database_file, open_client
from xlprompt.training.store.new_database import _unsynchronized, make_meanwhile
from xlprompt.training.store.sqlite_uri import sqlite_uri

OFF, FULL = 0, 2  # of sqlite's PRAGMA synchronous


def test_another_process_makes_a_store_that_is_whole_and_found_by_who_comes_meanwhile(tmp_path: Path):
    store = tmp_path / "deep" / "mlruns"
    maker = make_meanwhile(store)
    while not (store / ".lock").exists():
        assert maker.poll() is None
    create_store(store)  # waits at the lock
    made = database_file(store).stat().st_ino
    assert maker.wait() == 0
    assert database_file(store).stat().st_ino == made  # by one of the two
    assert [each.name for each in open_client(store).search_experiments()] == ["Default"]


def test_sqlite_waits_for_the_disk_but_for_a_database_that_is_being_made(tmp_path: Path):
    (tmp_path / "link").symlink_to(tmp_path)
    engines = {
        name: sqlalchemy.create_engine(sqlite_uri(tmp_path / name), poolclass=sqlalchemy.NullPool)
        for name in ("link/new.db", "other.db")
    }

    def synchronous(name: str) -> int:
        with engines[name].connect() as connection:
            return int(connection.exec_driver_sql("PRAGMA synchronous").scalar_one())

    with _unsynchronized(tmp_path / "new.db"):
        assert (synchronous("link/new.db"), synchronous("other.db")) == (OFF, FULL)
    assert synchronous("link/new.db") == FULL
