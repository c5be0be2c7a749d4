"""A run's predictions leave the store in an evaluator's format, and come with the words they are of."""

import io
from pathlib import Path

import pytest
from rich.console import Console
from small import WORDS, tiny_recipe, write_lines

from xlprompt.evaluation import load_predictions
from xlprompt.training import evaluate, train
from xlprompt.training.errors import RunError
from xlprompt.training.exports.predictions import export_predictions
from xlprompt.training.store.database import connect, find_artifacts
from xlprompt.training.store.tracker import TrackingError

pytestmark = pytest.mark.integration
TAGS = ("NOUN", "VERB", "ADP")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for language in ("en", "de"):
        for split in ("train", "validation", "test"):
            words = WORDS[language]
            rows = [{"tokens": words[at : at + 3], "tags": list(TAGS)} for at in range(len(words) - 3)][:9]
            write_lines(folder / "pos" / f"{language}.{split}.jsonl", rows)
    return folder


@pytest.fixture(scope="module")
def trained(tiny_xglm: Path, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    store = tmp_path_factory.mktemp("runs") / "mlruns"
    recipe = tiny_recipe("pos", tiny_xglm, folder, schedule={"steps": 2, "evaluate_every": 2})
    result = train(recipe, store=store, console=Console(file=io.StringIO()))
    assert result is not None
    return result.run_id, store


def test_a_training_run_is_exported_with_the_words_of_its_test_sets(trained, folder: Path, tmp_path: Path):
    run_id, store = trained
    paths = export_predictions(run_id, "conll", tmp_path, store=store).files
    assert [path.name for path in paths] == ["de.test.txt", "en.test.txt"]
    saved = load_predictions(find_artifacts(store, run_id) / "predictions" / "de.test.jsonl.gz")
    rows = [line.split(" ") for line in paths[0].read_text().splitlines() if line]
    assert [row[0] for row in rows[:3]] == WORDS["de"][:3]
    assert [row[2] for row in rows] == [saved.labels[tag] for tags in saved.predicted for tag in tags]


def test_an_evaluation_is_exported_as_a_training_run_is(trained, tmp_path: Path):
    run_id, store = trained
    evaluate(run_id, store=store, console=Console(file=io.StringIO()), split="validation", limit=4)
    client = connect(store, writing=False)
    experiment = client.get_experiment_by_name("pos")
    (evaluation,) = client.search_runs([experiment.experiment_id], "tags.job = 'evaluate'")
    exported = export_predictions(
        evaluation.info.run_id, "ud", tmp_path, store=store, split="validation", languages=["en"]
    )
    gold, _ = exported.files
    assert gold.read_text().count("# sent_id") == 4


def test_the_command_that_scores_what_is_missing_names_the_store(trained, tmp_path: Path):
    run_id, store = trained
    with pytest.raises(RunError) as told:
        export_predictions(run_id, "ud", tmp_path, store=store, split="validation")
    assert f"xlprompt evaluate {run_id} --split validation --mlruns {store}, and" in str(told.value)


def test_other_data_than_those_scored_are_refused(trained, folder: Path, tmp_path: Path):
    run_id, store = trained
    rows = [{"tokens": ["another"], "tags": ["NOUN"]}]
    for language in ("en", "de"):
        write_lines(tmp_path / "pos" / f"{language}.test.jsonl", rows)
    with pytest.raises(RunError, match="are not those that the run was scored on"):
        export_predictions(run_id, "conll", tmp_path / "out", store=store, source=str(tmp_path))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"split": "validation"}, RunError, "has no predictions of a validation set"),
        ({"languages": ["sw"]}, RunError, "has no test predictions of sw; it has de, en"),
        ({"run_id": "none"}, TrackingError, "no run 'none' in this store"),
        ({"store": Path("nowhere")}, TrackingError, "no MLflow store here"),
    ],
)
def test_what_is_not_there_is_told(trained, options: dict, error: type, message: str, tmp_path: Path):
    run_id, store = trained
    arguments = {"run_id": run_id, "form": "xtreme", "folder": tmp_path, "store": store, **options}
    with pytest.raises(error, match=message):
        export_predictions(**arguments)
