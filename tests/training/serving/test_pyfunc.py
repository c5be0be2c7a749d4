"""A run's model as MLflow has it: loaded by its address, asked by every form that MLflow's server takes."""

import json
import re

import mlflow
import pandas as pd
import pytest
import yaml
from fastapi.testclient import TestClient
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import scoring_server
from served_examples import EXAMPLES

from xlprompt.training import find_checkpoint, open_predictor, store_uri
from xlprompt.training.serving.pyfunc import _load_pyfunc

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def loaded(trained):
    """By task: the model that MLflow loads, and the predictor of the same run."""
    store, runs = trained
    mlflow.set_tracking_uri(store_uri(store))
    try:
        return {
            task: (
                mlflow.pyfunc.load_model(f"runs:/{runs[task, 'prompt']}/model"),
                open_predictor(find_checkpoint(runs[task, "prompt"], store)[0]),
            )
            for task in EXAMPLES
        }
    finally:
        mlflow.set_tracking_uri(None)  # and with it the environment's variable, which MLflow sets


def frame(predictor, examples, **columns):
    fields = predictor.task.text_fields
    rows = [(each,) for each in examples] if len(fields) == 1 else examples
    return pd.DataFrame([dict(zip(fields, row, strict=True)) for row in rows]).assign(**columns)


@pytest.mark.parametrize("task", EXAMPLES)
def test_mlflow_loads_a_run_by_its_address_and_gets_the_answers_of_predict(loaded, task):
    model, predictor = loaded[task]
    found = model.predict(frame(predictor, EXAMPLES[task]))
    expected = predictor.predict(EXAMPLES[task])
    assert list(found.columns) == [column.name for column in model.metadata.signature.outputs]
    assert list(found["label"]) == [each.label for each in expected]
    assert list(found["probabilities"]) == [each.probabilities for each in expected]


def test_answers_have_the_index_of_the_rows_that_they_are_of(loaded):
    model, predictor = loaded["xnli"]
    rows = frame(predictor, EXAMPLES["xnli"]).iloc[::-1]
    found = model.predict(rows)
    assert list(found.index) == list(rows.index)
    assert list(found["label"].sort_index()) == [each.label for each in predictor.predict(EXAMPLES["xnli"])]


def test_rows_may_be_of_different_languages_or_of_none(loaded):
    model, predictor = loaded["pos"]
    found = model.predict(frame(predictor, EXAMPLES["pos"], language=["en", None, "de"]))
    words = EXAMPLES["pos"]
    alone = [predictor.predict([words[0], words[1]])[0], predictor.predict([words[2]], language="de")[0]]
    assert found["label"][0] == alone[0].label
    assert found["label"][2] == alone[1].label


WORDS = ["the", "man"]
PAIR = {"premise": "the man reads", "hypothesis": "man"}
FORMS = {
    "split": ("pos", {"dataframe_split": {"columns": ["tokens"], "data": [[WORDS]]}}),
    "records": ("pos", {"dataframe_records": [{"tokens": WORDS, "language": "de"}]}),
    "sentence": ("pos", {"dataframe_records": [{"tokens": "the man"}]}),
    "inputs": ("pos", {"inputs": [{"tokens": WORDS}]}),
    "instances": ("pos", {"instances": [{"tokens": WORDS}]}),
    "pair records": ("xnli", {"dataframe_records": [PAIR]}),
    "pair inputs": ("xnli", {"inputs": [PAIR]}),
    "pair columns": ("xnli", {"inputs": {name: [text] for name, text in PAIR.items()}}),
    "pair instances": ("xnli", {"instances": [{**PAIR, "language": "de"}]}),
    "csv of words": ("pos", "tokens\nthe man\n"),
    "csv of pairs": ("xnli", "premise,hypothesis,language\nthe man reads,man,de\n"),
}


def ask(model, request):
    is_csv = isinstance(request, str)
    with TestClient(scoring_server.init(model)) as client:
        return client.post(
            "/invocations",
            content=request if is_csv else json.dumps(request),
            headers={"content-type": "text/csv" if is_csv else "application/json"},
        )


@pytest.mark.parametrize("form", FORMS)
def test_mlflows_server_answers_json_and_csv(loaded, form):
    task, request = FORMS[form]
    model, predictor = loaded[task]
    answer = ask(model, request)
    assert answer.status_code == 200, answer.text
    (expected,) = predictor.predict([WORDS] if task == "pos" else [PAIR])
    (found,) = answer.json()["predictions"]
    assert found["label"] == expected.label
    assert found["probability"] == pytest.approx(expected.probability)


@pytest.mark.parametrize(
    ("task", "request_", "reason"),
    [
        ("pos", {"dataframe_records": [{"tokens": ["the", None]}]}, "null.*tokens"),
        ("pos", {"dataframe_records": [{"tokens": "the"}, {"tokens": None}]}, "null.*tokens"),
        ("pos", {"dataframe_records": [{"tokens": 3}]}, "texts:1: "),
        ("pos", {"dataframe_records": [{"words": "the"}]}, "missing inputs.*tokens"),
        ("pos", {"dataframe_records": [{"tokens": "the", "language": "xx"}]}, "unknown language"),
        ("xnli", "premise,hypothesis\nthe man,NA\n", "null.*hypothesis.*send JSON"),
        ("xnli", {"dataframe_records": [PAIR, {**PAIR, "premise": " "}]}, "texts:2: premise is blank"),
    ],
)
def test_what_is_no_example_is_answered_with_400_and_a_reason(loaded, task, request_, reason):
    answer = ask(loaded[task][0], request_)
    assert answer.status_code == 400
    assert re.search(reason, answer.json()["message"], re.DOTALL)


def test_the_model_is_loaded_by_a_module_and_no_pickle_lies_in_it(trained):
    store, runs = trained
    folder = find_checkpoint(runs["xnli", "prompt"], store)[0].directory
    flavor = yaml.safe_load((folder / "MLmodel").read_text())["flavors"]["python_function"]
    assert flavor["loader_module"] == "xlprompt.training.serving.pyfunc"
    assert {path.suffix for path in folder.iterdir()} <= {"", ".json", ".safetensors", ".txt", ".yaml"}
    assert "xlprompt-training==" in (folder / "requirements.txt").read_text()


def test_the_example_that_comes_with_a_model_is_answered(loaded):
    for model, _ in loaded.values():
        assert len(model.predict(model.input_example)) == 1


def test_another_setting_of_the_loader_is_refused(trained):
    store, runs = trained
    folder = find_checkpoint(runs["xnli", "prompt"], store)[0].directory
    assert _load_pyfunc(str(folder), {"device": "cpu"}).predictor.task.name == "xnli"
    with pytest.raises(MlflowException, match="speed.*device and model"):
        _load_pyfunc(str(folder), {"speed": 2})
