"""What a backbone consumes of a prompt: its tensors, and the sizes that they must fit."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class PromptShape:
    """The sizes of a backbone that a prompt must fit."""

    num_layers: int
    num_kv_heads: int
    head_dim: int
    hidden_size: int


@dataclass(frozen=True)
class PromptTensors:
    """A prompt in the backbone's dtype, ready for one or more forward passes; or one for each row of a batch.

    Where each row has its own, `batch` stands in front of the last axes that are named here (`of_rows`).

    Attributes:
        layers: `[prompted layer, 2, kv head, length, head dim]`: keys and values, or None.
        input: `[length, hidden]`: embeddings in front of the text's, on their scaled range, or None.
        hidden: `[layer, length, hidden]`: hidden states at the entry of each layer, or None.
        position_offset: Position of the text's first token.
        prompted: The backbone's layers, from 0, that `layers` has rows for; None for all.
    """

    layers: Tensor | None = None
    input: Tensor | None = None
    hidden: Tensor | None = None
    position_offset: int = 0
    prompted: tuple[int, ...] | None = None

    def by_layer(self) -> dict[int, Tensor]:
        """`[2, kv head, length, head dim]` of each layer, from 0, that has keys and values."""
        if self.layers is None:
            return {}
        places = range(len(self.layers)) if self.prompted is None else self.prompted
        return dict(zip(places, self.layers.unbind(), strict=True))

    @property
    def input_slots(self) -> int:
        """Slots that run through the layers as tokens do."""
        if self.input is not None:
            return self.input.shape[-2]
        return 0 if self.hidden is None else self.hidden.shape[-2]


def of_rows(prompts: Sequence[PromptTensors], which: Tensor) -> PromptTensors:
    """One prompt for each row of a batch.

    Args:
        prompts: Those to choose from, alike in everything but their values.
        which: `[batch]`, the place among them of each row's.
    """
    if len(prompts) == 1:
        return prompts[0]

    def chosen(name: str, axis: int) -> Tensor | None:
        if getattr(prompts[0], name) is None:
            return None
        return torch.stack([getattr(each, name) for each in prompts], axis).index_select(axis, which)

    return replace(
        prompts[0], layers=chosen("layers", 2), input=chosen("input", 0), hidden=chosen("hidden", 1)
    )
