"""Which interrupted run a name or the start of an id means, and what is said where none or several are."""

import re

import pytest

from xlprompt.training.errors import CheckpointError
from xlprompt.training.recipes.recipe import flatten
from xlprompt.training.store.database import open_client
from xlprompt.training.store.interrupted import LATEST, find_interrupted, remove_leftovers, states_folder
from xlprompt.training.store.mlflow_tracker import MlflowTracker
from xlprompt.training.store.training_state import Identity, LoopState, TrainingStates

FIRST, ANOTHER, SECOND, THIRD = (start.ljust(32, "0") for start in ("1a2b3", "1a2b4", "1a2c", "9999"))
RUNS = {FIRST: "xnli-prompt", SECOND: "xnli-prompt", ANOTHER: "xnli-head", THIRD: "xnli-lora"}


@pytest.fixture
def asked(tmp_path, recipe):
    """Asks for a run of a store of interrupted runs, two of one name."""
    wanted = recipe()
    for run_id, name in RUNS.items():
        identity = Identity(run_id, flatten(wanted), data="d" * 64, backbone="b" * 64)
        TrainingStates(states_folder(tmp_path, name, run_id), identity).save(LoopState(step=3), {}, {})
    return lambda which: find_interrupted(tmp_path, wanted, which).identity.run_id


@pytest.mark.parametrize(
    ("which", "meant"),
    [(FIRST, FIRST), ("1a2b3", FIRST), ("1a2c", SECOND), ("9999", THIRD), ("xnli-lora", THIRD)],
)
def test_a_run_is_named_by_its_id_the_start_of_it_or_its_name(asked, which, meant):
    assert asked(which) == meant


def test_a_run_that_was_deleted_is_not_gone_on_with_and_its_states_go(tmp_path, recipe):
    tracker = MlflowTracker(tmp_path)
    run_id = tracker.start(experiment="xnli", run_name="xnli-prompt", params={}, tags={})
    tracker.end("FAILED")
    identity = Identity(run_id, flatten(recipe()), data="d" * 64, backbone="b" * 64)
    folder = states_folder(tmp_path, "xnli-prompt", run_id)
    TrainingStates(folder, identity).save(LoopState(step=3), {}, {})
    assert find_interrupted(tmp_path, recipe(), LATEST).identity.run_id == run_id
    remove_leftovers(tmp_path)
    assert folder.exists()
    open_client(tmp_path).delete_run(run_id)
    assert find_interrupted(tmp_path, recipe(), LATEST) is None
    remove_leftovers(tmp_path)
    assert not folder.exists()


@pytest.mark.parametrize(
    ("which", "said", "named"),
    [
        ("1a2b", "may be each of", [FIRST, ANOTHER]),
        ("xnli-prompt", "may be each of", [FIRST, SECOND]),
        (
            "1a2",
            "has no training state",
            [FIRST, ANOTHER, SECOND, THIRD],
        ),  # three letters are no start of an id
        ("pos-prompt", "has no training state", [FIRST, ANOTHER, SECOND, THIRD]),
    ],
)
def test_where_none_or_several_are_meant_they_are_listed(asked, which, said, named):
    with pytest.raises(CheckpointError, match=said) as error:
        asked(which)
    assert sorted(re.findall("[0-9a-f]{32}", str(error.value))) == sorted(named)
    assert "its id" in str(error.value)
