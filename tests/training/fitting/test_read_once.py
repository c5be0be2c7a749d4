"""Heads that train on states which were read once train as those that read their rows every epoch."""

import io

import mlflow
import pytest
import torch
from rich.console import Console
from small import tiny_recipe, write_data

from xlprompt.models import TaskModel
from xlprompt.training import train
from xlprompt.training.fitting import read_once
from xlprompt.training.store.checkpoint import load_checkpoint
from xlprompt.training.store.database import store_uri

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture
def trained(store, tiny_xglm, data, monkeypatch):
    """Train a recipe; gives weights, metrics, how often training called the backbone, and what was told."""

    def run(task, **changes):
        calls = []
        read = TaskModel.readout_states

        def counted(self, *batch):
            calls.append(self.training)
            return read(self, *batch)

        monkeypatch.setattr(TaskModel, "readout_states", counted)
        console = Console(file=io.StringIO(), width=120)
        changes.setdefault("schedule", {"steps": 20})
        recipe = tiny_recipe(task, tiny_xglm, data, method="head", **changes)
        result = train(recipe, store=store, console=console)
        monkeypatch.setattr(TaskModel, "readout_states", read)
        logged = mlflow.MlflowClient(tracking_uri=store_uri(store)).get_run(result.run_id).data.metrics
        return load_checkpoint(result.checkpoint).state, logged, sum(calls), console.file.getvalue()

    return run


@pytest.mark.parametrize("task", ["xnli", "pos"])
def test_a_head_trains_the_same_on_states_that_were_read_once(trained, task, monkeypatch):
    weights, logged, calls, told = trained(task)
    assert calls == 2  # those that time a step
    assert "read once" in told
    assert "training and development set; states kept in" in told
    with monkeypatch.context() as patch:
        patch.setattr(read_once, "MOST_BYTES", 0)
        expected, usual, usual_calls, told = trained(task)
    assert usual_calls >= 22
    assert "read once" not in told
    for name, tensor in expected.items():
        torch.testing.assert_close(weights[name], tensor, rtol=1e-4, atol=1e-6)
    for name, value in usual.items():
        if name.startswith(("test/", "validation/", "best/", "train/loss", "language_model/")):
            assert logged[name] == pytest.approx(value, rel=1e-4), name
    # 48 rows are read once, and not 160.
    assert logged["cost/model_tflops"] == pytest.approx(usual["cost/model_tflops"] * 48 / 160, rel=0.05)


def test_what_is_read_no_more_often_or_differs_each_time_is_not_kept(trained):
    less_than_an_epoch = {"steps": 5, "evaluate_every": 5}
    assert "read once" not in trained("xnli", schedule=less_than_an_epoch)[3]
    assert "read once" not in trained("xnli", backbone_dropout="pretrained")[3]
