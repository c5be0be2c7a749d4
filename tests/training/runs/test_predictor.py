"""A trained model in memory: what it takes from a program and gives back, and one backbone for several."""

import io

import pytest
from rich.console import Console
from small import tiny_recipe, write_data

from xlprompt.data import DataError
from xlprompt.training import find_checkpoint, open_predictor, train
from xlprompt.training.errors import CheckpointError
from xlprompt.training.runs.predictor import load_for_many

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def checkpoints(tiny_xglm, tmp_path_factory):
    """Prompts for pairs and for sentences, and updates of the backbone's own layers."""
    folder = tmp_path_factory.mktemp("predictors")
    data, store = write_data(folder / "data"), folder / "mlruns"
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XLPROMPT_CACHE", str(folder / "cache"))
        for task, method in (("xnli", "prompt"), ("pos", "prompt"), ("pos", "lora")):
            recipe = tiny_recipe(task, tiny_xglm, data, method=method, evaluation={"language_model_rows": 0})
            recipe = recipe.model_copy(update={"schedule": recipe.schedule.model_copy(update={"steps": 4})})
            run = train(recipe, store=store, console=Console(file=io.StringIO()))
            found[task, method] = find_checkpoint(run.run_id, store)[0]
    return found


def test_texts_come_as_tuples_dictionaries_or_words(checkpoints):
    pairs = open_predictor(checkpoints["xnli", "prompt"])
    as_tuple, as_dictionary = pairs.predict([("the man", "man"), {"premise": "the man", "hypothesis": "man"}])
    assert as_tuple.probabilities == pytest.approx(as_dictionary.probabilities)
    assert as_tuple.label == max(as_tuple.probabilities, key=as_tuple.probabilities.__getitem__)
    assert set(as_tuple.probabilities) == set(pairs.labels)
    assert as_tuple.to_dict()["premise"] == "the man"
    short = round(as_tuple.probability, 2)
    assert repr(as_tuple) == f"Prediction(label={as_tuple.label!r}, probability={short})"
    assert pairs.predict([]) == []
    tagger = open_predictor(checkpoints["pos", "prompt"])
    sentence, words = tagger.predict(["the man reads", ["der", "Mann", "liest"]], language="de")
    assert [len(each.label) for each in (sentence, words)] == [3, 3]
    assert words.row.texts == (["der", "Mann", "liest"],)
    assert repr(words).startswith(f"Prediction(label={words.label}, probability=[")
    assert words.probability == [max(word.values()) for word in words.probabilities]


def test_each_text_is_of_the_language_that_it_tells(checkpoints):
    tagger = open_predictor(checkpoints["pos", "prompt"])
    rows = [{"tokens": "我 是", "language": code} for code in ("en", "zh", None, "zh-CN")]
    found = tagger.predict(rows)
    assert [each.to_dict().get("language") for each in found] == ["en", "zh", None, "zh"]
    for each, code in zip(found, ("en", "zh", "en", "zh"), strict=True):  # no spaces in Chinese
        (alone,) = tagger.predict(["我 是"], language=code)
        assert each.probability == pytest.approx(alone.probability, rel=1e-4)
    assert found[0].probability != pytest.approx(found[1].probability, rel=1e-4)
    with pytest.raises(DataError, match="the id 1 tells its language, zh, and en is given for all. Leave"):
        tagger.predict(rows, language="en")
    unclear = [{"tokens": "我 是", "language": "und"}]
    with pytest.raises(DataError, match="unknown language 'und' of the text with the id 0.*--language"):
        tagger.predict(unclear)
    (told,) = tagger.predict(unclear, language="zh-CN")
    assert told.to_dict()["language"] == "zh"


@pytest.mark.parametrize(
    ("task", "texts", "message"),
    [
        ("xnli", ["the man"], 'texts:1: .*takes two texts.*"premise": …, "hypothesis": …'),
        ("xnli", [("a", "b"), ("a", "b", "c")], "texts:2: "),
        ("xnli", [("a", None)], "texts:1: "),
        ("xnli", [{"premise": "a"}], "texts:1: .*hypothesis"),
        ("xnli", "the man", "Put it into a list"),
        ("pos", [3], "texts:1: .*takes a sentence"),
        ("pos", [["the", 3]], "texts:1: "),
        ("pos", [""], "texts:1: "),
    ],
)
def test_what_is_no_example_of_the_task_is_refused_with_its_place(checkpoints, task, texts, message):
    with pytest.raises(DataError, match=message):
        open_predictor(checkpoints[task, "prompt"]).predict(texts)


def test_several_stand_on_one_backbone_and_answer_as_each_does_alone(checkpoints):
    backbone = load_for_many(checkpoints["xnli", "prompt"])
    texts = {"xnli": [("the man reads", "man")], "pos": [["the", "man", "reads"]]}
    together = {task: open_predictor(checkpoints[task, "prompt"], on=backbone) for task in texts}
    assert len({id(each.model.backbone) for each in together.values()}) == 1
    for task, given in texts.items():
        alone = open_predictor(checkpoints[task, "prompt"]).predict(given)
        assert together[task].predict(given) == alone


def test_what_changes_the_backbone_stands_alone(checkpoints):
    backbone = load_for_many(checkpoints["pos", "prompt"])
    assert not backbone.carries(checkpoints["pos", "lora"])
    with pytest.raises(CheckpointError, match="load it by itself"):
        open_predictor(checkpoints["pos", "lora"], on=backbone)
