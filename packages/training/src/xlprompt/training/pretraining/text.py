"""What xglm-nano reads: passages of the mini world as rows of token ids, the same for a seed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, count, islice
from pathlib import Path

from torch.utils.data import IterableDataset
from transformers import PreTrainedTokenizerFast, XGLMTokenizer

from xlprompt.data.mini.corpus import Passage, passages
from xlprompt.models.pretrained.nano import train_tokenizer
from xlprompt.training.pretraining.recipe import PretrainingRecipe

_PASSAGES_AT_ONCE = 4_000  # read together, so that rows of like length can share a batch


@dataclass(frozen=True)
class Row:
    """Token ids of a passage, and which of them are a verdict's."""

    ids: list[int]
    verdicts: list[bool]


def build_tokenizer(
    recipe: PretrainingRecipe, shares: Mapping[str, float], folder: Path
) -> PreTrainedTokenizerFast:
    """The tokenizer in a folder, where it is trained first if there is none."""
    if not (folder / "tokenizer.json").is_file():
        text = islice(passages(shares, seed=f"tokenizer {recipe.seed}"), recipe.tokenizer_passages)
        lines = (line.text for line in chain.from_iterable(text) if line.text)
        train_tokenizer(lines, vocabulary=recipe.vocabulary).save_pretrained(folder)
    return XGLMTokenizer.from_pretrained(folder)


class Text(IterableDataset[tuple[int, int, "list[Row]"]]):
    """Endlessly, chunk number, number in the chunk, and rows; every chunk has a seed of its own."""

    def __init__(
        self,
        recipe: PretrainingRecipe,
        tokenizer: PreTrainedTokenizerFast,
        shares: Mapping[str, float],
        first_chunk: int,
        first_batch: int,
    ) -> None:
        """Begin at a batch of a chunk."""
        self.recipe = recipe
        self.tokenizer = tokenizer
        self.shares = dict(shares)
        self.first = (first_chunk, first_batch)

    def __iter__(self) -> Iterator[tuple[int, int, list[Row]]]:
        """Write and tokenize a chunk when its turn has come."""
        for chunk in count(self.first[0]):
            seed = f"train {self.recipe.seed} {chunk}"
            text = list(islice(passages(self.shares, seed=seed), _PASSAGES_AT_ONCE))
            rows = token_rows(text, self.tokenizer, self.recipe.max_length)
            batches = by_length(rows, self.recipe.token_budget)
            random.Random(seed).shuffle(batches)
            for number, batch in enumerate(batches):
                if (chunk, number) >= self.first:
                    yield chunk, number, batch


def token_rows(text: list[Passage], tokenizer: PreTrainedTokenizerFast, max_length: int) -> list[Row]:
    """One row a passage: `</s>` in front of each line, as XGLM read its line breaks, and at the end."""
    lines = iter(
        tokenizer([line.text for line in chain.from_iterable(text)], add_special_tokens=False).input_ids
    )
    end = tokenizer.eos_token_id
    rows = []
    for passage in text:
        row = Row([], [])
        for line, ids in zip(passage, lines, strict=False):  # takes as many of `lines` as the passage has
            row.ids.extend((end, *ids))
            row.verdicts.extend((False, *([line.is_verdict] * len(ids))))
        rows.append(Row([*row.ids, end][:max_length], [*row.verdicts, False][:max_length]))
    return rows


def by_length(rows: list[Row], token_budget: int) -> list[list[Row]]:
    """Batches of rows of like length, within a budget of tokens without padding."""
    batches: list[list[Row]] = [[]]
    for row in sorted(rows, key=lambda row: len(row.ids)):
        if batches[-1] and len(row.ids) * (len(batches[-1]) + 1) > token_budget:
            batches.append([])
        batches[-1].append(row)
    return batches
