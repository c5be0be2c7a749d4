"""A model is examined before anything of it is loaded, and all who ask get the same answer."""

from pathlib import Path

import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    CohereConfig,
    DogeConfig,
    EuroBertConfig,
    Gemma2Config,
    Gemma3Config,
    Gemma3nConfig,
    Gemma3TextConfig,
    GraniteConfig,
    JetMoeConfig,
    Llama4TextConfig,
    LlamaConfig,
    MambaConfig,
    MixtralConfig,
    ModernBertConfig,
    ModernBertDecoderConfig,
    MptConfig,
    PhimoeConfig,
    PreTrainedConfig,
    StableLmConfig,
)

from xlprompt.models import (
    AdapterSettings,
    HeadOnly,
    ModelError,
    examine,
    load_backbone,
    parameter_budget,
)
from xlprompt.models.backbone.backbone import Backbone
from xlprompt.models.backbone.token_head import token_head
from xlprompt.models.pretrained.examination import examine_config

SIZE = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
}
ENCODER = {key: value for key, value in SIZE.items() if key != "num_key_value_heads"}
VISION = {key: ENCODER[key] for key in ("hidden_size", "intermediate_size", "num_hidden_layers")} | {
    "num_attention_heads": 4,
    "image_size": 28,
    "patch_size": 14,
}
BOTH_WAYS = "reads its text in both directions; prompts here are made for causal decoders"
REFUSED = {
    "ModernBERT": (ModernBertConfig(**ENCODER), BOTH_WAYS),
    "EuroBERT": (EuroBertConfig(**SIZE), BOTH_WAYS),
    "EmbeddingGemma": (Gemma3TextConfig(**SIZE, head_dim=8, use_bidirectional_attention=True), BOTH_WAYS),
    "a Llama that was switched": (LlamaConfig(**SIZE, is_causal=False), BOTH_WAYS),
    "MPT": (MptConfig(d_model=32, n_layers=2, n_heads=4, vocab_size=64), "no list of decoder layers"),
    "StableLM": (StableLmConfig(**SIZE), "does not go through transformers' attention interface"),
    "Mamba": (MambaConfig(hidden_size=32, num_hidden_layers=2, vocab_size=64), "does not go through"),
    "Llama 4": (Llama4TextConfig(**SIZE, head_dim=8, num_local_experts=2), "chunks"),
    "Doge": (DogeConfig(**SIZE), "mask of its own"),
    "PhiMoE": (PhimoeConfig(**SIZE, sliding_window=4, num_local_experts=2), "sliding window of 4"),
    "heads that don't fit": (LlamaConfig(**SIZE | {"num_key_value_heads": 3}), "no working model"),
    "Gemma 3 4B": (
        Gemma3Config(text_config=SIZE | {"head_dim": 8}, vision_config=VISION),
        r"a multimodal checkpoint \(text, vision\).*of Gemma 3: 270M and 1B",
    ),
    "Gemma 3n": (Gemma3nConfig(), "looks the text's tokens up anew"),  # saving its decoder would not help
    "quantized": (LlamaConfig(**SIZE, quantization_config={"quant_method": "gptq"}), r"quantized \(gptq\)"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_planning_and_loading_refuse_the_same_models_in_the_same_words(kind: str, tmp_path: Path) -> None:
    config, said = REFUSED[kind]
    config.save_pretrained(tmp_path)  # no weights: none are needed to say so
    with pytest.raises(ModelError, match=said) as planned:
        parameter_budget(str(tmp_path), num_labels=3, method=HeadOnly())
    with pytest.raises(ModelError) as loaded:
        load_backbone(str(tmp_path))
    assert str(loaded.value) == str(planned.value)
    assert "\n" not in str(planned.value)


def test_the_decoder_of_a_multimodal_checkpoint_can_be_saved_as_its_refusal_says(tmp_path: Path) -> None:
    AutoModel.from_config(REFUSED["Gemma 3 4B"][0]).save_pretrained(tmp_path / "whole")
    AutoModel.from_pretrained(tmp_path / "whole").get_decoder().save_pretrained(tmp_path / "text")
    assert load_backbone(str(tmp_path / "text")).num_layers == SIZE["num_hidden_layers"]


@pytest.mark.parametrize("value", [0, -1, "many", None, [], 1e300])
@pytest.mark.parametrize("key", ["hidden_size", "num_attention_heads", "num_hidden_layers", "vocab_size"])
def test_a_configuration_that_makes_no_model_is_refused(key: str, value: object, tmp_path: Path) -> None:
    import json

    LlamaConfig(**SIZE).save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    with pytest.raises(ModelError):
        examine(str(tmp_path))


def test_a_mixture_of_experts_takes_prompts_and_has_no_place_for_an_adapter() -> None:
    backbone = examine_config(MixtralConfig(**SIZE, num_local_experts=2), name="mixtral")
    with pytest.raises(ModelError, match="another method"):
        AdapterSettings().apply(backbone, torch.Generator())


def test_what_is_measured_without_weights_is_what_is_measured_with_them(
    tiny_xglm: Path, tiny_gemma: Path, tiny_llama: Path
) -> None:
    for folder in (tiny_xglm, tiny_gemma, tiny_llama):
        assert examine(str(folder)).shape == load_backbone(str(folder)).shape


def test_an_examination_leaves_the_configuration_as_it_was(tiny_llama: Path) -> None:
    config = AutoConfig.from_pretrained(tiny_llama)
    before = config.to_dict(), config._attn_implementation
    examine_config(config, name="llama")
    token_head(config)
    assert (config.to_dict(), config._attn_implementation) == before


def test_rotary_embeddings_that_grow_with_the_text_are_read_from_the_configuration() -> None:
    growing = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}
    shape = examine_config(LlamaConfig(**SIZE, rope_parameters=growing), name="llama").shape
    assert (shape.num_layers, shape.num_kv_heads, shape.head_dim) == (2, 2, 8)


@pytest.mark.parametrize(
    ("config", "claimed"),
    [
        (CohereConfig(**SIZE, logit_scale=0.25), True),
        (GraniteConfig(**SIZE, logits_scaling=4.0, tie_word_embeddings=True), True),
        (Gemma2Config(**SIZE, head_dim=8, final_logit_softcapping=0.5), True),
        (LlamaConfig(**SIZE, tie_word_embeddings=True), True),
        (LlamaConfig(**SIZE, tie_word_embeddings=False), False),
        (ModernBertDecoderConfig(**ENCODER), False),  # a layer and a norm before the product
    ],
)
@torch.no_grad()
def test_logits_of_the_next_token_are_transformers_own_or_not_claimed(
    config: PreTrainedConfig, claimed: bool
) -> None:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    ids = torch.arange(3, 23)[None]
    theirs = model(ids).logits[0]
    backbone = Backbone(model.base_model, name="tiny", fingerprint="").eval()
    assert backbone.has_token_logits is claimed
    if claimed:
        torch.testing.assert_close(backbone.token_logits(backbone(ids)[0]), theirs, atol=1e-5, rtol=1e-4)
    else:
        with pytest.raises(ModelError, match="not its input embedding"):
            backbone.token_logits(backbone(ids)[0])


@torch.no_grad()
def test_a_decoder_that_takes_a_view_of_what_attention_gives_computes_what_transformers_does() -> None:
    torch.manual_seed(0)
    size = {"num_key_value_heads": 2, "kv_channels": 8, "num_local_experts": 2, "num_experts_per_tok": 2}
    config = JetMoeConfig(hidden_size=32, intermediate_size=64, num_hidden_layers=2, vocab_size=64, **size)
    model = AutoModel.from_config(config, attn_implementation="eager").eval()
    ids = torch.arange(3, 23)[None]
    theirs = model(ids).last_hidden_state
    ours = Backbone(model, name="tiny", fingerprint="").eval()(ids)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)
