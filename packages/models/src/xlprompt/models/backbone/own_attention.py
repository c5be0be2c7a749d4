"""Attention for decoders whose code in transformers never calls its attention interface.

BLOOM, Falcon, GPT-Neo, GPT-J and CodeGen compute attention themselves, and their layers hand no keyword
arguments down. Each of their modules takes a class of ours that keeps its weights and names and calls
`prompted_attention`. What that needs comes in the place of the attention mask, of which there is none here.

ALiBi (BLOOM, some of Falcon) takes a slope times the distance off a score. A prompt's slots have no place in
the text, so nothing is taken off theirs: each token sees them as it sees itself. PEFT counts them as text in
front, and the heads with steep slopes then lose sight of the prompt within a few tokens.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from transformers.models.bloom.modeling_bloom import BloomAttention, dropout_add
from transformers.models.bloom.modeling_bloom import build_alibi_tensor as bloom_alibi
from transformers.models.codegen.modeling_codegen import CodeGenAttention
from transformers.models.falcon.modeling_falcon import FalconAttention, apply_rotary_pos_emb
from transformers.models.falcon.modeling_falcon import build_alibi_tensor as falcon_alibi
from transformers.models.gpt_neo.modeling_gpt_neo import GPTNeoSelfAttention
from transformers.models.gptj.modeling_gptj import GPTJAttention

from xlprompt.models.backbone.attention import prompted_attention

HandedDown = Mapping[str, Any] | None


def take_over(layers: nn.ModuleList) -> bool:
    """Let the attention modules of these layers call `prompted_attention`; False where none is known."""
    found = [module for module in layers.modules() if type(module) in OWN]
    for module in found:
        module.__class__ = OWN[type(module)]
        if isinstance(module, GPTNeoSelfAttention):
            module.layer_idx = module.layer_id
    return bool(found)


@contextmanager
def handed_down(layers: nn.ModuleList, extra: Mapping[str, Any]) -> Iterator[None]:
    """Within it, the attention of each of these layers gets `extra` in the place of its mask.

    The hooks act outside what gradient checkpointing recomputes, so it recomputes with the same prompt.
    """

    def hand(
        _: nn.Module, arguments: tuple[Any, ...], options: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return arguments, {**options, "attention_mask": extra}

    handles = [layer.register_forward_pre_hook(hand, with_kwargs=True) for layer in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@functools.lru_cache(maxsize=8)
@torch.inference_mode(False)  # as for the causal mask: it must still serve a backward pass
def alibi_bias(build: Callable[..., Tensor], heads: int, time: int, device: torch.device) -> Tensor:
    """What ALiBi adds to the scores of a text, `[head, query, key]`, float32; zero for a token itself.

    Args:
        build: transformers' `build_alibi_tensor`, whose values grow with a key's position. A softmax knows
            differences only, so those of the key and the query are the same bias in a text alone.
        heads: Number of heads.
        time: Number of positions.
        device: Where it lies.
    """
    row = torch.ones(1, time, dtype=torch.long, device=device)
    of_keys = build(row, heads, torch.float32)  # [head, 1, key]
    return of_keys - of_keys.transpose(1, 2)


def _bias(
    build: Callable[..., Tensor], heads: int, time: int, device: torch.device, handed: HandedDown
) -> Tensor:
    """ALiBi's bias by the places of tokens in their row, or in their texts where a row holds several."""
    handed = handed or {}
    if (tree := handed.get("tree")) is not None:
        return tree.alibi_bias(build, heads)
    few = handed.get("few")  # a layer may be given read-outs alone
    whole = time if few is None or few.whole is None else few.whole[0].shape[2]
    return alibi_bias(build, heads, whole, device)


class PromptedBloomAttention(BloomAttention):
    """BLOOM's, by `prompted_attention`."""

    def forward(
        self, hidden_states: Tensor, residual: Tensor, *, attention_mask: HandedDown = None, **_: object
    ) -> tuple[Tensor, None]:
        """Attend within `hidden_states`, `[batch, time, hidden]`, and add `residual`."""
        batch, time, hidden = hidden_states.shape
        query, key, value = self._reshape(self.query_key_value(hidden_states))
        output, _weights = prompted_attention(
            self,
            query,
            key,
            value,
            scaling=self.inv_norm_factor,
            dropout=self.attention_dropout.p if self.training else 0.0,
            text_bias=_bias(bloom_alibi, self.num_heads, time, hidden_states.device, attention_mask),
            **(attention_mask or {}),
        )
        output = self.dense(output.reshape(batch, time, hidden))
        return dropout_add(output, residual, self.hidden_dropout, self.training), None


class PromptedFalconAttention(FalconAttention):
    """Falcon's, by `prompted_attention`: rotary or ALiBi; one key-value head, as many as heads, or some."""

    def forward(
        self,
        hidden_states: Tensor,
        *,
        alibi: Tensor | None = None,
        attention_mask: HandedDown = None,
        position_embeddings: tuple[Tensor, Tensor],
        **_: object,
    ) -> tuple[Tensor, None]:
        """Attend within `hidden_states`, `[batch, time, hidden]`."""
        batch, time, hidden = hidden_states.shape
        kv_heads = self.num_heads
        if self.new_decoder_architecture or self.multi_query:
            kv_heads = self.num_kv_heads
        # All three layouts are one: by key-value head its queries, its key, its value.
        states = self.query_key_value(hidden_states).view(batch, time, kv_heads, -1, self.head_dim)
        query, key, value = (
            part.flatten(2, 3).transpose(1, 2)
            for part in states.split((self.num_heads // kv_heads, 1, 1), dim=3)
        )
        options: dict[str, Any] = {}
        if alibi is None:  # transformers drops out nothing of rotary models' attention
            query, key = apply_rotary_pos_emb(query, key, *position_embeddings)
        else:
            bias = _bias(falcon_alibi, self.num_heads, time, hidden_states.device, attention_mask)
            options["text_bias"] = bias * self.inv_norm_factor
            options["dropout"] = self.attention_dropout.p if self.training else 0.0
        output, _weights = prompted_attention(
            self, query, key, value, scaling=self.inv_norm_factor, **options, **(attention_mask or {})
        )
        return self.dense(output.reshape(batch, time, hidden)), None


class PromptedGPTNeoAttention(GPTNeoSelfAttention):
    """GPT-Neo's, by `prompted_attention`: scores without a scale, and local layers."""

    def _attn(
        self, query: Tensor, key: Tensor, value: Tensor, attention_mask: HandedDown = None
    ) -> tuple[Tensor, None]:
        window = self.config.window_size if self.attention_type == "local" else None
        return _attend_in_float32(self, query, key, value, attention_mask, 1.0, window)


class PromptedGPTJAttention(GPTJAttention):
    """GPT-J's, by `prompted_attention`."""

    def _attn(
        self, query: Tensor, key: Tensor, value: Tensor, attention_mask: HandedDown = None
    ) -> tuple[Tensor, None]:
        return _attend_in_float32(self, query, key, value, attention_mask, 1 / self.scale_attn)


class PromptedCodeGenAttention(CodeGenAttention):
    """CodeGen's, by `prompted_attention`."""

    def _attn(
        self, query: Tensor, key: Tensor, value: Tensor, attention_mask: HandedDown = None
    ) -> tuple[Tensor, None]:
        return _attend_in_float32(self, query, key, value, attention_mask, 1 / self.scale_attn)


def _attend_in_float32(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    handed: HandedDown,
    scaling: float,
    window: int | None = None,
) -> tuple[Tensor, None]:
    """Attention whose scores are float32, as these models were trained: GPT-Neo's have no scale.

    Returns:
        `[batch, head, time, head dim]` in the value's precision, and None for the weights.
    """
    output, _ = prompted_attention(
        module,
        query.float(),
        key.float(),
        value.float(),
        scaling=scaling,
        dropout=module.attn_dropout.p if module.training else 0.0,
        sliding_window=window,
        **(handed or {}),
    )
    return output.transpose(1, 2).to(value.dtype), None


OWN: Mapping[type[nn.Module], type[nn.Module]] = MappingProxyType(
    {
        BloomAttention: PromptedBloomAttention,
        FalconAttention: PromptedFalconAttention,
        GPTNeoSelfAttention: PromptedGPTNeoAttention,
        GPTJAttention: PromptedGPTJAttention,
        CodeGenAttention: PromptedCodeGenAttention,
    }
)
