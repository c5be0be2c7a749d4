"""What a backbone is tried for before it is used: what a prompt must fit, and what may be left out.

A few tokens are run, on torch's meta device before anything is loaded and again with the weights: some
decoders accept the name of a registered attention function, never call it, and then attend without a causal
mask.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedConfig

from xlprompt.models.backbone.attention import KeyValueRecorder
from xlprompt.models.backbone.prompt_tensors import PromptShape
from xlprompt.models.backbone.readouts import (
    STRANGE,
    LastLayer,
    Readouts,
    picked,
    same_but_for_rounding,
)
from xlprompt.models.backbone.text_tree import TextTree
from xlprompt.models.errors import INSTEAD, ModelError

if TYPE_CHECKING:
    from xlprompt.models.backbone.backbone import Backbone


class Measured(NamedTuple):
    """What trying a backbone has told.

    Attributes:
        shape: What a prompt must fit.
        reads_trees: Whether rows may hold several texts that begin alike.
        last_layer: What its last layer may compute where only read-outs are wanted.
    """

    shape: PromptShape
    reads_trees: bool = False  # what is not tried is not done
    last_layer: LastLayer = "whole"


def measure(backbone: Backbone) -> Measured:
    """Run a few tokens.

    Raises:
        ModelError: Its attention can't take prompts.
    """
    shape, reads_trees = probe_shape(backbone)
    return Measured(shape, reads_trees, probe_last_layer(backbone))


@torch.no_grad()
def probe_shape(backbone: Backbone) -> tuple[PromptShape, bool]:
    """Run a few tokens and see what keys each layer hands to `prompted_attention`, and if trees are read.

    Raises:
        ModelError: A layer never called it, or the layers differ in shape.
    """
    recorder = KeyValueRecorder()
    was_training = backbone.training
    backbone.eval()
    # Two texts that begin alike: in one row, and in a row each.
    ids, positions, branches = torch.tensor(
        [
            [[0, 1, 2], [0, 1, 2], [0, 2, 1]],
            [[0, 1, 1], [0, 1, 2], [0, 1, 2]],
            [[0, 1, 2], [0, 0, 0], [0, 0, 0]],
        ],
        device=backbone.device,
    )
    hidden = backbone(ids, recorder=recorder, tree=TextTree(positions, branches))
    backbone.train(was_training)
    number = len(backbone.decoder_layers)
    if sorted(recorder.states) != list(range(number)):
        raise ModelError(
            f"{backbone.name}: {type(backbone.model).__name__} hands keyword arguments to the attention of "
            f"{len(recorder.states)} of its {number} layers only, so prompts can't reach the others. "
            f"{INSTEAD}"
        )
    if _slides(backbone.config) and not recorder.windows:
        raise ModelError(
            f"{backbone.name}: {type(backbone.model).__name__} has a sliding window of "
            f"{backbone.config.sliding_window} positions and does not hand it to its attention, which would "
            f"see more here. {INSTEAD}"
        )
    shapes = {tuple(key.shape) for key, _ in recorder.states.values()}
    shapes |= {tuple(value.shape) for _, value in recorder.states.values()}
    if len(shapes) != 1:
        raise ModelError(
            f"{backbone.name}: layers differ in the shape of their keys and values: {sorted(shapes)}. Take a "
            "decoder whose layers are alike"
        )
    reads_trees = hidden.device.type == "meta" or _close(hidden[0, 1:], hidden[1:, 1])
    _, kv_heads, _, head_dim = shapes.pop()
    return PromptShape(number, kv_heads, head_dim, hidden.shape[-1]), reads_trees


@torch.no_grad()
def probe_last_layer(backbone: Backbone) -> LastLayer:
    """Try whether the last layer, told to compute read-outs alone, computes them as ever.

    Queries are compared beside what comes out, as flat attention would hide a wrong position of theirs.
    """
    rows, length = 2, 6
    ids = torch.arange(rows * length, device=backbone.device).view(rows, length) % backbone.vocab_size
    columns = torch.tensor([[1, 3], [5, 2]], device=backbone.device)
    whole, few = KeyValueRecorder(), KeyValueRecorder()
    was_training = backbone.training
    backbone.eval()
    expected = picked(backbone(ids, recorder=whole), columns)
    found: LastLayer = "whole"
    ways: tuple[LastLayer, ...] = ("few", "few, filled up")
    for way in ways:
        backbone.last_layer = way
        try:
            states = backbone(ids, recorder=few, readouts=Readouts(columns, columns.new_empty(0)))
        except STRANGE:
            continue
        assert whole.queries is not None
        assert few.queries is not None
        queries = picked(whole.queries.transpose(1, 2), columns).transpose(1, 2)
        if same_but_for_rounding(states, expected) and same_but_for_rounding(few.queries, queries):
            found = way
            break
    backbone.train(was_training)
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
