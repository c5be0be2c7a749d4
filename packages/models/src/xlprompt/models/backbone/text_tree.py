"""Rows that hold several texts which begin alike: which token sees which, and how far they are apart.

The beginning comes first and the texts' endings behind it. A token sees those before it in the beginning and
in its own ending, and they are as far apart as in its own text, whatever stands between them in the row.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


class TextTree:
    """One batch's rows; what attention needs of them is built once and serves every layer.

    Attributes:
        positions: `[batch, time]`, of each token its position in its text.
        branches: `[batch, time]`, the ending that it is part of, from 1; 0 in the beginning, -1 for padding.
    """

    def __init__(self, positions: Tensor, branches: Tensor) -> None:
        """Of a batch's rows."""
        self.positions, self.branches = positions, branches
        self._masks: dict[tuple[int, int | None, torch.dtype], Tensor] = {}
        self._biases: dict[tuple[Callable[..., Tensor], int], Tensor] = {}

    def behind(self, slots: int) -> TextTree:
        """The same rows behind tokens that all see, as those of a prompt that runs through the layers."""
        if slots == 0:
            return self
        batch = len(self.positions)
        front = torch.arange(slots, device=self.positions.device).expand(batch, slots)
        return TextTree(
            torch.cat((front, self.positions + slots), dim=1),
            torch.cat((torch.zeros_like(front), self.branches), dim=1),
        )

    def mask(self, prompt_length: int, window: int | None, dtype: torch.dtype) -> Tensor:
        """Additive mask `[batch, 1, time, prompt_length + time]`; arguments as of `attention.causal_mask`."""
        key = prompt_length, window, dtype
        if key not in self._masks:
            distance = self.positions[:, :, None] - self.positions[:, None, :]
            of, seen = self.branches[:, :, None], self.branches[:, None, :]
            visible = (distance >= 0) & ((seen == 0) | (seen == of))
            if window is not None:
                visible &= distance < window
            batch, time = self.positions.shape
            mask = distance.new_zeros(batch, 1, time, prompt_length + time, dtype=dtype)
            mask[:, 0, :, prompt_length:].masked_fill_(~visible, float("-inf"))
            self._masks[key] = mask
        return self._masks[key]

    def alibi_bias(self, build: Callable[..., Tensor], heads: int) -> Tensor:
        """What ALiBi adds to the scores, `[batch, head, query, key]`; as `own_attention.alibi_bias`."""
        key = build, heads
        if key not in self._biases:
            ones = torch.ones(1, self.positions.shape[1], dtype=torch.long, device=self.positions.device)
            of_keys = build(ones, heads, torch.float32)[:, 0][:, self.positions].transpose(0, 1)
            self._biases[key] = of_keys[:, :, None, :] - of_keys[:, :, :, None]
        return self._biases[key]
