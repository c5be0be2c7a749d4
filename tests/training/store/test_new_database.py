from pathlib import Path

from xlprompt.training import create_store
from xlprompt.training.store.database import database_file, open_client
from xlprompt.training.store.new_database import make_meanwhile


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
