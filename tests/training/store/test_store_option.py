"""A command that is printed finds the store of the one before it."""

from pathlib import Path

import pytest

from xlprompt.training.store.database import connect, find_model
from xlprompt.training.store.find import find_run_id
from xlprompt.training.store.store_option import in_store
from xlprompt.training.store.tracker import TrackingError


@pytest.mark.parametrize(
    ("store", "end"),
    [("mlruns", ""), ("other", " --mlruns other"), ("my runs/mlruns", " --mlruns 'my runs/mlruns'")],
)
def test_a_command_line_ends_with_a_store_that_is_not_the_one_without_it(store: str, end: str):
    assert in_store(Path(store)) == end


@pytest.mark.parametrize("find", [lambda store: find_run_id("none", store), lambda s: find_model(s, "none")])
def test_where_a_run_is_not_there_the_runs_of_this_very_store_can_be_listed(find, tmp_path):
    store = tmp_path / "mlruns"
    connect(store)
    with pytest.raises(TrackingError) as told:
        find(store)
    assert f"`xlprompt runs --mlruns {store}` lists the runs" in str(told.value)
