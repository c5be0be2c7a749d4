"""Cuts a chosen share of words into more tokens than the tokenizer does, and leaves text and model alone.

A finer cut is made of pieces of the vocabulary that side by side write the very same text, so nothing becomes
unknown and nothing is lost in decoding. Which words are cut depends on a seed and on where they stand, and on
nothing else; the words cut at a larger share include those cut at a smaller one.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Sequence
from hashlib import blake2b
from itertools import accumulate, chain
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from xlprompt.data.errors import DataError
from xlprompt.data.tokens.pieces import Pieces, pieces_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

# Goes up when the same settings would cut words otherwise; older cached encodings are then not read.
CUTTER_VERSION = 1

SMOOTHING = 0.1
"""Exponent of a piece's probability in sampling; Kudo 2018 (arXiv 1804.10959) uses 0.1 to 0.5, and the
smaller it is the finer are the cuts."""


class GranularitySettings(BaseModel):
    """How finely text is cut, beyond what the tokenizer does; part of every recipe's encoding."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    share: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Share of the words that are cut more finely. 0 leaves text as the tokenizer cuts it; 1 "
        "makes it two to four times as long, and time and memory with it.",
    )
    languages: tuple[str, ...] | None = Field(
        default=None, description="Languages whose text is cut more finely; null for all."
    )
    split: Literal["train", "evaluation", "both"] = Field(
        default="both",
        description="Where: in training, in evaluation (the development set, which chooses the checkpoint, "
        "and the test sets), or in both.",
    )
    kind: Literal["forced", "sampling"] = Field(
        default="forced",
        description="'forced' writes every token of a chosen word with as few smaller "
        "ones as possible. 'sampling' draws the word's tokens from "
        "the tokenizer's own distribution over cuts, which Unigram tokenizers (XGLM) have.",
    )
    seed: int = Field(default=0, ge=0, description="Which words are chosen, and what is drawn in sampling.")

    def applies_to(self, language: str | None, split: str | None) -> bool:
        """Whether a language's rows of a split are cut more finely at all.

        Args:
            language: Language code; None for one that is not known.
            split: "train", "validation" or "test"; None for one that is not known.
        """
        if self.share == 0 or (self.languages is not None and language not in self.languages):
            return False
        if self.split == "both":
            return True
        return split is not None and (split == "train") == (self.split == "train")


class Cutter:
    """Cuts words of one tokenizer's ids more finely, as settings say.

    A word is given by its ids. The place of a word is what tells it from all others of a data set: numbers of
    its example, its text and its word.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast, settings: GranularitySettings) -> None:
        """Read the vocabulary.

        Raises:
            DataError: The tokenizer is not made of pieces of text, or has no distribution to sample from.
        """
        self._settings = settings
        self._pieces = pieces_of(tokenizer)
        self._space = self._pieces.space()
        self._cuts: dict[int, tuple[int, ...]] = {}
        self._sample = _sampler(tokenizer, self._pieces) if settings.kind == "sampling" else None

    def words(self, words: Sequence[list[int]], *place: int) -> list[list[int]]:
        """Cut the chosen ones of a text's words.

        Args:
            words: The ids of each word.
            place: Numbers that tell the text from all others.
        """
        return [self._word(ids, (*place, number)) for number, ids in enumerate(words)]

    def text(self, ids: list[int], *place: int, spaced: bool) -> list[int]:
        """Cut the chosen words of a running text.

        Args:
            ids: The text's.
            place: Numbers that tell it from all others.
            spaced: Whether its language writes spaces, at which words begin; else every token counts as a
                word.
        """
        texts = self._pieces.texts
        words: list[list[int]] = []
        for number, each in enumerate(ids):
            begins = not spaced or number == 0 or (texts[each] or "").startswith(self._space)
            if begins:
                words.append([each])
            else:
                words[-1].append(each)
        return list(chain.from_iterable(self.words(words, *place)))

    def _word(self, ids: list[int], place: tuple[int, ...]) -> list[int]:
        key = " ".join(map(str, (self._settings.seed, *place)))
        draw = int.from_bytes(blake2b(key.encode(), digest_size=8).digest(), "big")
        if draw / 2**64 >= self._settings.share:
            return ids
        if self._sample is not None:
            return self._sample(ids, random.Random(draw))
        return [part for each in ids for part in self._finer(each)]

    def _finer(self, token: int) -> tuple[int, ...]:
        known = self._cuts.get(token)
        if known is None:
            known = self._cuts[token] = cut(self._pieces, token)
        return known


def cut(pieces: Pieces, token: int) -> tuple[int, ...]:
    """Write a token's text with smaller ones: as few as possible, of lengths as even as possible.

    A space in front stays with the first of them wherever the vocabulary allows it. A character that is not
    in the vocabulary is written by its bytes, if the vocabulary has bytes. A token of a single character or
    of a byte, a special one, and one that cannot be written in this way, stay as they are.

    Args:
        pieces: The vocabulary's.
        token: Its id.

    Returns:
        One or more ids, whose pieces side by side are the token's.
    """
    text = pieces.texts[token]
    if text is None:
        return (token,)
    front = len(text) - len(text.lstrip(pieces.space()))
    if len(text) - front < 2:
        return (token,)
    found = _fewest(pieces, text, front, alone=False) or _fewest(pieces, text, front, alone=True)
    return found or (token,)


def _fewest(pieces: Pieces, text: str, front: int, *, alone: bool) -> tuple[int, ...]:
    """The best way to write a text with smaller pieces, by dynamic programming; empty where there is none.

    Args:
        pieces: The vocabulary's.
        text: The text.
        front: How many spaces it begins with.
        alone: Whether these are a piece of their own; else no cut is made behind them.
    """
    # To each place the best way there: pieces, cuts inside of characters, squared lengths, and the ids.
    best: dict[int, tuple[int, int, int, tuple[int, ...]]] = {0: (0, 0, 0, ())}
    for end in range(1, len(text) + 1):
        if end <= front and not (alone and end == front):
            continue
        ways = []
        for begin in range(end):
            if begin not in best or (begin <= front and end == len(text)):  # not whole
                continue
            written = _written(pieces, text[begin:end])
            if written:
                number, inside, squares, ids = best[begin]
                cuts_character = pieces.byte_level and pieces.continues_character(text[begin])
                ways.append(
                    (
                        number + len(written),
                        inside + cuts_character,
                        squares + (end - begin) ** 2,
                        ids + written,
                    )
                )
        if ways:
            best[end] = min(ways)
    return best[len(text)][3] if len(text) in best else ()


def _written(pieces: Pieces, text: str) -> tuple[int, ...]:
    """A text as its own token, or a character as tokens of its bytes; empty where neither can be."""
    if (whole := pieces.ids.get(text)) is not None:
        return (whole,)
    if len(text) > 1 or not pieces.byte_ids:
        return ()
    return tuple(pieces.byte_ids[value] for value in text.encode())


def _sampler(
    tokenizer: PreTrainedTokenizerFast, pieces: Pieces
) -> Callable[[list[int], random.Random], list[int]]:
    """A function that draws another cut of a word (Kudo 2018), by forward filtering and backward sampling.

    Raises:
        DataError: The tokenizer is not a Unigram model.
    """
    backend = tokenizer.backend_tokenizer
    if type(backend.model).__name__ != "Unigram":
        raise DataError(
            f"a tokenizer of the kind {type(backend.model).__name__} has no distribution over cuts",
            fix="Set encoding.granularity.kind to forced.",
        )
    vocabulary = json.loads(backend.to_str())["model"]["vocab"]
    weights = {
        place: SMOOTHING * score for text, score in vocabulary if (place := pieces.ids.get(text)) is not None
    }
    longest = max(map(len, pieces.ids), default=0)

    def sample(ids: list[int], draws: random.Random) -> list[int]:
        texts = [pieces.texts[each] for each in ids]
        known = [text for text in texts if text is not None]
        if len(known) < len(texts):  # part of it is unknown, and what it was is lost
            return ids
        text = "".join(known)
        # log of the summed weights of all cuts of the first `end` characters
        totals = [0.0] + [-math.inf] * len(text)
        edges: list[list[tuple[int, int]]] = [[] for _ in range(len(text) + 1)]
        for end in range(1, len(text) + 1):
            for begin in range(max(0, end - longest), end):
                place = pieces.ids.get(text[begin:end])
                if place in weights and totals[begin] > -math.inf:
                    edges[end].append((begin, place))
            terms = [totals[begin] + weights[place] for begin, place in edges[end]]
            if terms:
                top = max(terms)
                totals[end] = top + math.log(sum(math.exp(term - top) for term in terms))
        if totals[-1] == -math.inf:
            return ids
        drawn: list[int] = []
        end = len(text)
        while end > 0:
            chances = [math.exp(totals[begin] + weights[place] - totals[end]) for begin, place in edges[end]]
            bound = draws.random() * sum(chances)
            chosen = next(number for number, reached in enumerate(accumulate(chances)) if reached >= bound)
            end, place = edges[end][chosen]
            drawn.append(place)
        return drawn[::-1]

    return sample
