"""What a recipe trains on: one language, or as many examples of several."""

from pathlib import Path

import pytest
import torch
from small import tiny_recipe

from xlprompt.data import DataError
from xlprompt.evaluation import TransferReport
from xlprompt.evaluation.processes import Processes
from xlprompt.models import load_tokenizer
from xlprompt.studies.grid.cells import data_fingerprints
from xlprompt.training.errors import RecipeError, RunError
from xlprompt.training.inputs.chosen_data import open_training_data
from xlprompt.training.inputs.preparation import (
    Setup,
    Split,
    load_split,
    load_training_set,
    warn_of_absent_labels,
)
from xlprompt.training.recipes.recipe import Recipe, load_recipe, task_of

EXPERIMENTS = Path(__file__).parents[3] / "experiments"


@pytest.fixture
def recipe(tiny_xglm, monkeypatch, tmp_path):
    """Of the mini benchmark, which has training data in all languages."""
    monkeypatch.setenv("XLPROMPT_CACHE", str(tmp_path / "cache"))

    def make(seed: int = 0, **data: object) -> Recipe:
        return tiny_recipe("pos", tiny_xglm, "mini", seed=seed, data={"limit": 24, **data})

    return make


def opened(recipe: Recipe) -> Setup:
    device = torch.device("cpu")
    source, tokenizer = open_training_data(recipe), load_tokenizer(recipe.model)
    return Setup(recipe, task_of(recipe), source, tokenizer, device, Processes(device=device))


def training_set(recipe: Recipe) -> Split:
    setup = opened(recipe)
    alone = load_split(setup, recipe.data.train_language, "train")
    found = load_training_set(setup)
    assert found.encoded.num_examples == alone.encoded.num_examples == 24
    return found


def test_another_training_language_is_read_in_its_own_words(recipe):
    english, swahili = training_set(recipe()), training_set(recipe(train_language="sw"))
    assert english.record.name == "pos-en-train"
    assert swahili.record.name == "pos-sw-train"
    assert english.dataset["id"] == swahili.dataset["id"]
    assert english.dataset["tokens"] != swahili.dataset["tokens"]


def test_of_several_languages_there_are_as_many_examples_as_of_one_and_a_seed_deals_them_out(recipe):
    first, again, other = (training_set(recipe(seed, also_train_on=["de", "sw"])) for seed in (0, 0, 1))
    assert first.record.name == "pos-en+de+sw-train"
    assert first.fingerprint == again.fingerprint
    assert first.encoded.fingerprint == again.encoded.fingerprint
    assert len({first.encoded.fingerprint, other.encoded.fingerprint}) == 2
    assert sorted(first.dataset["id"]) == sorted(training_set(recipe()).dataset["id"])
    assert len(first.encoded.gold()) == 24


def test_labels_that_a_set_of_an_own_task_lacks_are_told(tiny_xglm, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("XLPROMPT_CACHE", str(tmp_path / "cache"))
    data, rows = tmp_path / "mine", ["text,label", "the man,a", "the woman,b", "the child,c"]
    data.mkdir()
    for split, kept in (("train", 4), ("dev", 2), ("test", 4)):
        (data / f"en.{split}.csv").write_text("\n".join(rows[:kept]))
    values = {"data.source": str(data), "model": str(tiny_xglm)}
    setup = opened(load_recipe(EXPERIMENTS / "mini" / "own-prompt.yaml", values))
    warn_of_absent_labels(setup, load_training_set(setup), load_split(setup, "en", "validation"))
    told = [message for message in caplog.messages if "no row" in message]
    assert told == ["mine, development set: no row has the labels b, c"]


def test_a_study_knows_the_training_data_of_every_language(recipe):
    found = data_fingerprints(recipe(also_train_on=["de", "sw"]), test=False)
    assert list(found) == ["train-en", "train-de", "train-sw", "validation-en"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"also_train_on": ["de", "de"]}, "names a language twice"),
        ({"also_train_on": ["en"]}, r"train_language \(en\) again"),
        ({"language_exponent": 0.3}, "Name others in also_train_on"),
    ],
)
def test_languages_that_cannot_be_trained_on_together_are_refused(recipe, data, message):
    with pytest.raises(RecipeError, match=message):
        recipe(**data)


def test_a_language_without_training_data_is_named(recipe):
    with pytest.raises(DataError, match=r"unknown language 'german'. Did you mean de \(German\)\?"):
        open_training_data(recipe(train_language="german"))
    with pytest.raises(RunError, match=r"no train set for pos in 'it' to train on.*data.also_train_on"):
        open_training_data(recipe(also_train_on=["de", "it"]))


def test_no_language_trained_on_is_zero_shot():
    class Result:
        def __init__(self, code):
            self.language, self.scores = code, {"accuracy": None}

    results = {code: Result(code) for code in ("en", "de", "fr", "sw")}
    report = TransferReport("xnli", "test", "accuracy", "en", results, ("de", "ja"))
    assert report.zero_shot_languages == ("fr", "sw")
    assert report.trained_on == "English, German, Japanese"
