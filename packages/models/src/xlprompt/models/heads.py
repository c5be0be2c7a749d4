"""Heads that turn the hidden state at a read-out position into label logits.

One head serves both kinds of task: a sentence pair has one read-out, a tagged sentence one per word.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from xlprompt.models.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


class LinearHead(nn.Module):
    """A linear layer on standardized hidden states; `hidden * labels + labels` parameters.

    It computes in float32, and is held in float32 unless an engine casts it (DeepSpeed does).

    Each hidden state is brought to mean 0 and deviation 1 (a layer norm without parameters): backbones differ
    in the scale of their last norm, 4 in Gemma 3 270M, and the useful learning rate would fall with its
    square. Without `standardize` they stay as they are, as in transformers' classifiers.
    """

    def __init__(
        self, hidden_size: int, num_labels: int, generator: torch.Generator, *, standardize: bool = True
    ) -> None:
        """Draw the weights from normal(0, 1 / sqrt(hidden size)); the bias starts at zero."""
        super().__init__()
        self.standardize = standardize
        self.weight = nn.Parameter(
            torch.randn(num_labels, hidden_size, generator=generator) * hidden_size**-0.5
        )
        self.bias = nn.Parameter(torch.zeros(num_labels))

    def forward(self, hidden: Tensor) -> Tensor:
        """`[read-outs, hidden]` to logits `[read-outs, labels]`."""
        states = hidden.float()
        if self.standardize:
            states = functional.layer_norm(states, hidden.shape[-1:])
        return functional.linear(states, self.weight.float(), self.bias.float())


class NoHead(nn.Module):
    """In the place of a head where none is: no parameters, and no logits."""

    def forward(self, hidden: Tensor) -> Tensor:
        """Refuse.

        Raises:
            ModelError: Always.
        """
        raise ModelError("this model has no head: it is asked in words (method zeroshot)")


class VerbalizerHead(nn.Module):
    """The tied language-model head, restricted to one word per label; nothing in it trains."""

    weight: Tensor

    def __init__(self, rows: Tensor) -> None:
        """Take the label words' rows of the embedding, `[labels, hidden]`."""
        super().__init__()
        self.register_buffer("weight", rows.detach().float().clone(), persistent=False)

    def forward(self, hidden: Tensor) -> Tensor:
        """`[read-outs, hidden]` to logits `[read-outs, labels]`."""
        return functional.linear(hidden.float(), self.weight.float())


def label_word_ids(tokenizer: PreTrainedTokenizerFast, label_words: Sequence[str]) -> list[int]:
    """The first subtoken of each label word, as it stands inside a sentence.

    Raises:
        ModelError: Two words share their first subtoken, or a word has none.
    """
    ids: list[int] = []
    for word in label_words:
        pieces = tokenizer(f" {word}", add_special_tokens=False).input_ids
        # SentencePiece tokenizers may cut the space off as a piece of its own, which would be the same for
        # all words.
        pieces = [piece for piece in pieces if tokenizer.decode([piece]).strip()]
        if not pieces:
            raise ModelError(f"label word {word!r} has no subtoken in this tokenizer; choose another")
        ids.append(pieces[0])
    for index, first in enumerate(ids):
        if first in ids[:index]:
            other = label_words[ids.index(first)]
            raise ModelError(
                f"label words {other!r} and {label_words[index]!r} start with the same subtoken in this "
                "tokenizer; choose others or use the linear head"
            )
    return ids
