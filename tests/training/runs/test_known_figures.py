"""Figures of an untouched backbone, and of text, that are measured once for all runs."""

import io
from pathlib import Path

import mlflow
import pytest
from rich.console import Console
from small import tiny_recipe, write_data

from xlprompt.models.pretrained import cache
from xlprompt.training import train
from xlprompt.training.runs import forgetting
from xlprompt.training.store.database import store_uri

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture
def losses(store, tiny_xglm, data, monkeypatch, tmp_path):
    """Train, and give the losses that were logged and how many of them were measured."""
    monkeypatch.setenv("XLPROMPT_CACHE", str(tmp_path / "cache"))
    measured = []
    measure = forgetting.language_model_loss

    def counted(*arguments, prompted, **options):
        measured.append(prompted)
        return measure(*arguments, prompted=prompted, **options)

    monkeypatch.setattr(forgetting, "language_model_loss", counted)

    def run(method="prompt", **changes):
        measured.clear()
        monkeypatch.setattr(cache, "_known", {})  # as in another process
        schedule = {"steps": 2, "evaluate_every": 2}
        recipe = tiny_recipe("xnli", tiny_xglm, data, method=method, schedule=schedule, **changes)
        run_id = train(recipe, store=store, console=Console(file=io.StringIO())).run_id
        logged = mlflow.MlflowClient(tracking_uri=store_uri(store)).get_run(run_id).data.metrics
        return {name: value for name, value in logged.items() if "language_model/" in name}, list(measured)

    run.entries = lambda: sorted(Path(tmp_path, "cache", "losses").iterdir())
    return run


def test_losses_before_training_are_measured_once_and_are_the_same_to_the_last_digit(losses):
    first, measured = losses()
    assert measured == [False] * 3 + [True] * 3
    again, measured = losses(seed=1)
    assert measured == [True] * 3  # after training they are the prompt's own
    before = {name: value for name, value in first.items() if "/before/" in name}
    assert len(before) == 3
    assert before.items() <= again.items()
    # A head changes nothing that a loss depends on; LoRA changes the backbone, and has its own losses.
    head, measured = losses("head")
    assert measured == []
    assert head["language_model/change/mean"] == 0
    assert losses("lora")[1] == [False] * 3 + [True] * 3
    assert losses(evaluation={"language_model_rows": 3})[1] == [False] * 3 + [True] * 3


def test_a_damaged_loss_is_measured_again(losses):
    expected, _ = losses()
    cut, emptied, foreign = losses.entries()
    cut.write_text(cut.read_text()[:6])
    emptied.write_text("")
    foreign.write_bytes(b"\xff\xfe")
    assert losses() == (expected, [False] * 3 + [True] * 3)
    assert losses() == (expected, [True] * 3)
