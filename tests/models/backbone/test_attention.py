"""Prompted attention against transformers' and PEFT's own code."""

from pathlib import Path

import pytest
import torch
from peft import PrefixTuningConfig, get_peft_model
from torch import Tensor
from transformers import AutoModel, AutoModelForCausalLM, PreTrainedModel

from xlprompt.models import Backbone, load_backbone
from xlprompt.models.backbone.attention import causal_mask
from xlprompt.models.backbone.prompt_tensors import PromptTensors

BACKBONES = ["tiny_xglm", "tiny_gemma", "tiny_llama"]
TOLERANCE = 1e-5


@pytest.fixture(params=BACKBONES)
def folder(request: pytest.FixtureRequest) -> Path:
    return request.getfixturevalue(request.param)


@pytest.fixture
def ids() -> Tensor:
    """Longer than the tiny Gemma's sliding window of 8."""
    return torch.randint(4, 100, (3, 20), generator=torch.Generator().manual_seed(1))


def reference(folder: Path) -> PreTrainedModel:
    return AutoModel.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()


def backbone(folder: Path, **options: object) -> Backbone:
    return load_backbone(str(folder), dtype="float32", **options).eval()


def random_prompt(of: Backbone, length: int = 5) -> Tensor:
    shape = (of.num_layers, 2, of.num_kv_heads, length, of.head_dim)
    return torch.randn(shape, generator=torch.Generator().manual_seed(2))


def peft_hidden_states(folder: Path, prompt: Tensor, ids: Tensor) -> Tensor:
    """Hidden states of PEFT's PrefixTuning with `prompt` laid into its own parameter."""
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    layers, _, kv_heads, length, head_dim = prompt.shape
    config = PrefixTuningConfig(
        task_type="CAUSAL_LM",
        num_virtual_tokens=length,
        num_layers=layers,
        num_attention_heads=kv_heads,
        token_dim=kv_heads * head_dim,
        num_transformer_submodules=1,
    )
    peft_model = get_peft_model(model, config).eval()
    weight = peft_model.prompt_encoder.default.embedding.weight
    # PEFT stores [slot, layer * 2 * head * head dim].
    weight.data = prompt.permute(3, 0, 1, 2, 4).reshape(length, -1).contiguous()
    output = peft_model(input_ids=ids, attention_mask=torch.ones_like(ids), output_hidden_states=True)
    return output.hidden_states[-1]


@pytest.fixture(params=["written out", "sdpa"])
def either_path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the test with attention written out, and again with SDPA."""
    largest = 10**6 if request.param == "written out" else 0
    monkeypatch.setattr("xlprompt.models.backbone.attention.WRITTEN_OUT_MAX_KEYS", largest)


@pytest.mark.usefixtures("either_path")
def test_without_prompt_the_hidden_states_are_transformers(folder: Path, ids: Tensor) -> None:
    with torch.no_grad():
        ours = backbone(folder)(ids)
        theirs = reference(folder)(ids).last_hidden_state
    torch.testing.assert_close(ours, theirs, atol=TOLERANCE, rtol=0)


@pytest.mark.usefixtures("either_path")
def test_prompts_in_layers_equal_peft_given_the_same_values(folder: Path, ids: Tensor) -> None:
    ours = backbone(folder)
    prompt = random_prompt(ours)
    # PEFT lets Gemma's window of 8 slide over the prompt's 5 slots; ours always sees them: 3 tokens see the
    # same.
    short = ids[:, :3] if ours.config.model_type == "gemma3_text" else ids
    with torch.no_grad():
        hidden = ours(short, PromptTensors(layers=prompt, position_offset=prompt.shape[3]))
        expected = peft_hidden_states(folder, prompt, short)
    torch.testing.assert_close(hidden, expected, atol=TOLERANCE, rtol=0)


def test_a_prompt_changes_the_hidden_states_of_every_token(folder: Path, ids: Tensor) -> None:
    ours = backbone(folder)
    with torch.no_grad():
        plain = ours(ids)
        zero = ours(ids, PromptTensors(layers=torch.zeros_like(random_prompt(ours))))
    # Even zero keys take softmax mass, so a zero prompt is not a no-op.
    assert ((plain - zero).abs().amax(-1) > 1e-4).all()


def test_padding_on_the_right_changes_nothing_for_real_tokens(folder: Path, ids: Tensor) -> None:
    ours = backbone(folder)
    prompt = PromptTensors(layers=random_prompt(ours), position_offset=5)
    padded = torch.cat((ids, torch.full((3, 7), 1)), dim=1)
    with torch.no_grad():
        torch.testing.assert_close(ours(padded, prompt)[:, :20], ours(ids, prompt), atol=TOLERANCE, rtol=0)


def test_positions_are_shifted_only_when_asked(folder: Path, ids: Tensor) -> None:
    ours = backbone(folder)
    prompt = random_prompt(ours)
    with torch.no_grad():
        shifted = ours(ids, PromptTensors(layers=prompt, position_offset=5))
        unshifted = ours(ids, PromptTensors(layers=prompt))
    assert (shifted - unshifted).abs().max() > 1e-3


def test_gradients_with_checkpointing_equal_those_without(folder: Path, ids: Tensor) -> None:
    gradients = []
    for checkpointing in (False, True):
        ours = load_backbone(str(folder), dtype="float32", gradient_checkpointing=checkpointing).train()
        ours.freeze()
        prompt = random_prompt(ours).requires_grad_()
        ours(ids, PromptTensors(layers=prompt, position_offset=5)).square().mean().backward()
        gradients.append(prompt.grad)
    assert gradients[0].abs().max() > 0
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-7, rtol=1e-5)


def test_checkpointing_really_recomputes_layers(folder: Path, ids: Tensor) -> None:
    ours = load_backbone(str(folder), dtype="float32", gradient_checkpointing=True).train()
    ours.freeze()
    calls = []
    ours.decoder_layers[1].self_attn.register_forward_pre_hook(lambda *_: calls.append(1))
    prompt = random_prompt(ours).requires_grad_()
    ours(ids, PromptTensors(layers=prompt)).sum().backward()
    assert len(calls) == 2


def test_gradients_by_written_out_attention_and_by_sdpa_agree(
    folder: Path, ids: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    gradients = []
    for largest in (10**6, 0):
        monkeypatch.setattr("xlprompt.models.backbone.attention.WRITTEN_OUT_MAX_KEYS", largest)
        ours = backbone(folder)
        prompt = random_prompt(ours).requires_grad_()
        ours(ids, PromptTensors(layers=prompt)).square().mean().backward()
        gradients.append(prompt.grad)
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-6, rtol=1e-4)


def test_fused_projections_change_nothing(tiny_xglm: Path, ids: Tensor) -> None:
    ours = backbone(tiny_xglm)
    with torch.no_grad():
        before = ours(ids)
        ours.freeze()
        torch.testing.assert_close(ours(ids), before, atol=1e-6, rtol=0)
    attention = ours.decoder_layers[0].self_attn
    assert attention.q_proj.weight.data_ptr() == attention.fused_weight.data_ptr()


def test_the_mask_is_causal_sees_every_slot_and_keeps_to_the_window() -> None:
    mask = causal_mask(4, 2, 2, torch.float32, torch.device("cpu"))
    visible = (mask == 0).int().tolist()
    assert visible == [[1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 0, 0], [1, 1, 0, 1, 1, 0], [1, 1, 0, 0, 1, 1]]


def test_a_mask_first_used_in_inference_mode_still_trains() -> None:
    causal_mask.cache_clear()
    with torch.inference_mode():
        mask = causal_mask(4, 2, None, torch.float32, torch.device("cpu"))
    assert not mask.is_inference()


def test_dropout_of_the_frozen_backbone_is_a_named_choice(tiny_xglm: Path, ids: Tensor) -> None:
    off = load_backbone(str(tiny_xglm), dtype="float32", dropout="off").train()
    on = load_backbone(str(tiny_xglm), dtype="float32", dropout="pretrained").train()
    with torch.no_grad():
        torch.testing.assert_close(off(ids), off(ids), atol=0, rtol=0)
        assert (on(ids) - on(ids)).abs().max() > 1e-3
