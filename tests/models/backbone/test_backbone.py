"""Loading backbones: what is accepted, what is refused and what the message says."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from transformers import (
    AutoModel,
    GptOssConfig,
    GptOssModel,
    StableLmConfig,
    StableLmModel,
    T5Config,
    XGLMConfig,
    XGLMModel,
)
from transformers.utils import logging

from xlprompt.models import ModelError, load_backbone, load_config, load_tokenizer
from xlprompt.models.pretrained.fingerprint import fingerprint_of


def test_the_fingerprint_belongs_to_the_weights_not_to_the_folder(tiny_xglm: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(tiny_xglm, tmp_path / "copy"))
    before = load_backbone(str(tiny_xglm)).fingerprint
    assert fingerprint_of(copy) == before
    weights = bytearray((copy / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (copy / "model.safetensors").write_bytes(weights)
    assert fingerprint_of(copy) != before


def test_the_fingerprint_covers_every_shard(tiny_llama: Path, tmp_path: Path) -> None:
    model = AutoModel.from_pretrained(tiny_llama)
    model.save_pretrained(tmp_path, max_shard_size="40KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    before = fingerprint_of(tmp_path)
    last = sorted(tmp_path.glob("*.safetensors"))[-1]
    weights = bytearray(last.read_bytes())
    weights[-1] ^= 1
    last.write_bytes(weights)
    assert fingerprint_of(tmp_path) != before


def test_a_checkpoint_in_half_precision_pickle_format_loads_as_published(tmp_path: Path) -> None:
    # facebook/xglm-564M is published as pytorch_model.bin in half precision.
    config = XGLMConfig(vocab_size=64, d_model=32, num_layers=2, ffn_dim=64, attention_heads=4)
    model = XGLMModel(config).half()
    config.save_pretrained(tmp_path)
    torch.save(
        {f"model.{name}": value for name, value in model.state_dict().items()}, tmp_path / "pytorch_model.bin"
    )
    backbone = load_backbone(str(tmp_path), dtype="float32")
    loaded = backbone.model.layers[1].fc1.weight
    assert torch.equal(loaded, model.layers[1].fc1.weight.float())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("./nowhere", "no such model folder"),
        ("no-such/model", "can't be loaded"),
    ],
)
def test_a_model_that_is_not_there_is_named(name: str, message: str) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        load_backbone(name)
    assert name in str(caught.value)


def test_a_folder_without_configuration_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no config\.json"):
        load_backbone(str(tmp_path))


def test_a_broken_configuration_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{not json", encoding="utf-8")
    with pytest.raises(ModelError, match="can't be loaded"):
        load_config(str(tmp_path))


def test_a_folder_without_weights_is_named(tiny_xglm: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes((tiny_xglm / "config.json").read_bytes())
    with pytest.raises(ModelError, match="can't be loaded"):
        load_backbone(str(tmp_path))


def test_a_model_without_fast_tokenizer_is_named(tiny_xglm: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes((tiny_xglm / "config.json").read_bytes())
    with pytest.raises(ModelError, match="knows no word|can't be loaded"):
        load_tokenizer(str(tmp_path))


def test_an_encoder_decoder_is_refused(tmp_path: Path) -> None:
    T5Config(d_model=16, num_layers=1, vocab_size=64).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="encoder-decoder"):
        load_backbone(str(tmp_path))


def test_a_decoder_outside_the_attention_interface_is_refused(tmp_path: Path) -> None:
    size = {"num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2}
    config = StableLmConfig(vocab_size=64, hidden_size=16, intermediate_size=16, **size)
    StableLmModel(config).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="does not go through transformers' attention interface"):
        load_backbone(str(tmp_path))


def test_a_decoder_with_attention_sinks_is_refused(tmp_path: Path) -> None:
    config = GptOssConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        num_local_experts=2,
    )
    GptOssModel(config).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="attention sinks"):
        load_backbone(str(tmp_path))


def test_precision_and_device_are_as_asked(tiny_xglm: Path) -> None:
    backbone = load_backbone(str(tiny_xglm))
    assert {parameter.dtype for parameter in backbone.parameters()} == {torch.bfloat16}
    assert {buffer.dtype for buffer in backbone.buffers() if buffer.is_floating_point()} == {torch.bfloat16}


def test_xglm_tokenizer_puts_one_end_of_sentence_in_front(tiny_xglm: Path) -> None:
    tokenizer = load_tokenizer(str(tiny_xglm))
    single, pair = tokenizer("book").input_ids, tokenizer("book", "woman").input_ids
    book, woman = (tokenizer(word, add_special_tokens=False).input_ids for word in ("book", "woman"))
    end = tokenizer.eos_token_id
    assert single == [end, *book]
    assert pair == [end, *book, end, end, *woman]
    assert json.loads((tiny_xglm / "config.json").read_text())["pad_token_id"] == tokenizer.pad_token_id == 1


def test_loading_draws_no_progress_bar_and_leaves_the_setting_alone(
    tiny_xglm: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    logging.enable_progress_bar()
    load_backbone(str(tiny_xglm))
    assert "Loading weights" not in capfd.readouterr().err
    assert logging.is_progress_bar_enabled()
