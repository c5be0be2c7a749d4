"""Turns one language's examples into token ids, and says at which tokens a model is read for which label.

How an example becomes rows is its kind's business (`tasks/kinds`). Rows are neither padded nor batched here,
and of the model only its tokenizer matters.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from datasets import Dataset

from xlprompt.data.encoding.cache import load_or_build
from xlprompt.data.fingerprints import fingerprint_of, rows_fingerprint, tokenizer_fingerprint
from xlprompt.data.languages import UNSPACED_LANGUAGES
from xlprompt.data.tasks.kinds.encoded_rows import Encoder
from xlprompt.data.tasks.kinds.kind import Answers
from xlprompt.data.tasks.task_type import Task
from xlprompt.data.tokens.cutter import CUTTER_VERSION, Cutter
from xlprompt.data.tokens.settings import EncodingSettings

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

# Goes up when the same inputs would give other rows than before; older cached encodings are then not read.
ENCODER_VERSION = 1


@dataclass(frozen=True, eq=False)
class Ragged:
    """Lists of different lengths, end to end: list `i` is `values[offsets[i]:offsets[i + 1]]`."""

    values: np.ndarray
    offsets: np.ndarray

    def lengths_of(self, rows: np.ndarray) -> np.ndarray:
        """The lengths of some lists, `[rows]`."""
        return self.offsets[rows + 1] - self.offsets[rows]

    def take(self, rows: np.ndarray, skips: np.ndarray | int = 0) -> np.ndarray:
        """The values of some lists, end to end, each without its first `skips`."""
        lengths = self.lengths_of(rows) - skips
        # Where each list starts in `values`, less where it starts in the result.
        shift = self.offsets[rows] + skips - (np.cumsum(lengths) - lengths)
        return self.values[np.arange(lengths.sum()) + np.repeat(shift, lengths)]


@dataclass(frozen=True, eq=False)
class Encoded:
    """The rows of one language of one task.

    Attributes:
        task: The task.
        settings: The settings it was encoded with.
        dataset: One row for each text, option or window, in the order of the examples, with the columns
            `input_ids` (list of int32), `readouts` (list of int32; the index in `input_ids` of every token
            that is read), `labels` (list of int32) and `words` (list of int32; which word, option or token of
            the example it is), both as long as `readouts`, and `example` (int32; which example the row
            belongs to). Where an answer is a part of a text, also `begins` and `ends` (lists of int32; where
            the token that is read stands in the text).
        table: The examples, as they were given.
        truncated: Number of examples of which a part was cut away: texts over `max_length`, questions over
            half of it, and sentences with a single word over it. Every label is still read.
        fingerprint: Equal for equal data, tokenizer, task and settings.
    """

    task: Task
    settings: EncodingSettings
    dataset: Dataset = field(repr=False)
    table: Dataset = field(repr=False)
    truncated: int
    fingerprint: str

    @property
    def num_examples(self) -> int:
        """Number of examples."""
        return len(self.table)

    @property
    def sequences(self) -> int:
        """What a batch size counts: examples where their read-outs are compared, else rows."""
        return self.num_examples if self.task.kind.compares_readouts else len(self.dataset)

    @cached_property
    def lengths(self) -> np.ndarray:
        """Tokens of each row, int64 `[rows]`."""
        return np.diff(self.ragged("input_ids").offsets)

    @cached_property
    def num_readouts(self) -> int:
        """Number of tokens that are read."""
        return len(self.ragged("labels").values)

    def ragged(self, column: str) -> Ragged:
        """One of the list columns as flat arrays.

        Args:
            column: `input_ids`, `readouts`, `labels`, `words`, `begins` or `ends`.

        Returns:
            Its values and int64 offsets `[rows + 1]`, without a copy of the values where Arrow allows it.
        """
        lists = self._arrow(column)
        offsets = lists.offsets.to_numpy(zero_copy_only=False).astype(np.int64)
        return Ragged(lists.flatten().to_numpy(zero_copy_only=False), offsets - offsets[0])

    @cached_property
    def examples(self) -> np.ndarray:
        """The example each row belongs to, int64 `[rows]`."""
        return np.asarray(self._arrow("example"), np.int64)

    @cached_property
    def readouts_of_examples(self) -> np.ndarray:
        """How often each example is read, int64 `[examples]`."""
        readouts = np.diff(self.ragged("readouts").offsets)
        return np.bincount(np.repeat(self.examples, readouts), minlength=self.num_examples)

    def by_example(self, column: str) -> list[np.ndarray]:
        """What a column has at the read-outs of each example, in their order; arguments as of `ragged`."""
        parts = np.split(self.ragged(column).values, np.cumsum(self.readouts_of_examples))
        return parts[: self.num_examples]

    def gold(self) -> Answers:
        """The right answers of each example, as its kind has them."""
        return self.task.kind.gold(self)

    def _arrow(self, column: str) -> pa.Array:
        if column not in self._columns:
            self._columns[column] = self._rows.column(column).combine_chunks()
        return self._columns[column]

    @cached_property
    def _columns(self) -> dict[str, pa.Array]:
        return {}

    @cached_property
    def _rows(self) -> pa.Table:
        # Kept, as changing a dataset's format copies all that is known of it: a millisecond a column.
        return self.dataset.with_format("arrow")[:]


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
    hashed: bool = True,
) -> Encoded:
    """Encode one language's examples of a task.

    Args:
        dataset: The columns of the kind's `features`. A label is its place among the task's labels.
        task: The task the dataset belongs to.
        tokenizer: A fast tokenizer.
        settings: See `EncodingSettings`.
        language: The dataset's language code, for `word_spaces` and `granularity`; None writes words with
            spaces.
        split: "train", "validation" or "test", for `granularity`.
        cache_dir: Where encodings are kept between runs; None does not keep them.
        fingerprint: A name of the data's origin that becomes part of the result's fingerprint, as the
            content always does.
        hashed: Whether the rows become part of the result's fingerprint. Of a few that are read once and not
            kept, hashing is a good part of the work.

    Returns:
        The rows.

    Raises:
        DataError: A label that the task does not have, more or fewer tags than words, a pair without text, or
            no room for text in `max_length`.
    """
    columns = list(task.columns)
    spaced = language not in UNSPACED_LANGUAGES
    glued = settings.word_spaces == "script" and not spaced and task.kind.by_word
    finer = settings.granularity.applies_to(language, split)
    values = settings.model_dump(mode="json", exclude={"granularity"})
    if finer:  # the names of where it applies are no part of what comes out
        how = settings.granularity.model_dump(mode="json", include={"share", "kind", "seed"})
        values["granularity"] = {"version": CUTTER_VERSION, "spaced": spaced, **how}
    identity = fingerprint_of(
        {
            "encoder": ENCODER_VERSION,
            "origin": fingerprint,
            "rows": rows_fingerprint(dataset, columns) if hashed else None,
            "tokenizer": tokenizer_fingerprint(tokenizer),
            "task": [task.name, task.kind.name, task.labels, task.version],
            "settings": values,
            "glued": glued,
        }
    )

    def build() -> tuple[Dataset, dict[str, Any]]:
        cutter = Cutter(tokenizer, settings.granularity) if finer else None
        how = Encoder(tokenizer, settings, cutter, spaced)
        rows = task.kind.encode(dataset.select_columns(columns), task, how)
        return rows.to_dataset(identity), {"truncated": rows.truncated}

    rows, facts = build() if cache_dir is None else load_or_build(cache_dir, identity, build)
    return Encoded(
        task=task,
        settings=settings,
        dataset=rows,
        table=dataset,
        truncated=facts["truncated"],
        fingerprint=identity,
    )
