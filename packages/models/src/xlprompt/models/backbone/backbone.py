"""Decoder backbones: one forward pass that takes a prompt.

A backbone is transformers' base model without its language-model head (classification never computes it),
with its attention replaced by `prompted_attention`. Any decoder that calls transformers' attention interface
and hands its keyword arguments down works; attention modules of decoders that do not, such as XGLM, BLOOM and
Falcon, are swapped for ours. Whether our function is really called in each layer is tried in `probes`.
Whether weights train is not decided here.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel

from xlprompt.models.backbone.attention import ATTENTION_NAME, KeyValueRecorder, XGLMAttention
from xlprompt.models.backbone.dropout import CheapDropout, drops_out
from xlprompt.models.backbone.norms import fuse_norms
from xlprompt.models.backbone.own_attention import handed_down, take_over
from xlprompt.models.backbone.probes import Measured, measure
from xlprompt.models.backbone.prompt_tensors import PromptShape, PromptTensors
from xlprompt.models.backbone.readouts import (
    MOST_READ,
    FewQueries,
    LastLayer,
    Readouts,
    few_queries,
    picked,
)
from xlprompt.models.backbone.text_tree import TextTree
from xlprompt.models.backbone.token_head import TokenHead, token_head
from xlprompt.models.errors import INSTEAD, ModelError

_LAYERS = ("layers", "h", "decoder.layers")  # most decoders; GPT-2, BLOOM, Falcon; OPT


class Backbone(nn.Module):
    """A decoder without language-model head, whose attention takes prompts.

    Attributes:
        name: The name that it was asked for by.
        fingerprint: What identifies its weights, configuration and tokenizer; see `fingerprint_of`.
        config: transformers' configuration.
        shape: What a prompt must fit.
        reads_trees: Whether rows may hold several texts that begin alike.
        last_layer: What the last layer computes where only read-outs are wanted.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        name: str,
        fingerprint: str,
        measured: Measured | None = None,
        tied: bool = True,
    ) -> None:
        """Take a transformers base model (`AutoModel`) and replace its attention.

        Args:
            model: The model, with weights or on the meta device.
            name: The name that it was asked for by.
            fingerprint: From `fingerprint_of`.
            measured: What trying it has told before; it is tried on a few tokens when None.
            tied: Whether the language-model head of the file, if it has one, is the input embedding.

        Raises:
            ModelError: Its attention can't take prompts.
        """
        super().__init__()
        self.model = model
        self.name = name
        self.fingerprint = fingerprint
        self.config = model.config
        layers = find_layers(model)
        if layers is None:
            raise ModelError(
                f"{name}: {type(model).__name__} has no list of decoder layers called "
                f"{', '.join(_LAYERS[:-1])} or {_LAYERS[-1]}, where prompts go. {INSTEAD}"
            )
        self.decoder_layers: nn.ModuleList = layers
        self._hands_down = _replace_attention(model, layers, name)
        fuse_norms(model)
        self._drops_out = False
        self.last_layer: LastLayer = "whole"  # while it is measured
        self.shape, self.reads_trees, self.last_layer = measured or measure(self)
        self._tied = tied

    @property
    def embedding(self) -> nn.Embedding:
        """The input embedding module; calling it applies the backbone's own scale."""
        return self.model.get_input_embeddings()

    @property
    def hidden_size(self) -> int:
        """Width of the hidden states."""
        return self.shape.hidden_size

    @property
    def layer_width(self) -> int:
        """Width of the states between layers; OPT-350M's are wider than its embedding and its output."""
        return int(getattr(self.config, "hidden_size", self.hidden_size))

    @property
    def num_layers(self) -> int:
        """Number of decoder layers."""
        return self.shape.num_layers

    @property
    def num_kv_heads(self) -> int:
        """Number of key-value heads of a layer."""
        return self.shape.num_kv_heads

    @property
    def head_dim(self) -> int:
        """Size of one attention head."""
        return self.shape.head_dim

    @property
    def vocab_size(self) -> int:
        """Number of rows of the embedding."""
        return self.embedding.num_embeddings

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the weights."""
        return self.embedding.weight.dtype

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return self.embedding.weight.device

    @functools.cached_property
    def _token_head(self) -> TokenHead | None:
        return token_head(self.config) if self._tied else None

    @property
    def has_token_logits(self) -> bool:
        """Whether next tokens can be predicted: the language-model head is the input embedding itself."""
        return self._token_head is not None

    def token_logits(self, hidden: Tensor) -> Tensor:
        """Logits of the next token, for backbones that have them (`has_token_logits`).

        Args:
            hidden: `[positions, hidden]`, what `forward` gave.

        Returns:
            `[positions, vocabulary]`, float32.

        Raises:
            ModelError: This backbone has none.
        """
        if self._token_head is None:
            raise ModelError(f"{self.name}: its language-model head is not its input embedding, and not here")
        return self._token_head(nn.functional.linear(hidden, self.embedding.weight).float())

    def enable_gradient_checkpointing(self) -> None:
        """Recompute each layer in the backward pass instead of keeping its activations."""
        self.model.activation_checkpointing_enable()  # non-reentrant by default

    def train(self, mode: bool = True) -> Backbone:
        """Train or evaluate; as torch's, and looks whether anything drops out."""
        super().train(mode)
        if mode:
            self._drops_out = drops_out(self.model)
        return self

    def freeze(self, *, fuse: bool = True) -> None:
        """Let no weight train, and use what a frozen backbone allows: fused projections for XGLM.

        Args:
            fuse: False where something is to be put into the projections.
        """
        self.requires_grad_(False)
        for module in self.modules() if fuse else ():
            if isinstance(module, XGLMAttention) and module.fused_weight is None:
                module.fuse()

    def unfreeze(self, *, embeddings: bool) -> None:
        """Let the weights train, those of the input embedding only when asked to."""
        self.requires_grad_(True)
        self.embedding.requires_grad_(embeddings)

    def forward(
        self,
        input_ids: Tensor,
        prompt: PromptTensors | None = None,
        recorder: KeyValueRecorder | None = None,
        tree: TextTree | None = None,
        readouts: Readouts | None = None,
    ) -> Tensor:
        """Hidden states after the last norm.

        Args:
            input_ids: `[batch, time]`, padded on the right with any id.
            prompt: What stands in front of the text.
            recorder: Where to note keys and values by layer.
            tree: The texts of rows that hold several; for backbones that can (`reads_trees`).
            readouts: What is read; None for every position. Nothing else is computed in the last layer where
                that is possible and saves time.

        Returns:
            `[batch, time, hidden]`, for the text alone; with `readouts` `[batch, most, hidden]`.
        """
        prompt = prompt or PromptTensors()
        embeddings = self.embedding(input_ids)
        slots = prompt.input_slots
        if slots:
            first = prompt.input if prompt.hidden is None else prompt.hidden[0]
            assert first is not None  # slots > 0 means one of the two is there
            embeddings = torch.cat((first.expand(len(input_ids), -1, -1), embeddings), dim=1)
        # Slots that run as tokens stand right before the text; without a shift both count from zero.
        slot_positions = torch.arange(slots, device=input_ids.device) + max(prompt.position_offset - slots, 0)
        text_positions = torch.arange(input_ids.shape[1], device=input_ids.device)[None]
        extra: dict[str, Any] = {}
        if tree is not None:
            text_positions = tree.positions
            extra["tree"] = tree.behind(slots)
        positions = torch.cat(
            (slot_positions.expand(len(text_positions), -1), text_positions + prompt.position_offset), dim=1
        )
        if prompt.layers is not None:
            extra["layer_prompts"] = prompt.by_layer()
        if recorder is not None:
            extra["recorder"] = recorder
        last = self.decoder_layers[-1]
        few = None
        if readouts is not None and self._computes_few(readouts, input_ids.shape[1]):
            few = extra["few"] = FewQueries(len(self.decoder_layers) - 1, readouts.columns + slots)
        handing = nullcontext() if self._hands_down else handed_down(self.decoder_layers, extra)
        few_alone = few_queries(last, few, fill_up=self.last_layer == "few, filled up")
        # What gradient checkpointing recomputes must draw the same mask, and is recomputed outside.
        # Whether it trains is asked anew: a score in between sets and resets modes module by module.
        draws = self.training and self._drops_out and not getattr(last, "gradient_checkpointing", False)
        dropout = CheapDropout() if draws else nullcontext()
        with _replaced_slots(self.decoder_layers, prompt.hidden), handing, few_alone, dropout:
            output = self.model(
                inputs_embeds=embeddings,
                position_ids=positions,
                use_cache=False,
                **(extra if self._hands_down else {}),
            )
        hidden: Tensor = output.last_hidden_state
        if readouts is None:
            return hidden[:, slots:]
        return hidden[:, : readouts.most] if few is not None else picked(hidden[:, slots:], readouts.columns)

    def _computes_few(self, readouts: Readouts, time: int) -> bool:
        """Whether the last layer computes read-outs alone in a pass over so many positions."""
        return (
            self.last_layer != "whole"
            and readouts.most <= MOST_READ * time
            and not self.decoder_layers[-1]._forward_hooks  # somebody looks at all that comes out of it
            and not hasattr(self.embedding.weight, "ds_id")  # ZeRO 3 counts the calls of modules
        )


@contextmanager
def _replaced_slots(layers: nn.ModuleList, hidden: Tensor | None) -> Iterator[None]:
    """Within it, each layer but the first gets its own prompt in place of the first slots of its input."""
    handles = []
    if hidden is not None:
        for layer, prompt in zip(list(layers)[1:], hidden[1:], strict=True):
            handles.append(layer.register_forward_pre_hook(functools.partial(_replace_slots, prompt)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _replace_slots(prompt: Tensor, _: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    states, *rest = arguments
    return (torch.cat((prompt.expand(len(states), -1, -1), states[:, prompt.shape[-2] :]), dim=1), *rest)


def find_layers(model: nn.Module) -> nn.ModuleList | None:
    """The list of decoder layers of a base model, by the names that transformers has for it."""
    for path in _LAYERS:
        found: Any = model
        for part in path.split("."):
            found = getattr(found, part, None)
        if isinstance(found, nn.ModuleList):
            return found
    return None


def _replace_attention(model: PreTrainedModel, layers: nn.ModuleList, name: str) -> bool:
    """Let every layer attend by `prompted_attention`, and say whether the model hands it what it needs."""
    if model.config.model_type == "xglm":
        for index, layer in enumerate(layers):
            layer.self_attn = XGLMAttention(layer.get_submodule("self_attn"), index)
        own = True
    else:
        own = take_over(layers)
    if own:
        # Only keeps transformers from building a mask: these models never ask which attention is set.
        model.config._attn_implementation = ATTENTION_NAME
        return model.config.model_type == "xglm"
    if not getattr(model, "_supports_attention_backend", False):
        raise ModelError(
            f"{name}: {type(model).__name__} does not go through transformers' attention interface. {INSTEAD}"
        )
    model.set_attn_implementation(ATTENTION_NAME)
    return True


def shape_by_config(config: PreTrainedConfig) -> PromptShape:
    """What a prompt must fit, read from a configuration (a `Backbone` measures it instead)."""
    heads = config.num_attention_heads
    kv_heads = getattr(config, "num_key_value_heads", None) or heads
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // heads
    return PromptShape(config.num_hidden_layers, kv_heads, head_dim, config.hidden_size)
