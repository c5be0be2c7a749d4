"""Sentences with one label a word: their rows, and how they become token ids."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate, chain
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from datasets import Dataset

from xlprompt.data.errors import DataError
from xlprompt.data.tasks.kinds.encoded_rows import TEXTS_AT_ONCE, EncodedRows, check_labels, leading_ids
from xlprompt.data.tasks.kinds.labels import id_or_position, json_type, label_number
from xlprompt.data.tasks.rules import NO_TAG, WITHHELD, Skipped, check_text, words_withheld
from xlprompt.data.tasks.task_type import Task
from xlprompt.data.tokens.cutter import Cutter
from xlprompt.data.tokens.settings import EncodingSettings
from xlprompt.data.tokens.subtokens import tokenize_words

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

# The share of a later window that repeats the words in front of it: a left context for its first word.
_CONTEXT_SHARE = 0.25


def encode_sentences(
    table: Dataset,
    task: Task,
    tokenizer: PreTrainedTokenizerFast,
    settings: EncodingSettings,
    cutter: Cutter | None,
    *,
    glued: bool,
) -> EncodedRows:
    """Encode tagged sentences, each as one or more windows in which every word is read once."""
    lead = leading_ids(tokenizer)
    room = settings.max_length - len(lead)
    last = settings.label_on == "last"
    rows = EncodedRows()
    for start in range(0, len(table), TEXTS_AT_ONCE):
        part = table[start : start + TEXTS_AT_ONCE]
        pieces = tokenize_words(tokenizer, part["tokens"], glued=glued)
        for example, (words, tags) in enumerate(zip(pieces, part["tags"], strict=True), start):
            if len(words) != len(tags):
                raise DataError(
                    f"row {example} has {len(words)} words and {len(tags)} tags",
                    fix="Give each word one tag.",
                )
            check_labels(tags, task, example)
            if cutter is not None:
                words = cutter.words(words, example)
            if max(map(len, words), default=0) > room:
                # What is read has to stay: the last pieces, or the first.
                words = [word[-room:] if last else word[:room] for word in words]
                rows.truncated += 1
            for context, first, stop in _windows([len(word) for word in words], room):
                shown = words[context:stop]
                ends = list(accumulate(map(len, shown), initial=len(lead)))
                columns = [end - 1 for end in ends[1:]] if last else ends[:-1]
                rows.add(
                    example,
                    [*lead, *chain.from_iterable(shown)],
                    readouts=columns[first - context :],
                    labels=tags[first:stop],
                    words=range(first, stop),
                )
    return rows


def _windows(lengths: Sequence[int], room: int) -> Iterator[tuple[int, int, int]]:
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


class Sentence(NamedTuple):
    """Words and one label number a word; `position` as in `Pair`."""

    position: int
    id: str
    tokens: list[str]
    tags: list[int]


def make_sentence(
    task: Task,
    tokens: object,
    tags: object,
    *,
    position: int,
    row_id: str | None,
    file: str | Path,
    line: int | None,
    labeled: bool = True,
) -> Sentence | Skipped:
    """Check the parts of a tagged sentence and build it.

    Args:
        task: A tagging task.
        tokens: List of words.
        tags: List of labels as in the file, one a word.
        position: Place among the sentences of the file.
        row_id: The sentence's own id; its position stands in for None.
        file: For the message.
        line: For the message: where the sentence begins.
        labeled: Whether there are tags; otherwise `tags` is not looked at, as in `make_pair`.

    Returns:
        The sentence, or why a sentence like this is left out.

    Raises:
        DataError: No words, unequal lengths, a word that is empty or cannot be encoded, an unknown tag.
    """
    if not labeled:
        tags = [0] * len(tokens) if isinstance(tokens, list) else []
    if not isinstance(tokens, list) or not isinstance(tags, list):
        wrong, value = ("tokens", tokens) if not isinstance(tokens, list) else ("tags", tags)
        raise DataError(f"{wrong} is not a list but {json_type(value)}", file=file, line=line)
    if not tokens:
        raise DataError("a sentence without words", file=file, line=line, fix="Delete it.")
    if len(tokens) != len(tags):
        raise DataError(
            f"{len(tokens)} tokens but {len(tags)} tags",
            file=file,
            line=line,
            fix="Each token needs one tag; correct or delete the sentence.",
        )
    for place, token in enumerate(tokens, start=1):
        if not isinstance(token, str) or not token:
            raise DataError(
                f"token {place} is {'empty' if token == '' else 'not a string'}", file=file, line=line
            )
    text = " ".join(tokens)
    check_text("the sentence", text, file=file, line=line)
    if labeled and task.no_label and task.no_label in tags:
        return Skipped(NO_TAG)
    numbers = [label_number(task, tag, file=file, line=line) for tag in tags]
    if "_" in text and words_withheld(task, tokens, numbers if labeled else None):
        return Skipped(WITHHELD)
    return Sentence(position, id_or_position(row_id, position, file=file, line=line), tokens, numbers)
