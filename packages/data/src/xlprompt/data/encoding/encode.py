"""Turns one language's examples into token ids, and says at which tokens a model is read for which label.

A pair of texts is one row, read once at its last token. A tagged sentence is one row, or several windows
when it is long, read once for every word. Rows are neither padded nor batched here, and of the model only its
tokenizer matters.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate, chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
from datasets import Dataset
from pydantic import BaseModel, ConfigDict, Field

from xlprompt.data.cache import load_or_build
from xlprompt.data.errors import DataError
from xlprompt.data.fingerprints import fingerprint_of, rows_fingerprint, tokenizer_fingerprint
from xlprompt.data.granularity import CUTTER_VERSION, Cutter, GranularitySettings
from xlprompt.data.subtokens import tokenize_texts, tokenize_words
from xlprompt.data.tasks import Task

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

# Goes up when the same inputs would give other rows than before; older cached encodings are then not read.
ENCODER_VERSION = 1

# Languages of the benchmarks whose text has no spaces between words. Burmese is not one of them: its words in
# PAN-X are what stands between the spaces of the text.
UNSPACED_LANGUAGES = frozenset({"ja", "th", "zh"})

# Texts a tokenizer call: enough to keep its threads busy, few enough to hold their intermediate results.
_TEXTS_AT_ONCE = 10_000

# The share of a later window that repeats the words in front of it: a left context for its first word.
_CONTEXT_SHARE = 0.25


class EncodingSettings(BaseModel):
    """How examples become token ids; part of every recipe."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_length: int = Field(
        default=256,
        ge=8,
        description="Most tokens of a row, with the tokenizer's own leading token and without the prompt. "
        "Longer pairs are cut, longer sentences split into windows.",
    )
    label_on: Literal["last", "first"] = Field(
        default="last",
        description="The subtoken of a word that is read for its tag. At the first one a causal model has "
        "not seen the rest of the word.",
    )
    separator: str | None = Field(
        default=None,
        description="Text between the two texts of a pair; null is the tokenizer's own (XGLM: </s></s>) or, "
        "if it has none, a line break.",
    )
    end: str | None = Field(
        default=None,
        description="Text behind a pair, where the model is read; null is </s> for tokenizers with a "
        "separator of their own and a line break for the others; empty reads at the last token of the pair.",
    )
    word_spaces: Literal["script", "always"] = Field(
        default="script",
        description="Spaces between the words of a tagged sentence: as its language is written (none in "
        "Chinese, Japanese and Thai), or always, as XTREME has it.",
    )
    granularity: GranularitySettings = Field(
        default_factory=GranularitySettings,
        description="Text cut more finely than the tokenizer does, to see what granularity causes.",
    )


@dataclass(frozen=True, eq=False)
class Ragged:
    """Lists of different lengths, end to end: list `i` is `values[offsets[i]:offsets[i + 1]]`."""

    values: np.ndarray
    offsets: np.ndarray

    def lengths_of(self, rows: np.ndarray) -> np.ndarray:
        """The lengths of some lists, `[rows]`."""
        return self.offsets[rows + 1] - self.offsets[rows]

    def take(self, rows: np.ndarray) -> np.ndarray:
        """The values of some lists, end to end, `[sum of their lengths]`."""
        lengths = self.lengths_of(rows)
        # Where each list starts in `values`, less where it starts in the result.
        shift = self.offsets[rows] - (np.cumsum(lengths) - lengths)
        return self.values[np.arange(lengths.sum()) + np.repeat(shift, lengths)]


@dataclass(frozen=True, eq=False)
class Encoded:
    """The rows of one language of one task.

    Attributes:
        task: The task.
        settings: The settings it was encoded with.
        dataset: One row for each pair or window, in the order of the examples, with the columns `input_ids`
            (list of int32), `readouts` (list of int32; the index in `input_ids` of every token that is read),
            `labels` (list of int64) and `words` (list of int32), both as long as `readouts`, and `example`
            (int64; which example the row belongs to).
        num_examples: Number of examples.
        truncated: Number of examples of which a part was cut away: pairs over `max_length`, and sentences
            with a single word over `max_length`. Every label is still read.
        fingerprint: Equal for equal data, tokenizer, task and settings.
    """

    task: Task
    settings: EncodingSettings
    dataset: Dataset = field(repr=False)
    num_examples: int
    truncated: int
    fingerprint: str

    @cached_property
    def lengths(self) -> np.ndarray:
        """Tokens of each row, int64 `[rows]`."""
        return np.diff(self.ragged("input_ids").offsets)

    @cached_property
    def num_readouts(self) -> int:
        """Number of labels to predict: pairs, or words."""
        return len(self.ragged("labels").values)

    def ragged(self, column: str) -> Ragged:
        """One of the list columns as flat arrays.

        Args:
            column: `input_ids`, `readouts`, `labels` or `words`.

        Returns:
            Its values and int64 offsets `[rows + 1]`, without a copy of the values where Arrow allows it.
        """
        lists = self._arrow(column)
        offsets = lists.offsets.to_numpy(zero_copy_only=False).astype(np.int64)
        return Ragged(lists.flatten().to_numpy(zero_copy_only=False), offsets - offsets[0])

    @cached_property
    def examples(self) -> np.ndarray:
        """The example each row belongs to, int64 `[rows]`."""
        return self._arrow("example").to_numpy(zero_copy_only=False)

    def gold(self) -> list[list[int]]:
        """The right labels of each example, in the order of its words (one for a pair)."""
        labels = self.ragged("labels")
        counts = np.bincount(np.repeat(self.examples, np.diff(labels.offsets)), minlength=self.num_examples)
        ends = np.cumsum(counts)
        return [labels.values[end - count : end].tolist() for end, count in zip(ends, counts, strict=True)]

    def _arrow(self, column: str) -> pa.Array:
        return self.dataset.with_format("arrow")[:].column(column).combine_chunks()


def encode(
    dataset: Dataset,
    task: Task,
    tokenizer: PreTrainedTokenizerFast,
    settings: EncodingSettings,
    *,
    language: str | None = None,
    split: str | None = None,
    cache_dir: Path | None = None,
    fingerprint: str | None = None,
) -> Encoded:
    """Encode one language's examples of a task.

    A pair is `lead A separator B end`, where `lead` is what the tokenizer puts in front by itself (XGLM
    `</s>`, Gemma `<bos>`). If that is over `max_length`, tokens are taken from the end of the longer text
    until both are equally long, then from both.

    The words of a sentence are tokenized one at a time, each with the space in front of it. This gives the
    ids of the running sentence (for Gemma 3's tokenizer in each of 10,000 sentences of 20 languages; XGLM's
    splits at spaces before anything else) and an exact map from words to subtokens. Without spaces the two
    differ: in running text 16 % of the words of Chinese UD, 41 % of Japanese and 11 % of Thai share a token
    with a neighbor (Gemma 3), and one token cannot be read for two tags. So the words of these languages
    stand side by side, without a space but with a token boundary between them.

    A sentence over `max_length` becomes several windows of whole words; later ones repeat words in front that
    are not read again. A word without a subtoken (an empty one, say) becomes the unknown token.

    Args:
        dataset: Columns `first`, `second`, `label` for pairs; `tokens`, `tags` for tagging. A label is its
            place among the task's labels.
        task: The task the dataset belongs to.
        tokenizer: A fast tokenizer.
        settings: See `EncodingSettings`.
        language: The dataset's language code, for `word_spaces` and `granularity`; None writes words with
            spaces.
        split: "train", "validation" or "test", for `granularity`.
        cache_dir: Where encodings are kept between runs; None does not keep them.
        fingerprint: A name of the data's origin that becomes part of the result's fingerprint, as the
            content always does.

    Returns:
        The rows.

    Raises:
        DataError: A label that the task does not have, more or fewer tags than words, a pair without text, or
            no room for text in `max_length`.
    """
    columns = ["first", "second", "label"] if task.kind == "pair" else ["tokens", "tags"]
    spaced = language not in UNSPACED_LANGUAGES
    glued = settings.word_spaces == "script" and not spaced and task.kind == "tagging"
    finer = settings.granularity.applies_to(language, split)
    values = settings.model_dump(mode="json", exclude={"granularity"})
    if finer:  # the names of where it applies are no part of what comes out
        how = settings.granularity.model_dump(mode="json", include={"share", "kind", "seed"})
        values["granularity"] = {"version": CUTTER_VERSION, "spaced": spaced, **how}
    identity = fingerprint_of(
        {
            "encoder": ENCODER_VERSION,
            "origin": fingerprint,
            "rows": rows_fingerprint(dataset, columns),
            "tokenizer": tokenizer_fingerprint(tokenizer),
            "task": [task.name, task.kind, task.labels, task.version],
            "settings": values,
            "glued": glued,
        }
    )

    def build() -> tuple[Dataset, dict[str, Any]]:
        table = dataset.select_columns(columns)
        cutter = Cutter(tokenizer, settings.granularity) if finer else None
        if task.kind == "pair":
            rows = _encode_pairs(table, task, tokenizer, settings, cutter, spaced=spaced)
        else:
            rows = _encode_sentences(table, task, tokenizer, settings, cutter, glued=glued)
        return rows.to_dataset(), {"truncated": rows.truncated}

    rows, facts = build() if cache_dir is None else load_or_build(cache_dir, identity, build)
    return Encoded(
        task=task,
        settings=settings,
        dataset=rows,
        num_examples=len(dataset),
        truncated=facts["truncated"],
        fingerprint=identity,
    )


class _Rows:
    """Rows under construction."""

    def __init__(self) -> None:
        self.input_ids: list[list[int]] = []
        self.readouts: list[Sequence[int]] = []
        self.labels: list[Sequence[int]] = []
        self.words: list[Sequence[int]] = []
        self.example: list[int] = []
        self.truncated = 0

    def add(
        self,
        example: int,
        input_ids: list[int],
        readouts: Sequence[int],
        labels: Sequence[int],
        words: Sequence[int],
    ) -> None:
        self.example.append(example)
        self.input_ids.append(input_ids)
        self.readouts.append(readouts)
        self.labels.append(labels)
        self.words.append(words)

    def to_dataset(self) -> Dataset:
        columns = {
            "input_ids": _list_array(self.input_ids, pa.int32()),
            "readouts": _list_array(self.readouts, pa.int32()),
            "labels": _list_array(self.labels, pa.int64()),
            "example": pa.array(self.example, pa.int64()),
            "words": _list_array(self.words, pa.int32()),
        }
        return Dataset(pa.table(columns))


def _list_array(lists: Sequence[Sequence[int]], kind: pa.DataType) -> pa.ListArray:
    offsets = np.zeros(len(lists) + 1, np.int32)
    np.cumsum([len(items) for items in lists], out=offsets[1:])
    values = np.fromiter(chain.from_iterable(lists), kind.to_pandas_dtype(), count=offsets[-1])
    return pa.ListArray.from_arrays(offsets, pa.array(values, kind))


def _encode_pairs(
    table: Dataset,
    task: Task,
    tokenizer: PreTrainedTokenizerFast,
    settings: EncodingSettings,
    cutter: Cutter | None,
    *,
    spaced: bool,
) -> _Rows:
    """Encode pairs, each as one row that is read at its last token."""
    lead = _lead(tokenizer)
    separator, end = _joints(tokenizer, settings)
    room = settings.max_length - len(lead) - len(separator) - len(end)
    if room < 2:
        raise DataError(
            f"encoding.max_length {settings.max_length} leaves no room for two texts beside "
            f"{settings.max_length - room} tokens in front of, between and behind them",
            fix="Raise encoding.max_length, or shorten encoding.separator and encoding.end.",
        )
    rows = _Rows()
    for start in range(0, len(table), _TEXTS_AT_ONCE):
        part = table[start : start + _TEXTS_AT_ONCE]
        count = len(part["label"])
        ids = tokenize_texts(tokenizer, part["first"] + part["second"])
        texts = zip(ids[:count], ids[count:], part["label"], strict=True)
        for example, (first, second, label) in enumerate(texts, start):
            _check_labels([label], task, example)
            if cutter is not None:
                first = cutter.text(first, example, 0, spaced=spaced)
                second = cutter.text(second, example, 1, spaced=spaced)
            keep_first, keep_second = _longest_first(len(first), len(second), room)
            rows.truncated += keep_first + keep_second < len(first) + len(second)
            row = [*lead, *first[:keep_first], *separator, *second[:keep_second], *end]
            if not row:
                raise DataError(f"row {example} has no text in either column", fix="Remove the row.")
            rows.add(example, row, readouts=(len(row) - 1,), labels=(label,), words=(0,))
    return rows


def _longest_first(first: int, second: int, room: int) -> tuple[int, int]:
    """How many tokens of each text stay; of two texts over half the room, the first gets the odd token."""
    keep_first = min(first, max(room - second, (room + 1) // 2))
    return keep_first, min(second, room - keep_first)


def _lead(tokenizer: PreTrainedTokenizerFast) -> list[int]:
    """What the tokenizer puts in front of a text by itself."""
    encoded = tokenizer("a")
    return encoded["input_ids"][: encoded.sequence_ids().index(0)]


def _joints(tokenizer: PreTrainedTokenizerFast, settings: EncodingSettings) -> tuple[list[int], list[int]]:
    """The ids between the texts of a pair and those behind it.

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


def _encode_sentences(
    table: Dataset,
    task: Task,
    tokenizer: PreTrainedTokenizerFast,
    settings: EncodingSettings,
    cutter: Cutter | None,
    *,
    glued: bool,
) -> _Rows:
    """Encode tagged sentences, each as one or more windows in which every word is read once."""
    lead = _lead(tokenizer)
    room = settings.max_length - len(lead)
    last = settings.label_on == "last"
    rows = _Rows()
    for start in range(0, len(table), _TEXTS_AT_ONCE):
        part = table[start : start + _TEXTS_AT_ONCE]
        pieces = tokenize_words(tokenizer, part["tokens"], glued=glued)
        for example, (words, tags) in enumerate(zip(pieces, part["tags"], strict=True), start):
            if len(words) != len(tags):
                raise DataError(
                    f"row {example} has {len(words)} words and {len(tags)} tags",
                    fix="Give each word one tag.",
                )
            _check_labels(tags, task, example)
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


def _check_labels(labels: Sequence[int], task: Task, example: int) -> None:
    for label in labels:
        if label is None or not 0 <= label < len(task.labels):
            raise DataError(
                f"row {example} has label {label}, and {task.name} has 0 to {len(task.labels) - 1}",
                fix="Give every row one of the task's labels; unlabeled rows cannot be used.",
            )
