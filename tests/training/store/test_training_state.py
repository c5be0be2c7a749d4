import json
import os
import signal
import stat
import time

import pytest
import torch
from safetensors import SafetensorError

from xlprompt.data import TASKS
from xlprompt.evaluation.processes import Processes
from xlprompt.training.errors import CheckpointError
from xlprompt.training.fitting.listeners import Curves, KeptStates
from xlprompt.training.fitting.loop import Examples, fit
from xlprompt.training.machine.phases import Phases
from xlprompt.training.store.stored_files import sealed
from xlprompt.training.store.tracker import NullTracker
from xlprompt.training.store.training_state import (
    Identity,
    LoopState,
    TrainingStates,
    random_state,
    read_identity,
    restore_random_state,
    saved_steps,
)

CPU = torch.device("cpu")
IDENTITY = Identity("run", {"task": "xnli", "schedule.checkpoint_every": 5}, data="d" * 64, backbone="b" * 64)


class Killed(BaseException):
    """What a power cut looks like from inside: nothing is written on the way out."""


class DyingTracker(NullTracker):
    def __init__(self, at):
        self.at = at

    def log_metrics(self, metrics, *, step=0, dataset=None, model_id=None):
        if step >= self.at:
            raise Killed


@pytest.fixture
def run(fake_model, encoded, recipe):
    settings = recipe(schedule={"steps": 40, "evaluate_every": 10, "checkpoint_every": 7})

    def run_fit(*, tracker=None, states=None, start=None, began=None):
        model = fake_model(len(TASKS["xnli"].labels))
        result = fit(
            model,
            Examples(encoded("xnli", examples=90, seed=1), encoded("xnli", examples=60, seed=2), pad_id=0),
            settings,
            [*([Curves(tracker)] if tracker else []), *([KeptStates(states)] if states else [])],
            device=CPU,
            start=start,
            phases=Phases(began),
        )
        return model, result

    return run_fit


@pytest.fixture
def saved(tmp_path):
    """Two states, at steps 10 and 20, of which the second has a best state."""
    states = TrainingStates(tmp_path / "states", IDENTITY)
    tensors = {"weight.a": torch.arange(4.0), "step.a": torch.tensor(3.0)}
    states.save(LoopState(step=10), tensors, {"cpu": torch.get_rng_state()})
    states.save_best(20, {"a": torch.ones(2)})
    loop = LoopState(step=20, best_step=20, best_score=50.0, curve=((20, 50.0),))
    states.save(loop, tensors, {"cpu": torch.get_rng_state()})
    return tmp_path / "states"


@pytest.mark.parametrize("at", [1, 10, 20, 30, 40])
def test_a_killed_run_ends_bit_for_bit_as_one_that_was_not(run, tmp_path, at):
    whole, expected = run()
    states = TrainingStates(tmp_path / "states", IDENTITY)
    with pytest.raises(Killed):
        run(tracker=DyingTracker(at), states=states)
    again = TrainingStates(tmp_path / "states", IDENTITY)
    start = again.load() if saved_steps(again.folder) else None
    assert (start is None) == (at < 7)
    resumed, result = run(states=again, start=start)
    for key, tensor in whole.trainable_state().items():
        assert torch.equal(tensor, resumed.trainable_state()[key])
    assert (result.curve, result.best_step, result.best_score) == (
        expected.curve,
        expected.best_step,
        expected.best_score,
    )


def test_a_state_knows_the_time_of_all_attempts_with_what_came_before_training(run, tmp_path):
    states = TrainingStates(tmp_path / "states", IDENTITY)
    with pytest.raises(Killed):
        run(tracker=DyingTracker(20), states=states, began=time.perf_counter() - 1000)
    first = states.load()
    assert 1000 + first.loop.seconds < first.loop.total_seconds < 1500
    run(states=states, start=first, began=time.perf_counter() - 100)
    second = states.load().loop
    assert first.loop.total_seconds + 100 < second.total_seconds < 1600


class InterruptingTracker(NullTracker):
    """Sends this process a signal while a step is being done."""

    def __init__(self, at, number):
        self.at, self.number = at, number

    def log_metrics(self, metrics, *, step=0, dataset=None, model_id=None):
        if step == self.at and "train/loss" in metrics:
            os.kill(os.getpid(), self.number)


@pytest.mark.parametrize("at", [1, 20, 40])
@pytest.mark.parametrize(
    ("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)]
)
def test_a_signal_ends_training_after_the_step_it_came_in_even_the_last(run, tmp_path, at, number, error):
    states = TrainingStates(tmp_path / "states", IDENTITY)
    with pytest.raises(error):
        run(tracker=InterruptingTracker(at, number), states=states)
    assert saved_steps(states.folder)[-1] == at


def test_a_state_comes_back_as_it_was(saved):
    snapshot = TrainingStates(saved, IDENTITY).load()
    assert snapshot.loop == LoopState(step=20, best_step=20, best_score=50.0, curve=((20, 50.0),))
    assert torch.equal(snapshot.engine["weight.a"], torch.arange(4.0))
    assert torch.equal(snapshot.best["a"], torch.ones(2))
    assert read_identity(saved) == IDENTITY


def test_the_last_two_states_are_kept_and_only_the_best_weights_that_they_need(saved):
    states = TrainingStates(saved, IDENTITY)
    start = states.load()
    for step in (30, 40, 50):
        states.save_best(step, {"a": torch.full((2,), float(step))})
        states.save(LoopState(step=step, best_step=step), start.engine, start.random)
    assert saved_steps(saved) == [40, 50]
    assert sorted(path.name for path in saved.glob("best-*")) == [
        "best-000040.safetensors",
        "best-000050.safetensors",
    ]


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGES = {
    "flipped byte in the tensors": lambda folder: flip(folder / "step-000020" / "state.safetensors"),
    "truncated tensors": lambda folder: (folder / "step-000020" / "state.safetensors").write_bytes(b"short"),
    "missing tensors": lambda folder: (folder / "step-000020" / "state.safetensors").unlink(),
    "truncated document": lambda folder: (folder / "step-000020" / "state.json").write_text("{"),
    "changed document": lambda folder: rewrite(folder / "step-000020" / "state.json", best=None),
    "flipped byte in the best weights": lambda folder: flip(folder / "best-000020.safetensors"),
    "missing best weights": lambda folder: (folder / "best-000020.safetensors").unlink(),
}


def rewrite(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_state_is_refused_and_the_one_before_it_offered(saved, damage):
    DAMAGES[damage](saved)
    with pytest.raises(CheckpointError, match="--resume-step 10") as error:
        TrainingStates(saved, IDENTITY).load()
    assert str(saved) in str(error.value)
    assert TrainingStates(saved, IDENTITY).load(10).loop.step == 10


def test_a_state_of_another_recipe_data_set_or_backbone_is_refused(saved):
    def load(**changes):
        identity = Identity(**{**IDENTITY.__dict__, **changes})
        return TrainingStates(saved, identity).load()

    with pytest.raises(
        CheckpointError, match="another recipe; it differs in task .task: 'xnli' there, 'pos'"
    ):
        load(recipe={**IDENTITY.recipe, "task": "pos"})
    with pytest.raises(CheckpointError, match="its data had the fingerprint dddd"):
        load(data="e" * 64)
    with pytest.raises(CheckpointError, match="its backbone had the fingerprint bbbb"):
        load(backbone="c" * 64)
    assert load(recipe={**IDENTITY.recipe, "schedule.checkpoint_every": 50}).loop.step == 20


def test_a_step_that_was_not_saved_is_refused_with_those_that_were(saved):
    with pytest.raises(CheckpointError, match="no training state of step 15 here; there is 10, 20"):
        TrainingStates(saved, IDENTITY).load(15)


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device"),
        SafetensorError("I/O error: No space left on device (os error 28)"),  # safetensors' own word for it
    ],
)
def test_a_full_disk_costs_the_state_and_not_the_run(error, run, tmp_path, monkeypatch, caplog):
    def no_space(path, content):
        raise error

    monkeypatch.setattr("xlprompt.training.store.training_state.write_tensors", no_space)
    states = TrainingStates(tmp_path / "states", IDENTITY)
    _, result = run(states=states)
    assert result.steps == 40
    assert saved_steps(states.folder) == []
    assert "No space left on device" in caplog.text
    assert list(states.folder.iterdir()) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"sha256": None},
        {"sha256": ["state.safetensors"]},
        {"best": "best-000001.safetensors"},
        {"best": ["../best-000001.safetensors", "0"]},
        {"identity": 5},
        {"identity": {"run_id": "run", "recipe": 5, "data": "", "backbone": ""}},
        {"loop": []},
        {"loop": {"step": "7"}},
        {"loop": {"curve": [[1]]}},
        {"loop": {"window": {"loss": None}}},
    ],
    ids=str,
)
def test_a_state_of_other_types_is_refused_though_its_checksum_is_right(tmp_path, changes):
    states = TrainingStates(tmp_path, IDENTITY)
    states.save(LoopState(step=7), {}, {})
    path = tmp_path / "step-000007" / "state.json"
    document = json.loads(path.read_text()) | changes
    del document["checksum"]
    path.write_bytes(sealed(document))
    with pytest.raises(CheckpointError, match=r"state\.json: .*train again"):
        TrainingStates(tmp_path, IDENTITY).load()
    assert read_identity(tmp_path) in (IDENTITY, None)
    states.save(LoopState(step=8), {}, {})  # which looks into those before it


def test_the_files_of_a_state_are_as_readable_as_the_umask_says(tmp_path):
    before = os.umask(0o002)
    try:
        states = TrainingStates(tmp_path / "states", IDENTITY)
        states.save_best(7, {"a": torch.zeros(1)})
        states.save(LoopState(step=7), {"a": torch.zeros(1)}, {})
    finally:
        os.umask(before)
    files = [path for path in (tmp_path / "states").rglob("*") if path.is_file()]
    assert len(files) == 3
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o664}


def test_each_of_two_processes_gets_its_own_random_numbers_back():
    states, drawn = [], []
    for seed in (1, 2):
        torch.manual_seed(seed)
        states.append(random_state(CPU, Processes())["cpu"])
        drawn.append(torch.rand(3))
    for rank in (0, 1):
        restore_random_state({"cpu": torch.cat(states)}, CPU, Processes(rank, 2))
        assert torch.equal(torch.rand(3), drawn[rank])
