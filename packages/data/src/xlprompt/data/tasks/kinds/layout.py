"""How texts share a row of tokens: what stands in front, between and behind them, and how much of each stays.

A text that has to stay whole is read in several windows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from xlprompt.data.errors import DataError
from xlprompt.data.tasks.kinds.encoded_rows import Encoder
from xlprompt.data.tokens.settings import EncodingSettings

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

# The share of a later window that repeats the words in front of it: a left context for its first word.
_CONTEXT_SHARE = 0.25


class Layout(NamedTuple):
    """What stands around the texts of a row, and the room that they share.

    Attributes:
        lead: What the tokenizer puts in front by itself (XGLM `</s>`, Gemma `<bos>`).
        separator: Between texts.
        end: Behind the last, where a model is read.
        room: Most tokens of all texts of a row.
    """

    lead: list[int]
    separator: list[int]
    end: list[int]
    room: int

    @classmethod
    def of(cls, how: Encoder, texts: int, named: str) -> Layout:
        """The layout of rows of so many texts.

        Raises:
            DataError: `encoding.max_length` leaves no room for them, as they are named.
        """
        lead = leading_ids(how.tokenizer)
        separator, end = joints(how.tokenizer, how.settings)
        longest = how.settings.max_length
        room = longest - len(lead) - (texts - 1) * len(separator) - len(end)
        if room < texts:
            raise DataError(
                f"encoding.max_length {longest} leaves no room for {named} beside {longest - room} tokens in "
                "front of, between and behind them",
                fix="Raise encoding.max_length, or shorten encoding.separator and encoding.end.",
            )
        return cls(lead, separator, end, room)

    def row(self, texts: Sequence[list[int]]) -> tuple[list[int], bool]:
        """The ids of a row, and whether it was cut.

        If the texts are over their room, tokens are taken from the end of the longest text until there are
        two of its length, then from both, and so on.
        """
        lengths = [len(text) for text in texts]
        kept = longest_first(lengths, self.room)
        row = [*self.lead, *texts[0][: kept[0]]]
        for text, keep in zip(texts[1:], kept[1:], strict=True):
            row += [*self.separator, *text[:keep]]
        return row + self.end, kept != lengths


def leading_ids(tokenizer: PreTrainedTokenizerFast) -> list[int]:
    """What the tokenizer puts in front of a text by itself."""
    encoded = tokenizer("a")
    return encoded["input_ids"][: encoded.sequence_ids().index(0)]


def longest_first(lengths: list[int], room: int) -> list[int]:
    """How many tokens of each text stay; of texts that are over their share, the first get the odd tokens."""
    kept, left = list(lengths), room
    cut = sorted(range(len(lengths)), key=lengths.__getitem__)
    while cut and lengths[cut[0]] <= left // len(cut):
        left -= lengths[cut.pop(0)]
    for rank, place in enumerate(sorted(cut)):
        kept[place] = left // len(cut) + (rank < left % len(cut))
    return kept


def joints(tokenizer: PreTrainedTokenizerFast, settings: EncodingSettings) -> tuple[list[int], list[int]]:
    """The ids between texts and those behind the last.

    A tokenizer's own pair template counts only where it separates by `sep` or `eos`, as XGLM's does, whose
    training text had `</s>` for line breaks (fairseq, examples/xglm/README.md). Gemma's and Llama's templates
    begin the second text with another `<bos>`, as if it had nothing to do with the first.
    """
    encoded = tokenizer("a", "b")
    texts = encoded.sequence_ids()
    own = encoded["input_ids"][texts.index(0) : texts.index(1)][texts.count(0) :]
    closing = {tokenizer.sep_token_id, tokenizer.eos_token_id} - {None}
    has_own = bool(own) and closing.issuperset(own)

    def given(text: str) -> list[int]:
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    separator = own if has_own else given("\n")
    end = own[-1:] if has_own else given("\n")
    if settings.separator is not None:
        separator = given(settings.separator)
    if settings.end is not None:
        end = given(settings.end)
    return separator, end


def windows(lengths: Sequence[int], room: int) -> Iterator[tuple[int, int, int]]:
    """Split a sentence into windows of whole words.

    Args:
        lengths: Subtokens of each word, each from 1 to `room`.
        room: Most subtokens of a window.

    Yields:
        The window's first word, its first word that is read, and the one behind its last. The words that are
        read make up the sentence; those in front of them repeat at most `_CONTEXT_SHARE` of a window.
    """
    first = 0
    while first < len(lengths):
        used = lengths[first]
        context = first
        spare = min(int(room * _CONTEXT_SHARE), room - used)
        while context > 0 and lengths[context - 1] <= spare:
            context -= 1
            spare -= lengths[context]
            used += lengths[context]
        stop = first + 1
        while stop < len(lengths) and used + lengths[stop] <= room:
            used += lengths[stop]
            stop += 1
        yield context, first, stop
        first = stop
