"""Decoder backbones: one forward pass that takes a prompt.

A backbone is transformers' base model without its language-model head (classification never computes it),
with its attention replaced by `prompted_attention`. Any decoder that calls transformers' attention interface
and hands its keyword arguments down works; attention modules of decoders that do not, such as XGLM, BLOOM and
Falcon, are swapped for ours. Whether our function is really called in each layer is tried on two tokens, on
torch's meta device before anything is loaded and again with the weights: some decoders accept the name of a
registered function, never call it, and then attend without a causal mask. Whether weights train is not
decided here.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel

from xlprompt.models.backbone.attention import ATTENTION_NAME, KeyValueRecorder, XGLMAttention
from xlprompt.models.backbone.dropout import CheapDropout, drops_out
from xlprompt.models.backbone.norms import fuse_norms
from xlprompt.models.backbone.own_attention import handed_down, take_over
from xlprompt.models.backbone.prompt_tensors import PromptShape, PromptTensors
from xlprompt.models.backbone.readouts import (
    MOST_READ,
    STRANGE,
    FewQueries,
    Readouts,
    few_queries,
    picked,
    same_but_for_rounding,
)
from xlprompt.models.backbone.text_tree import TextTree
from xlprompt.models.backbone.token_head import TokenHead, token_head
from xlprompt.models.errors import ModelError

INSTEAD = "Take another decoder (XGLM, BLOOM, GPT-2, OPT, Llama, Gemma, Qwen, Mistral and most newer ones)"
LastLayer = Literal["whole", "few", "few, filled up"]
_LAYERS = ("layers", "h", "decoder.layers")  # most decoders; GPT-2, BLOOM, Falcon; OPT


class Backbone(nn.Module):
    """A decoder without language-model head, whose attention takes prompts.

    Attributes:
        name: The name that it was asked for by.
        fingerprint: What identifies its weights, configuration and tokenizer; see `fingerprint_of`.
        config: transformers' configuration.
        shape: What a prompt must fit.
        reads_trees: Whether rows may hold several texts that begin alike.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        name: str,
        fingerprint: str,
        shape: PromptShape | None = None,
        tied: bool = True,
    ) -> None:
        """Take a transformers base model (`AutoModel`) and replace its attention.

        Args:
            model: The model, with weights or on the meta device.
            name: The name that it was asked for by.
            fingerprint: From `fingerprint_of`.
            shape: What a prompt must fit; measured on a few tokens when None, and with it what the model
                allows to be left out.
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
        self.reads_trees = shape is None  # what is not tried is not done
        self._drops_out = False
        self._last_layer: LastLayer = "whole"
        self.shape = shape or self._probe()
        if shape is None:
            self._last_layer = self._probe_last_layer()
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
        few_alone = few_queries(last, few, fill_up=self._last_layer == "few, filled up")
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
            self._last_layer != "whole"
            and readouts.most <= MOST_READ * time
            and not self.decoder_layers[-1]._forward_hooks  # somebody looks at all that comes out of it
            and not hasattr(self.embedding.weight, "ds_id")  # ZeRO 3 counts the calls of modules
        )

    @torch.no_grad()
    def _probe(self) -> PromptShape:
        """Run a few tokens and see what keys each layer hands to `prompted_attention`, and if trees are read.

        Raises:
            ModelError: A layer never called it, or the layers differ in shape.
        """
        recorder = KeyValueRecorder()
        was_training = self.training
        self.eval()
        # Two texts that begin alike: in one row, and in a row each.
        ids, positions, branches = torch.tensor(
            [
                [[0, 1, 2], [0, 1, 2], [0, 2, 1]],
                [[0, 1, 1], [0, 1, 2], [0, 1, 2]],
                [[0, 1, 2], [0, 0, 0], [0, 0, 0]],
            ],
            device=self.device,
        )
        hidden = self(ids, recorder=recorder, tree=TextTree(positions, branches))
        self.train(was_training)
        number = len(self.decoder_layers)
        if sorted(recorder.states) != list(range(number)):
            raise ModelError(
                f"{self.name}: {type(self.model).__name__} hands keyword arguments to the attention of "
                f"{len(recorder.states)} of its {number} layers only, so prompts can't reach the others. "
                f"{INSTEAD}"
            )
        if _slides(self.config) and not recorder.windows:
            raise ModelError(
                f"{self.name}: {type(self.model).__name__} has a sliding window of "
                f"{self.config.sliding_window} positions and does not hand it to its attention, which would "
                f"see more here. {INSTEAD}"
            )
        shapes = {tuple(key.shape) for key, _ in recorder.states.values()}
        shapes |= {tuple(value.shape) for _, value in recorder.states.values()}
        if len(shapes) != 1:
            raise ModelError(
                f"{self.name}: layers differ in the shape of their keys and values: {sorted(shapes)}. Take a "
                "decoder whose layers are alike"
            )
        if hidden.device.type != "meta":
            self.reads_trees = _close(hidden[0, 1:], hidden[1:, 1])
        _, kv_heads, _, head_dim = shapes.pop()
        return PromptShape(number, kv_heads, head_dim, hidden.shape[-1])

    @torch.no_grad()
    def _probe_last_layer(self) -> LastLayer:
        """Try whether the last layer, told to compute read-outs alone, computes them as ever.

        Queries are compared beside what comes out, as flat attention would hide a wrong position of theirs.
        """
        rows, length = 2, 6
        ids = torch.arange(rows * length, device=self.device).view(rows, length) % self.vocab_size
        columns = torch.tensor([[1, 3], [5, 2]], device=self.device)
        whole, few = KeyValueRecorder(), KeyValueRecorder()
        was_training = self.training
        self.eval()
        expected = picked(self(ids, recorder=whole), columns)
        found: LastLayer = "whole"
        ways: tuple[LastLayer, ...] = ("few", "few, filled up")
        for way in ways:
            self._last_layer = way
            try:
                states = self(ids, recorder=few, readouts=Readouts(columns, columns.new_empty(0)))
            except STRANGE:
                continue
            assert whole.queries is not None
            assert few.queries is not None
            queries = picked(whole.queries.transpose(1, 2), columns).transpose(1, 2)
            if same_but_for_rounding(states, expected) and same_but_for_rounding(few.queries, queries):
                found = way
                break
        self.train(was_training)
        return found


def _close(found: Tensor, expected: Tensor) -> bool:
    """Whether states are the same but for rounding."""
    apart = (found.float() - expected.float()).norm() / expected.float().norm()
    return bool(apart < (1e-3 if found.dtype == torch.float32 else 0.05))


def _slides(config: PreTrainedConfig) -> bool:
    """Whether a configuration has layers that see a part of the text only."""
    window = getattr(config, "sliding_window", None)
    # A key that a model's class does not know is passed over by transformers too.
    known = "sliding_window" in getattr(config, "__dataclass_fields__", {})
    if not known or not isinstance(window, int) or getattr(config, "use_sliding_window", True) is False:
        return False
    positions = getattr(config, "max_position_embeddings", None)
    kinds = getattr(config, "layer_types", None)
    return (positions is None or window < positions) and (kinds is None or "sliding_attention" in kinds)


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
