"""What the tokens of a vocabulary stand for: the piece of text that each one writes.

Of a byte-level vocabulary (GPT-2, Llama 3, BLOOM) the pieces are bytes written as characters, of others
(XGLM, Gemma) they are text with "▁" for a space, and there may be tokens of single bytes beside them.
"""

from __future__ import annotations

import json
import re
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from tokenizers import Tokenizer
from tokenizers.models import BPE

from xlprompt.data.errors import DataError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

SPACE = "▁"
"""How a piece of a vocabulary that is not byte-level writes a space."""

_BYTE = re.compile(r"<0x([0-9A-F]{2})>")
_KINDS = ("BPE", "Unigram")
_KNOWN: weakref.WeakKeyDictionary[PreTrainedTokenizerFast, Pieces] = weakref.WeakKeyDictionary()


@dataclass(frozen=True, eq=False)
class Pieces:
    """The pieces of a vocabulary.

    Attributes:
        texts: By id, the piece as the vocabulary writes it; None for special tokens, tokens of single bytes
            and ids without a token.
        ids: Pieces to ids.
        byte_ids: Bytes (0 to 255) to the ids of their tokens; empty where the tokenizer does not fall back
            to bytes.
        byte_level: Whether pieces are bytes written as characters.
        unknown_id: Id of the unknown token, if there is one.
    """

    texts: tuple[str | None, ...]
    ids: Mapping[str, int]
    byte_ids: Mapping[int, int]
    byte_level: bool
    unknown_id: int | None

    def space(self) -> str:
        """The character that a space is written as."""
        return _byte_characters()[ord(" ")] if self.byte_level else SPACE

    def continues_character(self, written: str) -> bool:
        """Whether what a byte-level vocabulary writes a byte as stands for a later byte of a character."""
        return 0x80 <= _bytes_of_characters().get(written, 0) < 0xC0

    def characters(self) -> np.ndarray:
        """How many whole characters (code points, spaces apart) each id writes, int64 `[ids]`.

        A byte of a longer character writes none; of a special token it is -1.
        """
        return np.array([-1 if text is None else self._count(text) for text in self._with_bytes()], np.int64)

    def _with_bytes(self) -> list[str | None]:
        texts = list(self.texts)
        for place in self.byte_ids.values():
            texts[place] = ""
        return texts

    def _count(self, text: str) -> int:
        if self.byte_level:
            values = _bytes_of_characters()
            raw = bytes(values[character] for character in text if character in values)
            text = raw.decode("utf-8", errors="ignore")
        return len("".join(text.replace(SPACE, " ").split()))


def pieces_of(tokenizer: PreTrainedTokenizerFast) -> Pieces:
    """Read a tokenizer's vocabulary; remembered for each tokenizer object.

    Raises:
        DataError: Its model is neither BPE nor Unigram, whose pieces side by side are the text.
    """
    known = _KNOWN.get(tokenizer)
    if known is not None and len(known.texts) == len(tokenizer):
        return known
    backend = tokenizer.backend_tokenizer
    kind = type(backend.model).__name__
    if kind not in _KINDS:
        raise DataError(
            f"a tokenizer of the kind {kind} does not write text piece by piece",
            fix="Use a model with a BPE or Unigram (SentencePiece) tokenizer, as decoders have.",
        )
    special = set(backend.get_added_tokens_decoder()) | {tokenizer.unk_token_id}
    texts: list[str | None] = [None] * len(tokenizer)
    byte_ids = {}
    byte_level = _is_byte_level(backend)
    for text, place in tokenizer.get_vocab().items():
        if not byte_level and (byte := _BYTE.fullmatch(text)):
            byte_ids[int(byte[1], 16)] = place
        elif place not in special and place < len(texts):
            texts[place] = text
    pieces = Pieces(
        tuple(texts),
        {text: place for place, text in enumerate(texts) if text},
        byte_ids if len(byte_ids) == 256 else {},
        byte_level,
        tokenizer.unk_token_id,
    )
    _KNOWN[tokenizer] = pieces
    return pieces


def _is_byte_level(backend: Tokenizer) -> bool:
    """Whether a step in front of the model writes bytes as characters."""
    bare = Tokenizer(BPE())
    bare.normalizer, bare.pre_tokenizer = backend.normalizer, backend.pre_tokenizer
    pipeline = json.loads(bare.to_str())
    return any(_has_byte_level(pipeline[name]) for name in ("normalizer", "pre_tokenizer"))


def _has_byte_level(step: dict[str, Any] | None) -> bool:
    if step is None:
        return False
    inner = [*step.get("normalizers", []), *step.get("pretokenizers", [])]
    return step["type"] == "ByteLevel" or any(_has_byte_level(each) for each in inner)


@cache
def _byte_characters() -> Mapping[int, str]:
    """Bytes to the characters that byte-level vocabularies write them as (GPT-2, encoder.py)."""
    shown = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    hidden = [value for value in range(256) if value not in shown]
    table = {value: chr(value) for value in shown}
    return table | {value: chr(256 + place) for place, value in enumerate(hidden)}


@cache
def _bytes_of_characters() -> Mapping[str, int]:
    return {character: value for value, character in _byte_characters().items()}
