"""Real processes that are killed at random moments and resumed, against one that was left alone."""

import io
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import mlflow
import pytest
import torch
import yaml
from rich.console import Console
from small import tiny_recipe, write_data
from transformers import AutoModel, AutoTokenizer

from xlprompt.training import evaluate, load_recipe, train
from xlprompt.training.errors import CheckpointError
from xlprompt.training.store.checkpoint import load_checkpoint
from xlprompt.training.store.database import find_model, store_uri
from xlprompt.training.store.interrupted import LATEST, find_interrupted, states_folder
from xlprompt.training.store.training_state import saved_steps

pytestmark = pytest.mark.integration

DRIVER = (
    "import sys; from pathlib import Path; from rich.console import Console\n"
    "from xlprompt.training import load_recipe, train\n"
    "engine = sys.argv[3] if len(sys.argv) > 3 else None\n"
    "recipe, store = load_recipe(sys.argv[1]), Path(sys.argv[2])\n"
    "train(recipe, store=store, console=Console(), engine=engine, resume='latest')"
)
# Method and engine. What both engines write is the same, and so is what comes of it: bit for bit.
METHODS = ("prompt", "finetune", "finetune torch")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data"))


def settings(method, model, folder, **schedule):
    return tiny_recipe(
        "xnli",
        model,
        folder,
        method=method,
        precision="bfloat16",
        backbone_dropout="pretrained",  # so that the random generators matter
        optimizer={"learning_rate": 1e-3},
        schedule={"steps": 60, "evaluate_every": 7, "checkpoint_every": 5, **schedule},
        evaluation={"curve_every": 6, "curve_examples": 4},
    )


def start(recipe: Path, store: Path, *engine: str) -> subprocess.Popen[str]:
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    return subprocess.Popen(
        [sys.executable, "-u", "-c", DRIVER, str(recipe), str(store), *engine],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    )


def runs_of(store: Path):
    client = mlflow.MlflowClient(tracking_uri=store_uri(store))
    return client, client.search_runs([client.get_experiment_by_name("xnli").experiment_id])


def kill_and_resume(recipe: Path, store: Path, moments: list[float], *engine: str) -> None:
    """Kill a process that many seconds after its training began, then let one finish."""
    for moment in moments:
        process = start(recipe, store, *engine)
        lines = iter(process.stdout.readline, "")
        if not any("trainable" in line for line in lines):
            raise AssertionError("the process ended before it trained")
        time.sleep(moment)
        process.kill()
        process.stdout.read()
        process.wait()
    process = start(recipe, store, *engine)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output


def check_against_an_undisturbed_run(store: Path, undisturbed: Path) -> None:
    client, runs = runs_of(store)
    finished = [run for run in runs if run.info.status == "FINISHED"]
    assert len(finished) == 1
    assert all(run.info.status != "RUNNING" for run in runs)
    (expected,) = runs_of(undisturbed)[1]
    ours = load_checkpoint(find_model(store, finished[0].info.run_id).directory)
    theirs = load_checkpoint(find_model(undisturbed, expected.info.run_id).directory)
    assert ours.state.keys() == theirs.state.keys()
    for name, tensor in theirs.state.items():
        assert torch.equal(ours.state[name], tensor), name
    for key in ("train/loss", "validation/accuracy/en", "curve/entropy/de"):
        history = [
            (metric.step, metric.value) for metric in client.get_metric_history(finished[0].info.run_id, key)
        ]
        reference = mlflow.MlflowClient(tracking_uri=store_uri(undisturbed))
        whole = [(one.step, one.value) for one in reference.get_metric_history(expected.info.run_id, key)]
        assert sorted(history) == sorted(whole), key


@pytest.fixture
def undisturbed(tiny_xglm, data, tmp_path):
    def run(method, *engine, **schedule):
        recipe = tmp_path / "recipe.yaml"
        recipe.write_text(
            yaml.safe_dump(settings(method, tiny_xglm, data, **schedule).model_dump(mode="json"))
        )
        # In a process as well: sums depend on the number of threads.
        kill_and_resume(recipe, tmp_path / "undisturbed", [], *engine)
        return recipe, tmp_path / "undisturbed"

    return run


# Three processes each. `make test` has kills at the moments that matter (store/test_kills.py) and states of
# DeepSpeed that go on bit for bit (fitting/test_deepspeed_engine.py).
@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_a_run_that_was_killed_ends_as_one_that_was_not(method, undisturbed, tmp_path, own_cache):
    recipe, reference = undisturbed(*method.split())
    moment = random.Random(method).uniform(0.2, 1.0)
    kill_and_resume(recipe, tmp_path / "mlruns", [moment], *method.split()[1:])
    check_against_an_undisturbed_run(tmp_path / "mlruns", reference)


@pytest.mark.slow
@pytest.mark.parametrize("method", [*METHODS, "lora"])
def test_a_run_that_was_killed_twenty_times_ends_as_one_that_was_not(
    method, undisturbed, tmp_path, own_cache
):
    # Long enough not to finish between two kills.
    schedule = {"steps": 2500, "evaluate_every": 125, "checkpoint_every": 10}
    recipe, reference = undisturbed(*method.split(), **schedule)
    moments = [random.Random(f"{method} {number}").uniform(0.0, 0.9) for number in range(20)]
    kill_and_resume(recipe, tmp_path / "mlruns", moments, *method.split()[1:])
    check_against_an_undisturbed_run(tmp_path / "mlruns", reference)


def test_a_fine_tuned_checkpoint_is_a_model_folder(tiny_gemma, data, store, own_cache):
    console = Console(file=io.StringIO())
    result = train(settings("finetune", tiny_gemma, data, steps=10), store=store, console=console)
    model = AutoModel.from_pretrained(result.checkpoint)
    assert model.dtype == torch.bfloat16
    before = AutoModel.from_pretrained(tiny_gemma, dtype=torch.bfloat16)
    ids = AutoTokenizer.from_pretrained(result.checkpoint)(
        "The woman reads a book", return_tensors="pt"
    ).input_ids
    assert not torch.equal(model(ids).last_hidden_state, before(ids).last_hidden_state)
    saved = load_checkpoint(result.checkpoint).state
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, saved[f"backbone.model.{name}"])
    again = evaluate(result.run_id, store=store, console=console).report
    assert again.metrics() == result.report.metrics()


def test_resuming_where_nothing_was_interrupted_begins_anew(tiny_xglm, data, store, own_cache):
    console = Console(file=io.StringIO(), width=100)
    recipe = settings("prompt", tiny_xglm, data, steps=5)
    result = train(recipe, store=store, console=console, resume=LATEST)
    assert "No interrupted run of this recipe" in console.file.getvalue()
    assert not states_folder(store, result.run_name, result.run_id).exists()
    with pytest.raises(CheckpointError, match="has no training state of a run 'nonsense'"):
        train(recipe, store=store, console=console, resume="nonsense")


def test_a_named_run_of_another_recipe_is_refused(tiny_xglm, data, tmp_path, own_cache):
    store = tmp_path / "mlruns"
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(settings("prompt", tiny_xglm, data, steps=2000).model_dump(mode="json")))
    process = start(recipe, store)
    while not any(saved_steps(folder) for folder in store.glob("training-states/*")):
        assert process.poll() is None
        time.sleep(0.1)
    process.kill()
    process.communicate()
    ((_, (run,)),) = (runs_of(store),)
    assert run.info.status == "RUNNING"  # nobody could end it; resuming does
    other = settings("prompt", tiny_xglm, data, steps=2000, batch_size=4)
    with pytest.raises(CheckpointError, match=r"differs in schedule\.batch_size"):
        train(other, store=store, console=Console(file=io.StringIO()), resume=run.info.run_id[:8])
    same = load_recipe(recipe)
    assert find_interrupted(store, same, LATEST).identity.run_id == run.info.run_id
    elsewhere = same.model_copy(update={"data": same.data.model_copy(update={"source": str(tmp_path)})})
    assert find_interrupted(store, elsewhere, LATEST) is None  # begins anew, and is not refused
