"""Counts of how a tokenizer cuts the text of one language's examples; figures are findings.py's.

What a word is depends on the text. In tagging words are the annotated ones, each tokenized as it is encoded;
in pairs they are what stands between spaces. Where a language writes no spaces and nothing is annotated, or
the annotated words are single characters (PAN-X in Chinese and Japanese), words are not counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerFast

from xlprompt.data.languages import UNSPACED_LANGUAGES
from xlprompt.data.tasks.task_type import Task
from xlprompt.data.tokens.pieces import pieces_of
from xlprompt.data.tokens.subtokens import tokenize_texts, tokenize_words

WORD_OF_ONE_CHARACTER = 0.95
"""Share of such words, in a language without spaces, from which on its "words" are taken for characters."""


@dataclass(frozen=True, eq=False)
class TokenCounts:
    """One language's examples (pairs or sentences), counted.

    Attributes:
        ids: Id of each example.
        labels: Label of each example; empty where words have their own.
        units: What is resampled as one, `[examples]`: pairs with the same first text, as XNLI has three of.
        tokens: Tokens, without those that are added around a text, `[examples]`.
        characters: Code points, spaces not counted, `[examples]`.
        single: Tokens that write at most one character, `[examples]`.
        unknown: Unknown tokens, `[examples]`.
        words: Words, `[examples]`; None where they are not counted.
        whole: Words that are one known token, `[examples]`; None as above.
    """

    ids: tuple[str, ...]
    labels: tuple[int, ...]
    units: np.ndarray
    tokens: np.ndarray
    characters: np.ndarray
    single: np.ndarray
    unknown: np.ndarray
    words: np.ndarray | None
    whole: np.ndarray | None


def count_tokens(
    tokenizer: PreTrainedTokenizerFast, task: Task, language: str, examples: Mapping[str, Sequence[Any]]
) -> TokenCounts:
    """Count the tokens of a language's examples.

    Args:
        tokenizer: A fast tokenizer of the kinds BPE or Unigram.
        task: The examples' task.
        language: Their language's code.
        examples: Columns as for data.encoding.encode, and `id`.

    Raises:
        ValueError: There are no examples.
        DataError: The tokenizer is of another kind.
    """
    if not len(examples["id"]):
        raise ValueError(f"There are no examples of {task.name} in {language!r} to count.")
    unspaced = language in UNSPACED_LANGUAGES
    texts: list[list[str]]  # of each example
    *columns, answer = task.columns
    if task.kind.by_word:
        (sentences,) = (examples[column] for column in columns)
        texts = [list(words) for words in sentences]
        words = texts
        labels: tuple[int, ...] = ()
        units = np.arange(len(texts))
        cut = tokenize_words(tokenizer, texts, glued=unspaced)
        ids = [list(chain.from_iterable(each)) for each in cut]
    else:
        texts = [list(each) for each in zip(*(examples[column] for column in columns), strict=True)]
        words = [text.split() for each in texts for text in each]
        labels = tuple(examples[answer]) if task.kind.labeled else ()
        units = np.unique(np.array(examples[columns[0]]), return_inverse=True)[1]
        running = iter(tokenize_texts(tokenizer, list(chain.from_iterable(texts))))
        ids = [[token for _ in each for token in next(running)] for each in texts]
        cut = [] if unspaced else tokenize_words(tokenizer, words, glued=False)

    pieces = pieces_of(tokenizer)
    written = pieces.characters()
    tokens = [np.array(each, np.int64) for each in ids]
    counted = _words(pieces.unknown_id, words, cut, unspaced, texts_each=len(cut) // len(texts))
    return TokenCounts(
        ids=tuple(map(str, examples["id"])),
        labels=labels,
        units=units,
        tokens=np.array([len(each) for each in tokens]),
        characters=np.array([sum(len("".join(text.split())) for text in each) for each in texts]),
        single=np.array([((written[each] >= 0) & (written[each] <= 1)).sum() for each in tokens]),
        unknown=np.array([(each == pieces.unknown_id).sum() for each in tokens]),
        words=None if counted is None else counted[0],
        whole=None if counted is None else counted[1],
    )


def _words(
    unknown_id: int | None,
    words: Sequence[Sequence[str]],
    cut: Sequence[Sequence[Sequence[int]]],
    unspaced: bool,
    *,
    texts_each: int,
) -> tuple[np.ndarray, np.ndarray] | None:
    """Words and whole ones by example, each of which has so many texts; None where there are no words."""
    total = sum(map(len, words))
    if not cut or not total:
        return None
    if unspaced and sum(len(word) == 1 for text in words for word in text) >= WORD_OF_ONE_CHARACTER * total:
        return None
    whole = [sum(len(ids) == 1 and ids[0] != unknown_id for ids in text) for text in cut]
    counts = np.array([[len(text) for text in cut], whole])  # [2, texts]
    by_example = counts.reshape(2, -1, texts_each).sum(axis=2)
    return by_example[0], by_example[1]
