"""From texts and words to token ids, without special tokens; which of them belong together is `encoding`'s.

Words are tokenized one at a time, as they stand in running text, which gives an exact map from words to
subtokens.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from tokenizers import Tokenizer
from tokenizers.models import BPE

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


def tokenize_words(
    tokenizer: PreTrainedTokenizerFast, sentences: Sequence[Sequence[str]], *, glued: bool
) -> list[list[list[int]]]:
    """Tokenize sentences word by word.

    Args:
        tokenizer: A fast tokenizer.
        sentences: Words of each sentence.
        glued: Whether the words stand side by side, without a space between them.

    Returns:
        The ids of each word of each sentence, at least one a word.
    """
    tokenize, opening = _word_tokenizer(tokenizer)
    joint = "" if glued else " "
    written = [
        [(joint if i else opening) + word for i, word in enumerate(sentence)] for sentence in sentences
    ]
    unique = list(dict.fromkeys(text for sentence in written for text in sentence))
    pieces = dict(zip(unique, tokenize(unique), strict=True))
    # Of a word of which only the space in front of it is left, nothing is left.
    stand_in = _stand_in(tokenizer)
    nothing: tuple[list[int], ...] = ([], *tokenize([" "]))
    pieces = {text: stand_in if ids in nothing else ids for text, ids in pieces.items()}
    return [[pieces[text] for text in sentence] for sentence in written]


def _stand_in(tokenizer: PreTrainedTokenizerFast) -> list[int]:
    """The token of a word that has none: the unknown one, or a question mark's last."""
    if tokenizer.unk_token_id is not None:
        return [tokenizer.unk_token_id]
    return tokenize_texts(tokenizer, ["?"])[0][-1:]


def _word_tokenizer(
    tokenizer: PreTrainedTokenizerFast,
) -> tuple[Callable[[Sequence[str]], list[list[int]]], str]:
    """A tokenizer of pieces of a text, which puts no space of its own in front of any of them.

    Returns:
        The function from texts to ids, and what it needs in front of a sentence's first word to give the ids
        that `tokenizer` gives: a space if that one puts a space in front of every text (XGLM, Llama 2), else
        nothing.
    """
    backend = tokenizer.backend_tokenizer
    bare = Tokenizer(BPE())
    bare.normalizer = backend.normalizer
    bare.pre_tokenizer = backend.pre_tokenizer
    pipeline = json.loads(bare.to_str())
    without = {name: _without_added_space(pipeline[name]) for name in ("normalizer", "pre_tokenizer")}
    if all(pipeline[name] == step for name, step in without.items()):
        return lambda texts: tokenize_texts(tokenizer, texts), ""
    bare = Tokenizer.from_str(json.dumps(pipeline | without))
    bare.model = backend.model  # shared, not copied

    def tokenize(texts: Sequence[str]) -> list[list[int]]:
        return [encoding.ids for encoding in bare.encode_batch(list(texts), add_special_tokens=False)]

    return tokenize, " "


def tokenize_texts(tokenizer: PreTrainedTokenizerFast, texts: Sequence[str]) -> list[list[int]]:
    """Tokenize running texts, each as the tokenizer writes the beginning of a text.

    Args:
        tokenizer: A fast tokenizer.
        texts: Any texts; special tokens that stand in them are read as text.

    Returns:
        The ids of each text, without special tokens.
    """
    unique = list(dict.fromkeys(texts))
    if not unique:
        return []
    # A "<bos>" that stands in somebody's text is five characters of text.
    ids = tokenizer(
        unique,
        add_special_tokens=False,
        return_attention_mask=False,
        return_token_type_ids=False,
        split_special_tokens=True,
        verbose=False,
    )["input_ids"]
    if len(unique) == len(texts):
        return ids
    by_text = dict(zip(unique, ids, strict=True))
    return [by_text[text] for text in texts]


def _without_added_space(step: dict[str, Any] | None) -> dict[str, Any] | None:
    """A step of a tokenizers pipeline, as JSON, that puts nothing in front of the text."""
    if step is None or step["type"] == "Prepend":
        return None
    if step["type"] == "Metaspace":
        return step | {"prepend_scheme": "never"}
    if step["type"] == "ByteLevel":
        return step | {"add_prefix_space": False}
    if step["type"] == "Sequence":
        name = "normalizers" if "normalizers" in step else "pretokenizers"
        return step | {name: [kept for inner in step[name] if (kept := _without_added_space(inner))]}
    return step


def tokens_in_place(
    tokenizer: PreTrainedTokenizerFast, texts: Sequence[str]
) -> list[tuple[list[int], list[int], list[int]]]:
    """Tokenize running texts, and say where each token stands.

    Args:
        tokenizer: A fast tokenizer.
        texts: Any texts, as `tokenize_texts` takes them.

    Returns:
        For each text its ids, and where in it, in code points, each token begins and ends. Neither falls.
    """
    unique = list(dict.fromkeys(texts))
    if not unique:
        return []
    encoded = tokenizer(
        unique,
        add_special_tokens=False,
        return_attention_mask=False,
        return_token_type_ids=False,
        return_offsets_mapping=True,
        split_special_tokens=True,
        verbose=False,
    )
    by_text = {}
    for text, ids, offsets in zip(unique, encoded["input_ids"], encoded["offset_mapping"], strict=True):
        begins = list(accumulate((begin for begin, _ in offsets), max))
        ends = list(accumulate((end for _, end in offsets), max))
        by_text[text] = (ids, begins, ends)
    return [by_text[text] for text in texts]
