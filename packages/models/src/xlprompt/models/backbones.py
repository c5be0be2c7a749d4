"""Decoder backbones: loading, and one forward pass that takes a prompt.

A backbone is transformers' base model without its language-model head (classification never computes it),
with its attention replaced by `prompted_attention`. Any decoder that calls transformers' attention interface
and hands its keyword arguments down works; whether it does is tried on two tokens when it is loaded. XGLM's
attention modules are swapped for ours. Whether weights train is not decided here.
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from xlprompt.models.attention import ATTENTION_NAME, KeyValueRecorder, XGLMAttention
from xlprompt.models.errors import ModelError
from xlprompt.models.fingerprint import weights_fingerprint
from xlprompt.models.known import GEMMA
from xlprompt.models.location import locate
from xlprompt.models.norms import fuse_norms
from xlprompt.models.prompts import PromptShape, PromptTensors
from xlprompt.models.quiet import quietly

Precision = Literal["bfloat16", "float32"]
BackboneDropout = Literal["off", "pretrained"]


def load_config(name: str) -> PreTrainedConfig:
    """Read a model's configuration from a folder or the hub.

    Raises:
        ModelError: It can't be read, or it is not a decoder's.
    """
    location = locate(name)
    config = _from_transformers(name, AutoConfig.from_pretrained, location)
    if getattr(config, "is_encoder_decoder", False):
        raise ModelError(f"{name}: an encoder-decoder; prompts here are made for decoder-only models")
    return config


def load_tokenizer(name: str) -> PreTrainedTokenizerFast:
    """Load the fast tokenizer that belongs to a model.

    Raises:
        ModelError: There is none, or it is no fast tokenizer.
    """
    tokenizer = _from_transformers(name, AutoTokenizer.from_pretrained, locate(name))
    if not tokenizer.is_fast:
        raise ModelError(f"{name}: no fast tokenizer (tokenizer.json); word boundaries need one")
    # Without tokenizer files transformers makes an empty tokenizer of the model's class and says nothing.
    if set(tokenizer("a the", add_special_tokens=False).input_ids) <= {tokenizer.unk_token_id}:
        raise ModelError(
            f"{name}: its tokenizer knows no word; is tokenizer.json missing beside the weights?"
        )
    return tokenizer


def load_backbone(
    name: str,
    *,
    dtype: Precision = "bfloat16",
    dropout: BackboneDropout = "off",
    device: str | torch.device = "cpu",
    gradient_checkpointing: bool = False,
) -> "Backbone":
    """Load a decoder and make it take prompts.

    Args:
        name: A known name (`gemma-3-270m`, `xglm-564M`), a hub id, or a folder in transformers' format.
        dtype: Precision that the weights are held and computed in.
        dropout: `off` sets every dropout of the backbone to zero; `pretrained` keeps the configuration's.
        device: Where the weights go.
        gradient_checkpointing: Recompute layers in the backward pass: less memory, a third more time.

    Raises:
        ModelError: The model can't be read, is no decoder, or its attention can't take prompts.
    """
    config = load_config(name)
    if dropout == "off":
        _set_dropout_to_zero(config)
    location = locate(name)
    model = _from_transformers(
        name,
        AutoModel.from_pretrained,
        location,
        config=config,
        dtype=getattr(torch, dtype),
    )
    fingerprint = weights_fingerprint(location, revision=getattr(model.config, "_commit_hash", None))
    # from_pretrained casts parameters; XGLM's position table is a buffer made before that.
    backbone = Backbone(
        model.to(device=device, dtype=getattr(torch, dtype)), name=name, fingerprint=fingerprint
    )
    if gradient_checkpointing:
        backbone.enable_gradient_checkpointing()
    return backbone


class Backbone(nn.Module):
    """A decoder without language-model head, whose attention takes prompts.

    Attributes:
        name: The name that it was asked for by.
        fingerprint: SHA-256 of its configuration and weight files.
        config: transformers' configuration.
        shape: What a prompt must fit.
    """

    def __init__(self, model: PreTrainedModel, *, name: str, fingerprint: str) -> None:
        """Take a transformers base model (`AutoModel`) and replace its attention.

        Raises:
            ModelError: Its attention can't take prompts.
        """
        super().__init__()
        self.model = model
        self.name = name
        self.fingerprint = fingerprint
        self.config = model.config
        layers = getattr(model, "layers", None)
        if not isinstance(layers, nn.ModuleList):
            raise ModelError(f"{name}: {type(model).__name__} has no list of decoder layers called `layers`")
        self.decoder_layers: nn.ModuleList = layers
        _replace_attention(model, layers, name)
        fuse_norms(model)
        self.shape = self._probe()

    @property
    def embedding(self) -> nn.Embedding:
        """The input embedding module; calling it applies the backbone's own scale."""
        return self.model.get_input_embeddings()

    @property
    def hidden_size(self) -> int:
        """Width of the hidden states."""
        return self.shape.hidden_size

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

    @property
    def has_token_logits(self) -> bool:
        """Whether next tokens can be predicted: the language-model head is the input embedding itself."""
        return bool(self.config.tie_word_embeddings)

    def token_logits(self, hidden: Tensor) -> Tensor:
        """Logits of the next token, for backbones that have them (`has_token_logits`).

        Args:
            hidden: `[positions, hidden]`, what `forward` gave.

        Returns:
            `[positions, vocabulary]`, float32.
        """
        logits = nn.functional.linear(hidden, self.embedding.weight).float()
        cap = getattr(self.config, "final_logit_softcapping", None)  # Gemma 2 has one
        return logits if cap is None else cap * torch.tanh(logits / cap)

    def enable_gradient_checkpointing(self) -> None:
        """Recompute each layer in the backward pass instead of keeping its activations."""
        self.model.activation_checkpointing_enable()  # non-reentrant by default

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
        self, input_ids: Tensor, prompt: PromptTensors | None = None, recorder: KeyValueRecorder | None = None
    ) -> Tensor:
        """Hidden states after the last norm.

        Args:
            input_ids: `[batch, time]`, padded on the right with any id.
            prompt: What stands in front of the text.
            recorder: Where to note keys and values by layer.

        Returns:
            `[batch, time, hidden]`, for the text alone.
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
        text_positions = torch.arange(input_ids.shape[1], device=input_ids.device) + prompt.position_offset
        positions = torch.cat((slot_positions, text_positions))
        extra: dict[str, Any] = {}
        if prompt.layers is not None:
            extra["layer_prompts"] = prompt.by_layer()
        if recorder is not None:
            extra["recorder"] = recorder
        with _replaced_slots(self.decoder_layers, prompt.hidden):
            output = self.model(
                inputs_embeds=embeddings, position_ids=positions[None], use_cache=False, **extra
            )
        return output.last_hidden_state[:, slots:]

    @torch.no_grad()
    def _probe(self) -> PromptShape:
        """Run two tokens and see what keys each layer hands to `prompted_attention`.

        Raises:
            ModelError: A layer never called it, or the layers differ in shape.
        """
        recorder = KeyValueRecorder()
        was_training = self.training
        self.eval()
        hidden = self(torch.zeros(1, 2, dtype=torch.long, device=self.device), recorder=recorder)
        self.train(was_training)
        number = len(self.decoder_layers)
        if sorted(recorder.states) != list(range(number)):
            raise ModelError(
                f"{self.name}: {type(self.model).__name__} hands keyword arguments to the attention of "
                f"{len(recorder.states)} of its {number} layers only, so prompts can't reach the others"
            )
        shapes = {tuple(key.shape) for key, _ in recorder.states.values()}
        shapes |= {tuple(value.shape) for _, value in recorder.states.values()}
        if len(shapes) != 1:
            raise ModelError(
                f"{self.name}: layers differ in the shape of their keys and values: {sorted(shapes)}"
            )
        _, kv_heads, _, head_dim = shapes.pop()
        return PromptShape(number, kv_heads, head_dim, hidden.shape[-1])


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
    return (torch.cat((prompt.expand(len(states), -1, -1), states[:, len(prompt) :]), dim=1), *rest)


def _replace_attention(model: PreTrainedModel, layers: nn.ModuleList, name: str) -> None:
    if model.config.model_type == "xglm":
        for index, layer in enumerate(layers):
            layer.self_attn = XGLMAttention(layer.get_submodule("self_attn"), index)
        # Only keeps transformers from building a mask: XGLM's own code never asks which attention is set.
        model.config._attn_implementation = ATTENTION_NAME
        return
    if not getattr(model, "_supports_attention_backend", False):
        raise ModelError(
            f"{name}: {type(model).__name__} does not go through transformers' attention interface; "
            "take a decoder that does (Llama, Gemma, Qwen, Mistral and most newer ones) or XGLM"
        )
    model.set_attn_implementation(ATTENTION_NAME)


def _set_dropout_to_zero(config: PreTrainedConfig) -> None:
    for key, value in config.to_dict().items():
        if ("dropout" in key or "pdrop" in key or "layerdrop" in key) and isinstance(value, float):
            setattr(config, key, 0.0)


def _from_transformers(name: str, load: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Call one of transformers' loaders and turn its many exceptions into one clear one."""
    try:
        with quietly():
            return load(*arguments, **options)
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(
            f"{name}: can't be loaded ({reason}). Give a folder in transformers' format, a hub id "
            f"(this needs the network once), or {GEMMA}"
        ) from error
