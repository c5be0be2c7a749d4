"""`xlprompt pretrain` on a model so small that it is built in seconds."""

import json
from pathlib import Path

import pytest

from xlprompt.models import load_backbone
from xlprompt.training.pretraining import loss, text

RECIPE = """
name: toy
exponent: 0.3
vocabulary: 1500
tokenizer_passages: 1000
width: 16
layers: 1
heads: 1
feed_forward: 16
steps: 1
token_budget: 256
learning_rate: 1e-3
"""


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(text, "_PASSAGES_AT_ONCE", 100)
    monkeypatch.setattr(loss, "_HELD_OUT_PASSAGES", 4)
    file = tmp_path / "toy.yaml"
    file.write_text(RECIPE)
    return file


@pytest.mark.integration
def test_an_untrained_model_is_written_where_it_is_asked_for(xlprompt, recipe, tmp_path):
    result = xlprompt(
        *("pretrain", recipe, "--out", tmp_path / "model", "--mlruns", tmp_path / "mlruns"),
        *("--set", "steps=0", "--json"),
    )
    assert result.exit_code == 0, result.output
    printed = json.loads(result.stdout)
    assert printed["folder"] == str(tmp_path / "model")
    assert len(printed["loss"]) == 20
    assert load_backbone(printed["folder"]).num_layers == 1


@pytest.mark.integration
def test_a_build_of_another_name_goes_into_the_cache_and_prints_its_table(
    xlprompt, recipe, tmp_path, monkeypatch
):
    monkeypatch.setenv("XLPROMPT_CACHE", str(tmp_path / "cache"))
    result = xlprompt("pretrain", recipe, "--mlruns", tmp_path / "mlruns")
    assert result.exit_code == 0, result.output
    assert "subtokens a word" in result.output
    assert (tmp_path / "cache" / "models" / "toy" / "model.safetensors").is_file()


def test_a_wrong_key_is_named(xlprompt, recipe, tmp_path):
    result = xlprompt("pretrain", recipe, "--mlruns", tmp_path / "mlruns", "--set", "layer=2")
    assert result.exit_code == 2
    assert "layer: there is no such key; the nearest valid key is layers" in result.output
