"""Attention with prompt keys and values in front of the text's.

One function, `prompted_attention`, serves every backbone: transformers' attention interface calls it for
decoders that use that interface, and modules of our own call it for those that do not: `XGLMAttention` here,
the others in `own_attention`. Prompts come in as plain tensors, never as a `Cache`, so gradient checkpointing
and transformers releases cannot lose them.

Sequences are padded on the right. A causal decoder's real tokens never see what stands to their right, so no
padding mask exists here; what padded positions compute is never read.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AttentionInterface

from xlprompt.models.backbone.readouts import FewQueries
from xlprompt.models.backbone.text_tree import TextTree
from xlprompt.models.errors import ModelError

ATTENTION_NAME = "xlprompt"

# On a CPU, attention written out (two products and a softmax) beats SDPA's kernel with a mask up to at least
# this many keys, in training 2 to 4 times: `python experiments/bench/attention.py`. Beyond it SDPA's memory
# matters more.
WRITTEN_OUT_MAX_KEYS = 1024


@dataclass
class KeyValueRecorder:
    """Collects each layer's keys and values of its text, `[batch, kv head, time, head dim]` each.

    Attributes:
        queries: The last layer's that was run, `[batch, head, time, head dim]`.
        states: Keys and values by layer.
        windows: Sliding windows by layer, of those that have one.
    """

    queries: Tensor | None = None
    states: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)
    windows: dict[int, int] = field(default_factory=dict)


@lru_cache(maxsize=256)
@torch.inference_mode(False)  # a mask first needed in inference mode must still serve a backward pass
def causal_mask(
    queries: int, prompt_length: int, window: int | None, dtype: torch.dtype, device: torch.device
) -> Tensor:
    """Additive mask `[queries, prompt_length + queries]`: 0 where a query may look, minus infinity elsewhere.

    Every query sees every prompt slot, whatever the sliding window: a prompt is part of the layer, not of the
    text.

    Args:
        queries: Number of text positions.
        prompt_length: Number of prompt slots in front of the text.
        window: Sliding window in positions (a query sees itself and the `window - 1` before it), or None.
        dtype: Floating type of the mask.
        device: Where the mask lies.
    """
    position = torch.arange(queries, device=device)
    distance = position[:, None] - position[None, :]
    visible = distance >= 0
    if window is not None:
        visible &= distance < window
    mask = torch.zeros(queries, prompt_length + queries, dtype=dtype, device=device)
    mask[:, prompt_length:].masked_fill_(~visible, float("-inf"))
    return mask


def prompted_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None = None,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    text_bias: Tensor | None = None,
    layer_prompts: Mapping[int, Tensor] | None = None,
    recorder: KeyValueRecorder | None = None,
    tree: TextTree | None = None,
    few: FewQueries | None = None,
    **_: object,
) -> tuple[Tensor, None]:
    """Causal attention over a layer's prompt and the text, as transformers' attention interface calls it.

    Args:
        module: The attention module that calls; its `layer_idx` picks the layer's prompt.
        query: `[batch, head, time, head dim]`.
        key: `[batch, kv head, time, head dim]`.
        value: Like `key`.
        attention_mask: None (see the module's text), as transformers builds no mask for this implementation;
            a model that makes one of its own means something by it, and is refused.
        scaling: Factor on the scores; 1 / sqrt(head dim) when None.
        dropout: Dropout probability on the attention weights (the caller passes 0 when it does not train).
        sliding_window: Window of a local layer, or None.
        softcap: Tanh cap on the scores (Gemma 2), or None.
        s_aux: Attention sinks (gpt-oss); refused, as they change the softmax.
        text_bias: `[head, query, key]`, or another one for each row `[batch, head, query, key]`, added to the
            scores of the text's own keys (ALiBi); a prompt's slots get none. None for none.
        layer_prompts: `[2, kv head, prompt length, head dim]` by layer, of those that have a prompt; with
            another one for each row `[2, batch, kv head, prompt length, head dim]`; or None.
        recorder: Where to note the text's own keys and values, or None.
        tree: Which token sees which, where a row holds several texts; None where each is one.
        few: What the last layer is to compute, or None for every position; there `query` is of read-outs
            alone, and `key` and `value` are not looked at.

    Returns:
        `[batch, time, head, head dim]`, and None for the weights.

    Raises:
        ModelError: The model uses attention sinks, or a mask of its own.
    """
    if attention_mask is not None:
        raise ModelError("this backbone makes an attention mask of its own, which prompts here don't know")
    if s_aux is not None:
        raise ModelError(
            "this backbone uses attention sinks, which prompts in every layer do not support yet"
        )
    layer = int(module.layer_idx)  # type: ignore[arg-type]
    if recorder is not None:
        recorder.states[layer], recorder.queries = (key, value), query
        if sliding_window is not None:
            recorder.windows[layer] = sliding_window

    if few is not None and few.layer != layer:
        few = None
    if few is not None:
        key, value = few.attended(key, value)
    heads, head_dim, time = query.shape[1], query.shape[3], key.shape[2]
    prompt_length = 0
    if layer_prompts is not None and (prompt := layer_prompts.get(layer)) is not None:
        prompt_length = prompt.shape[-2]
        key, value = _behind(prompt, key, value)
    if sliding_window is not None and sliding_window >= time:
        sliding_window = None
    scale = 1.0 / math.sqrt(head_dim) if scaling is None else scaling

    known = prompt_length == 0 and sliding_window is None and text_bias is None
    plain = known and tree is None and few is None
    written_out = softcap is not None or (query.device.type == "cpu" and key.shape[2] <= WRITTEN_OUT_MAX_KEYS)
    mask = None
    if written_out or not plain:
        if tree is None:
            mask = causal_mask(time, prompt_length, sliding_window, query.dtype, query.device)
        else:
            mask = tree.mask(prompt_length, sliding_window, query.dtype)
        if text_bias is not None:  # [head, time, prompt + time], or that for each row
            mask = mask + functional.pad(text_bias.to(query.dtype), (prompt_length, 0))
        if few is not None:
            mask = few.rows_of(mask)  # [batch, 1 or head, most, prompt + time]
    if written_out:
        assert mask is not None
        output = _attention_written_out(query, key, value, mask, scale, dropout, softcap)
    else:
        output = functional.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=mask,
            dropout_p=dropout,
            is_causal=plain,
            scale=scale,
            enable_gqa=heads != key.shape[1],
        )
    return output.transpose(1, 2).contiguous(), None  # some models take a view of it


def _behind(prompt: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    """A layer's prompt in front of the text's keys and values, the same for every row or one for each."""
    # [2, batch, kv head, prompt, head dim]
    of_rows = prompt if prompt.dim() == 5 else prompt[:, None].expand(2, len(key), -1, -1, -1)
    return torch.cat((of_rows[0], key), dim=2), torch.cat((of_rows[1], value), dim=2)


def _attention_written_out(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor,
    scale: float,
    dropout: float,
    softcap: float | None,
) -> Tensor:
    """Softmax(query key^T) value; grouped heads are folded into the query axis, so no key is repeated."""
    batch, heads, time, head_dim = query.shape
    kv_heads, keys = key.shape[1], key.shape[2]
    groups = heads // kv_heads
    folded = (query * scale).reshape(batch, kv_heads, groups * time, head_dim)
    scores = folded @ key.transpose(2, 3)  # [batch, kv head, group * time, keys]
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    if mask.ndim > 2:  # by head, or by row and head, or by row alone
        mask = mask.unflatten(-3, (kv_heads, groups) if mask.shape[-3] == heads else (1, 1))
    scores = scores.view(batch, kv_heads, groups, time, keys) + mask
    weights = functional.dropout(functional.softmax(scores, dim=-1), dropout)
    output = weights.view(batch, kv_heads, groups * time, keys) @ value
    return output.view(batch, heads, time, head_dim)


class XGLMAttention(nn.Module):
    """XGLM's self-attention by `prompted_attention`, with the weights and names of transformers' module.

    With `fuse`, the three input projections become one product (their weights turn into views of one matrix):
    faster, and right for a frozen backbone. Do not export a fused module's weights; they share storage.
    """

    def __init__(self, original: nn.Module, layer_idx: int) -> None:
        """Take over the projections of `original`, a transformers `XGLMAttention`."""
        super().__init__()
        self.layer_idx = layer_idx
        self.num_heads: int = original.num_heads  # type: ignore[assignment]
        self.head_dim: int = original.head_dim  # type: ignore[assignment]
        self.dropout: float = original.dropout  # type: ignore[assignment]
        self.q_proj: nn.Linear = original.q_proj  # type: ignore[assignment]
        self.k_proj: nn.Linear = original.k_proj  # type: ignore[assignment]
        self.v_proj: nn.Linear = original.v_proj  # type: ignore[assignment]
        self.out_proj: nn.Linear = original.out_proj  # type: ignore[assignment]
        self.register_buffer("fused_weight", None, persistent=False)
        self.register_buffer("fused_bias", None, persistent=False)

    @torch.no_grad()
    def fuse(self) -> None:
        """Lay the weights of the three input projections into one matrix and let them be views of it."""
        projections = (self.q_proj, self.k_proj, self.v_proj)
        self.fused_weight = torch.cat([projection.weight for projection in projections])
        self.fused_bias = torch.cat([projection.bias for projection in projections])
        for projection, weight, bias in zip(
            projections, self.fused_weight.chunk(3), self.fused_bias.chunk(3), strict=True
        ):
            projection.weight.data, projection.bias.data = weight, bias

    def forward(self, hidden_states: Tensor, **kwargs: object) -> tuple[Tensor, None]:
        """Attend within `hidden_states`, `[batch, time, hidden]`, and to `kwargs["layer_prompts"]`."""
        batch, time, hidden = hidden_states.shape
        few = kwargs.get("few")
        if not isinstance(few, FewQueries) or few.layer != self.layer_idx:
            query, key, value = self._heads(*self._projected(hidden_states, 0, 3))
        elif few.whole is None:
            few.keep(*self._heads(*self._projected(hidden_states, 1, 3)))
        else:
            (query,), (key, value) = self._heads(*self._projected(hidden_states, 0, 1)), few.whole
        dropout = self.dropout if self.training else 0.0
        output, _ = prompted_attention(self, query, key, value, dropout=dropout, **kwargs)  # type: ignore[arg-type]
        return self.out_proj(output.reshape(batch, time, hidden)), None

    def _projected(self, states: Tensor, first: int, end: int) -> tuple[Tensor, ...]:
        """Those from `first` up to `end` of query, key and value, `[batch, time, hidden]` each."""
        if self.fused_weight is None:
            return tuple(each(states) for each in (self.q_proj, self.k_proj, self.v_proj)[first:end])
        width = states.shape[-1]
        chosen = slice(first * width, end * width)
        return functional.linear(states, self.fused_weight[chosen], self.fused_bias[chosen]).split(width, -1)

    def _heads(self, *projected: Tensor) -> list[Tensor]:
        """`[batch, head, time, head dim]` of each."""
        batch, time, _ = projected[0].shape
        return [each.view(batch, time, self.num_heads, self.head_dim).transpose(1, 2) for each in projected]


# No mask function is registered for this name, so transformers builds no mask and passes None.
AttentionInterface.register(ATTENTION_NAME, prompted_attention)
