"""The server's answers: those of predict, or a status with a reason and the field that is wrong."""

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace

import pytest
from fastapi.testclient import TestClient
from served_examples import EXAMPLES

from xlprompt.data.tokens.settings import EncodingSettings
from xlprompt.training import find_checkpoint, open_predictor
from xlprompt.training.errors import RunError
from xlprompt.training.serving import app as app_module
from xlprompt.training.serving import questions
from xlprompt.training.serving.app import create_app
from xlprompt.training.serving.limits import Limits
from xlprompt.training.serving.shelf import Served, Shelf, _told_apart, load_shelf

pytestmark = pytest.mark.integration
HERE = "http://127.0.0.1"


@pytest.fixture(scope="module")
def shelf(trained):
    store, runs = trained
    return load_shelf([runs[task, "prompt"] for task in EXAMPLES] + [runs["pos", "lora"]], store)


@pytest.fixture(scope="module")
def client(shelf):
    with TestClient(create_app(shelf), base_url=HERE) as opened:
        yield opened


def near(found, prediction):
    assert found["label"] == prediction.label
    assert found["cut"] == prediction.cut
    pairs = [(found["probabilities"], prediction.probabilities)]
    if isinstance(prediction.label, list):
        pairs = zip(*pairs[0], strict=True)
    for one, other in pairs:
        assert one == pytest.approx(other, abs=2e-6)


def test_prompts_stand_on_one_backbone_and_lora_on_another(shelf):
    assert len(shelf) == 5
    assert shelf.backbones == 2
    with pytest.raises(KeyError, match="2 models of pos.*pos-prompt-.*pos-lora-"):
        shelf.find("pos")


def test_every_model_answers_as_predict_does_by_task_name_or_id(client, trained):
    store, runs = trained
    names = {entry["run"]: entry["name"] for entry in client.get("/tasks").json()}
    for (task, _), run in runs.items():
        expected = open_predictor(find_checkpoint(run, store)[0]).predict(EXAMPLES[task])
        for called in (run, names[run], *([] if task == "pos" else [task])):
            answer = client.post("/predict", json={"task": called, "texts": EXAMPLES[task]})
            assert answer.status_code == 200, answer.text
            body = answer.json()
            assert (body["task"], body["model"], body["language"]) == (task, names[run], "en")
            for found, prediction in zip(body["predictions"], expected, strict=True):
                near(found, prediction)


def test_requests_of_all_tasks_at_a_time_get_their_own_answers(client, trained):
    store, runs = trained
    asked = [
        (run, example, language)
        for (task, _), run in runs.items()
        for example in EXAMPLES[task]
        for language in ("en", "de")
    ] * 2
    predictors = {run: open_predictor(find_checkpoint(run, store)[0]) for run in runs.values()}

    def ask(question):
        run, example, language = question
        return client.post("/predict", json={"task": run, "texts": [example], "language": language}).json()

    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(ask, asked))
    for (run, example, language), answer in zip(asked, answers, strict=True):
        near(answer["predictions"][0], predictors[run].predict([example], language=language)[0])


PAIR = ["the man", "man"]


@pytest.mark.parametrize(
    ("told", "asked", "language"), [("de-DE", None, "de"), (None, "de-DE", "de"), ("und", "de", "de")]
)
def test_texts_and_requests_tell_their_language_alike(client, told, asked, language):
    texts = [{"premise": "a", "hypothesis": "b", "language": told}]
    answer = client.post("/predict", json={"task": "xnli", "texts": texts, "language": asked})
    assert (answer.status_code, answer.json()["language"]) == (200, language)


@pytest.mark.parametrize(
    ("body", "field", "reason"),
    [
        ({"task": "nli", "texts": [PAIR]}, "task", "no 'nli' here.*xnli"),
        ({"task": "pos", "texts": ["a"]}, "task", "2 models of pos"),
        ({"texts": [PAIR]}, "task", "required"),
        ({"task": 3, "texts": [PAIR]}, "task", "string"),
        ({"task": "xnli"}, "texts", "required"),
        ({"task": "xnli", "texts": []}, "texts", "at least 1"),
        ({"task": "xnli", "texts": "the man"}, "texts", "list"),
        ({"task": "xnli", "texts": [PAIR, 3]}, "texts.1", "neither a text"),
        ({"task": "xnli", "texts": [PAIR, ["a", None]]}, "texts.1", "neither a text"),
        ({"task": "xnli", "texts": [PAIR, ["a"]]}, "texts.1", "two texts"),
        ({"task": "xnli", "texts": [{"premise": "a"}]}, "texts.0", "hypothesis"),
        ({"task": "xnli", "texts": [{"premise": "a", "hypothesis": None}]}, "texts.0", "hypothesis"),
        ({"task": "xnli", "texts": [["a", " "]]}, "texts.0", "hypothesis is blank"),
        ({"task": "xnli", "texts": [["a\0", "b"]]}, "texts.0", "NUL"),
        ({"task": "xnli", "texts": [["a", "b" * 20_001]]}, "texts.0", "20002 characters"),
        ({"task": "xnli", "texts": [PAIR] * 65}, "texts", "65 texts"),
        ({"task": "xnli", "texts": [PAIR], "language": "xx"}, "language", "unknown language"),
        ({"task": "xnli", "texts": [PAIR], "languages": "de"}, "languages", "[Ee]xtra"),
        (
            {
                "task": "xnli",
                "texts": [{"premise": "a", "hypothesis": "b", "language": "de"}, PAIR],
            },
            "texts",
            "texts of de, en, and a request is of one language",
        ),
        ([1], None, "not a JSON object"),
    ],
)
def test_a_bad_request_is_refused_with_the_field_and_a_reason(client, body, field, reason):
    answer = client.post("/predict", json=body)
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert error["field"] == field
    assert re.search(reason, error["reason"])


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b'{"task', 422),
        (b'{"task": "xnli", "texts": ["\xff"]}', 400),
        (b"[" * 100_000, 400),
        (b'{"task": "xnli", "texts": [["\\ud800", "b"]]}', 422),
        (b'{"task": "xnli", "texts": [["a", "b"]], "\\ud800": 1}', 422),
        (b" " * ((1 << 20) + 1), 413),
    ],
)
def test_a_body_that_is_no_request_is_refused(client, content, status):
    answer = client.post("/predict", content=content, headers={"content-type": "application/json"})
    assert answer.status_code == status
    assert answer.json()["error"]["reason"]


def test_a_body_without_a_length_is_measured_as_it_comes(client):
    pieces = (b" " * 65536 for _ in range(17))
    answer = client.post("/predict", content=pieces, headers={"content-type": "application/json"})
    assert answer.status_code == 413


def test_a_name_that_another_site_gives_this_machine_is_refused(client):
    assert client.get("/health", headers={"host": "example.com"}).status_code == 400


@pytest.fixture
def gate(monkeypatch):
    """Models answer only when it is set."""
    opened, answer_all = threading.Event(), app_module.answer_all
    monkeypatch.setattr(app_module, "answer_all", lambda asked: answer_all(asked) if opened.wait(30) else [])
    yield opened
    opened.set()


def test_too_many_at_a_time_are_told_to_come_again_and_slow_ones_given_up(shelf, gate):
    limits = replace(Limits(), queue=2, seconds=0.5)
    with TestClient(create_app(shelf, limits), base_url=HERE) as client, ThreadPoolExecutor(8) as pool:
        request = {"task": "xnli", "texts": [PAIR]}
        answers = [pool.submit(client.post, "/predict", json=request) for _ in range(8)]
        statuses = sorted(answer.result().status_code for answer in answers)
        gate.set()
        assert set(statuses) == {429, 504}
        assert statuses.count(429) >= 4
        refused = next(each.result() for each in answers if each.result().status_code == 429)
        assert refused.headers["retry-after"] == "1"
        assert client.post("/predict", json=request).status_code == 200


def test_what_goes_wrong_in_the_model_is_a_500_that_hurts_nobody_else(shelf, monkeypatch):
    def broken(asked):
        return [ZeroDivisionError("no") if len(each.rows) == 2 else (error,) for each in asked]

    error = SimpleNamespace(label="neutral", probability=1.0, probabilities={"neutral": 1.0}, cut=False)
    monkeypatch.setattr(app_module, "answer_all", broken)
    with TestClient(create_app(shelf), base_url=HERE) as client:
        assert client.post("/predict", json={"task": "xnli", "texts": [PAIR, PAIR]}).status_code == 500
        assert client.post("/predict", json={"task": "xnli", "texts": [PAIR]}).status_code == 200


def test_it_says_how_it_is_and_what_it_has(client):
    assert client.get("/health").json()["status"] == "ok"
    entry = next(each for each in client.get("/tasks").json() if each["task"] == "xcopa")
    assert entry["fields"] == ["premise", "question", "choice1", "choice2"]
    assert entry["labels"] == ["choice1", "choice2"]
    assert {"code": "sw", "name": "Swahili"} in entry["languages"]
    client.post("/predict", json={"task": "xquad", "texts": EXAMPLES["xquad"]})
    text = client.get("/metrics").text
    for line in ('xlprompt_requests_total{status="200",task="xquad"}', "xlprompt_backbones 2.0"):
        assert line in text
    counted = 'xlprompt_requests_total{status="422",task=""} '
    before = float(text.partition(counted)[2].partition("\n")[0] or 0)
    client.post("/predict", json={"task": "xquad"})
    client.post("/predict", content=b"{")
    after = client.get("/metrics").text.partition(counted)[2].partition("\n")[0]
    assert float(after) == before + 2
    document = client.get("/openapi.json").json()
    assert set(document["paths"]) == {"/predict", "/tasks", "/health", "/metrics"}
    assert {"413", "422", "429", "503", "504"} <= set(document["paths"]["/predict"]["post"]["responses"])


@pytest.mark.parametrize("path", ["/", "/docs", "/try.js", "/page.css"])
def test_pages_load_nothing_from_elsewhere(client, path):
    answer = client.get(path)
    assert answer.status_code == 200
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    own = answer.text.replace("http://127.0.0.1", "").replace("http://www.w3.org/2000/svg", "")
    assert "http://" not in own
    assert "https://" not in own


@pytest.mark.parametrize(("share", "passes"), [(0.0, 1), (0.5, 2)])
def test_requests_whose_words_are_cut_more_finely_are_encoded_apart(monkeypatch, share, passes):
    """Which words are cut depends on a row's place, which must not be that among other people's rows."""
    encoding = EncodingSettings(granularity={"share": share})
    predictor = SimpleNamespace(
        recipe=SimpleNamespace(encoding=encoding), device="cpu", predictions=lambda rows, found: tuple(rows)
    )
    read = []
    monkeypatch.setattr(questions, "_question", lambda group: [row for each in group for row in each.rows])
    monkeypatch.setattr(questions, "_part", lambda predictor, rows: rows)
    monkeypatch.setattr(questions, "answer_together", lambda parts, device: read.extend(parts) or parts)
    asked = [questions.Asked(predictor, (name,), "de") for name in ("a", "b")]
    assert questions.answer_all(asked) == [("a",), ("b",)]
    assert len(read) == passes


def test_what_fails_fails_alone(monkeypatch):
    def question(group):
        if any(each.rows == ("bad",) for each in group):
            raise ValueError("no such text")
        return [row for each in group for row in each.rows]

    recipe = SimpleNamespace(encoding=EncodingSettings())
    predictor = SimpleNamespace(recipe=recipe, device="cpu", predictions=lambda rows, found: tuple(rows))
    monkeypatch.setattr(questions, "_question", question)
    monkeypatch.setattr(questions, "_part", lambda predictor, rows: rows)
    monkeypatch.setattr(questions, "answer_together", lambda parts, device: parts)
    asked = [questions.Asked(predictor, (name,), "de") for name in ("a", "bad", "c")]
    first, failed, last = questions.answer_all(asked)
    assert (first, str(failed), last) == (("a",), "no such text", ("c",))


def test_a_text_that_was_cut_is_told(client):
    texts = [("man " * 300, "man"), ("man", "man")]
    answer = client.post("/predict", json={"task": "xnli", "texts": texts})
    assert [each["cut"] for each in answer.json()["predictions"]] == [True, False]


def test_models_of_one_name_are_told_apart_by_run_or_folder():
    places = [
        "0123456789abcdef",
        "fedcba9876543210",
        "/s/models/m-aaaa/artifacts",
        "/s/models/m-bbbb/artifacts",
    ]
    places += ["/x/checkpoint-a", "/x/checkpoint-b", "/y/checkpoint-b"]
    found = _told_apart([Served("one", place, None) for place in places])
    assert [each.name for each in found] == [
        "one-01234567", "one-fedcba98", "one-m-aaaa", "one-m-bbbb",
        "one-checkpoint-a", "one-checkpoint-b-1", "one-checkpoint-b-2",
    ]  # fmt: skip
    assert [each.name for each in _told_apart([Served("one", "a", None), Served("two", "b", None)])] == [
        "one",
        "two",
    ]


def test_a_shelf_without_models_or_with_one_twice_is_refused(trained):
    store, runs = trained
    with pytest.raises(RunError, match="no model"):
        Shelf([])
    with pytest.raises(RunError, match="named twice"):
        load_shelf([runs["xnli", "prompt"]] * 2, store)
