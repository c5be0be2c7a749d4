"""The bundled model and its tokenizer: size, format, provenance, and fertility in the order of resources."""

import json
from itertools import islice

import pytest
import torch
from safetensors.torch import load_file
from scipy.stats import spearmanr

from xlprompt.data import STUDY_LANGUAGES, language
from xlprompt.data.mini.corpus import language_shares, passages
from xlprompt.data.mini.items import sentence_items
from xlprompt.data.mini.realize import sentence
from xlprompt.evaluation.scores.fertility import fertility
from xlprompt.models import ModelError, load_backbone, load_config, load_tokenizer
from xlprompt.models.pretrained.nano import nano_folder, train_tokenizer

MAX_BYTES = 8_000_000


def fertilities(tokenizer):
    result = {}
    for code in STUDY_LANGUAGES:
        said = [sentence(code, *item.clauses) for item in sentence_items("pos", "validation")]
        result[code] = fertility(tokenizer, [one.text for one in said], sum(len(one.words) for one in said))
    return result


def correlation_with_resources(by_language):
    tokens = [language(code).tokens for code in by_language]
    return spearmanr(list(by_language.values()), tokens).statistic


def trained_tokenizer(exponent):
    text = islice(passages(language_shares(exponent), seed="tokenizer 0"), 20_000)
    vocabulary = load_config("xglm-nano").vocab_size
    return train_tokenizer((line.text for one in text for line in one if line.text), vocabulary=vocabulary)


def test_the_bundled_weights_are_bfloat16_safetensors_of_at_most_8_mb():
    folder = nano_folder("xglm-nano")
    file = folder / "model.safetensors"
    assert file.stat().st_size <= MAX_BYTES
    assert {tensor.dtype for tensor in load_file(file).values()} == {torch.bfloat16}
    assert [path.name for path in folder.glob("*.bin")] == []


def test_the_bundled_model_loads_by_its_name_and_is_an_xglm():
    backbone = load_backbone("xglm-nano")
    assert backbone.config.model_type == "xglm"
    assert backbone.vocab_size == len(load_tokenizer("xglm-nano"))
    record = json.loads((nano_folder("xglm-nano") / "pretraining.json").read_text())
    assert record["recipe"]["name"] == "xglm-nano"


def test_its_tokenizer_puts_the_end_token_in_front():
    tokenizer = load_tokenizer("xglm-nano")
    assert tokenizer("Rome").input_ids[0] == tokenizer.eos_token_id == 2


def test_its_tokenizer_knows_every_character_of_the_mini_world():
    tokenizer = load_tokenizer("xglm-nano")
    for code in STUDY_LANGUAGES:
        texts = [sentence(code, *item.clauses).text for item in sentence_items("ner", "test")]
        ids = tokenizer(texts).input_ids
        assert all(tokenizer.unk_token_id not in row for row in ids), code


def test_fertility_of_the_bundled_build_follows_the_resource_order():
    assert correlation_with_resources(fertilities(load_tokenizer("xglm-nano"))) <= -0.6


@pytest.mark.slow
def test_fertility_of_the_balanced_build_does_not_follow_the_resource_order():
    assert abs(correlation_with_resources(fertilities(trained_tokenizer(0.0)))) <= 0.35


@pytest.mark.parametrize(("name", "variable"), [("balanced", "BALANCED=1"), ("0.5m", "SIZE=0.5m")])
def test_a_build_that_is_not_there_names_the_command_that_makes_it(own_cache, name, variable):
    with pytest.raises(ModelError, match=f"make nano {variable}"):
        load_backbone(f"xglm-nano-{name}")


def test_the_same_text_trains_the_same_tokenizer():
    lines = [line.text for one in islice(passages({"en": 1.0, "sw": 1.0}, seed=3), 300) for line in one]
    first, second = (train_tokenizer(lines, vocabulary=500) for _ in range(2))
    assert first.get_vocab() == second.get_vocab()
    assert first.backend_tokenizer.to_str() == second.backend_tokenizer.to_str()
