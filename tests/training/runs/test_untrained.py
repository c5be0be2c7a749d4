"""A run that trains nothing is scored, stored and studied beside those that train."""

import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from small import WORDS, tiny_recipe, write_lines

from xlprompt.studies.grid.ledger import Ledger
from xlprompt.training import RunResult, evaluate, train
from xlprompt.training.errors import RecipeError, RunError
from xlprompt.training.recipes.recipe import Recipe
from xlprompt.training.runs.untrained import ENGLISH_TAG
from xlprompt.training.store.listing import list_runs
from xlprompt.training.store.tracker import TrackingError

pytestmark = pytest.mark.integration


def recipe(model: Path, data: Path, **changes: Any) -> Recipe:
    settings: dict[str, Any] = {"task": "xnli", "method": "zeroshot", **changes}
    return tiny_recipe(settings.pop("task"), model, data, **settings)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Test sets alone, one of them in a language without words of its own."""
    folder = tmp_path_factory.mktemp("data")
    for language in ("en", "de", "fi"):
        words = WORDS["de" if language == "de" else "en"]
        rows = [{"premise": words[at], "hypothesis": words[at + 1], "label": at % 3} for at in range(6)]
        write_lines(folder / "xnli" / f"{language}.test.jsonl", rows)
    return folder


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs") / "mlruns"


@pytest.fixture(scope="module")
def told() -> io.StringIO:
    return io.StringIO()


@pytest.fixture(scope="module")
def done(tiny_xglm: Path, data: Path, store: Path, told: io.StringIO) -> RunResult:
    result = train(recipe(tiny_xglm, data), store=store, console=Console(file=told))
    assert result is not None
    return result


def test_no_parameter_trains_no_development_set_is_read_and_no_checkpoint_is_left(done: RunResult):
    assert done.budget.trainable_params == 0
    assert (done.checkpoint, done.fit, done.estimate) == (None, None, None)
    assert set(done.report.results) == {"en", "de", "fi"}


def test_the_store_has_scores_and_predictions_as_of_a_training_run(done: RunResult, store: Path):
    (run,) = Ledger(store).training_runs(["xnli"])
    assert run.run_id == done.run_id
    assert (run.status, run.params["trainable_params"], run.tags["method"]) == ("FINISHED", "0", "zeroshot")
    assert run.metrics["test/accuracy/de"] == pytest.approx(
        done.report.results["de"].scores["accuracy"].value
    )
    assert run.seconds is not None
    assert set(Ledger(store).predictions(run.run_id)) == {"en", "de", "fi"}
    (listed,) = list_runs(store)
    assert listed.metric == "accuracy"
    assert listed.score == run.metrics["test/accuracy/en"]
    assert listed.zero_shot == run.metrics["test/accuracy/mean_zero_shot"]


def test_languages_that_are_asked_in_english_are_told(done: RunResult, store: Path, told: io.StringIO):
    assert "Asked in English words, for there are no others: fi" in told.getvalue()
    assert "xnli · test · without training" in told.getvalue()
    assert "* trained on by other methods: not in the zero-shot mean" in told.getvalue()
    assert Ledger(store).get(done.run_id).tags[ENGLISH_TAG] == "fi"


def test_the_answers_do_not_depend_on_the_seed(done: RunResult, tiny_xglm: Path, data: Path, tmp_path: Path):
    again = train(recipe(tiny_xglm, data, seed=7), store=tmp_path / "m", console=Console(file=io.StringIO()))
    assert again is not None
    assert json.dumps(again.report.to_dict()) == json.dumps(done.report.to_dict())


def test_a_step_to_go_on_from_is_refused(tiny_xglm: Path, data: Path, store: Path):
    with pytest.raises(RunError, match="no training state of step 2 to go on from"):
        train(
            recipe(tiny_xglm, data),
            store=store,
            console=Console(file=io.StringIO()),
            resume_step=2,
            resume="latest",
        )


def test_a_model_that_cannot_be_asked_is_refused_before_its_weights_are_read(
    tiny_llama: Path, data: Path, tmp_path: Path
):
    untied = shutil.copytree(tiny_llama, tmp_path / "untied")
    config = json.loads((untied / "config.json").read_text()) | {"tie_word_embeddings": False}
    (untied / "config.json").write_text(json.dumps(config))
    for weights in untied.glob("*.safetensors"):
        weights.write_bytes(b"")
    with pytest.raises(RunError, match="'zeroshot' cannot ask it"):
        train(recipe(untied, data), store=tmp_path / "m", console=Console(file=io.StringIO()))


def test_there_is_nothing_to_evaluate_again(done: RunResult, store: Path):
    with pytest.raises(TrackingError, match="it trained nothing, and its scores are all there is"):
        evaluate(done.run_id, store=store, console=Console(file=io.StringIO()))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": "pos"}, "has none for task 'pos', only for xnli, pawsx, xcopa"),
        ({"head": {"kind": "verbalizer"}}, "'zeroshot' has no head. Leave head.kind out"),
        ({"evaluation": {"alignment": {"kinds": ["mean"]}}}, "no head whose states could be aligned"),
    ],
)
def test_what_it_cannot_do_is_refused_with_the_recipe(
    changes: dict, message: str, tiny_xglm: Path, data: Path
):
    with pytest.raises(RecipeError, match=message):
        recipe(tiny_xglm, data, **changes)
