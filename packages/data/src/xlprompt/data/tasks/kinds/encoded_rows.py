"""Encoded rows under construction, and what every kind of task needs to make them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa

from xlprompt.data.errors import DataError
from xlprompt.data.tasks.task_type import Task
from xlprompt.data.tokens.cutter import Cutter
from xlprompt.data.tokens.settings import EncodingSettings

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerFast

# Texts a tokenizer call: enough to keep its threads busy, few enough to hold their intermediate results.
TEXTS_AT_ONCE = 10_000

_ROWS_AS_LISTS = 10_000
_READ = ("input_ids", "readouts", "labels", "words")
_SPANS = ("begins", "ends")


class Encoder(NamedTuple):
    """A tokenizer and how it is to be used.

    Attributes:
        tokenizer: A fast tokenizer.
        settings: How texts are put together, and where they are read.
        cutter: Cuts words more finely; None leaves them.
        spaced: Whether the language writes spaces.
    """

    tokenizer: PreTrainedTokenizerFast
    settings: EncodingSettings
    cutter: Cutter | None
    spaced: bool

    def finer(self, texts: list[list[int]], example: int) -> list[list[int]]:
        """An example's texts, cut more finely if they are to be."""
        if self.cutter is None:
            return texts
        return [
            self.cutter.text(text, example, place, spaced=self.spaced) for place, text in enumerate(texts)
        ]


class EncodedRows:
    """Rows under construction, held as Arrow tables but for the last few thousand.

    As Python's lists of numbers a million tagged sentences would take four times the room.
    """

    def __init__(self) -> None:
        """Begin without a row."""
        self.truncated = 0
        self._parts: list[pa.Table] = []
        self._examples: list[int] = []
        self._lists: dict[str, list[Sequence[int]]] = {column: [] for column in _READ}

    def add(
        self,
        example: int,
        input_ids: list[int],
        readouts: Sequence[int],
        labels: Sequence[int],
        words: Sequence[int],
        spans: tuple[Sequence[int], Sequence[int]] | None = None,
    ) -> None:
        """Add a row; the arguments are the columns of `Encoded.dataset`.

        Args:
            example: Place of the example.
            input_ids: The row.
            readouts: Where it is read.
            labels: A label a read-out.
            words: Which of the example's words or options each read-out is.
            spans: Where each token that is read begins and ends in its text; given for all rows or for none.
        """
        self._examples.append(example)
        for column, values in zip(_READ, (input_ids, readouts, labels, words), strict=True):
            self._lists[column].append(values)
        if spans is not None:
            for column, values in zip(_SPANS, spans, strict=True):
                self._lists.setdefault(column, []).append(values)
        if len(self._examples) >= _ROWS_AS_LISTS:
            self._put_away()

    def to_dataset(self, fingerprint: str) -> Dataset:
        """All rows as one table.

        Args:
            fingerprint: The dataset's own; `datasets` would hash a copy of all rows to make one.
        """
        from datasets import Dataset

        if self._examples or not self._parts:
            self._put_away()
        return Dataset(pa.concat_tables(self._parts), fingerprint=fingerprint)

    def _put_away(self) -> None:
        """Turn the lists into a table, and begin new ones."""
        columns = {column: _list_array(lists) for column, lists in self._lists.items()}
        self._parts.append(pa.table({**columns, "example": pa.array(self._examples, pa.int32())}))
        self._examples = []
        self._lists = {column: [] for column in self._lists}


def _list_array(lists: Sequence[Sequence[int]]) -> pa.ListArray:
    offsets = np.zeros(len(lists) + 1, np.int32)
    np.cumsum([len(items) for items in lists], out=offsets[1:])
    values = np.fromiter(chain.from_iterable(lists), np.int32, count=offsets[-1])
    return pa.ListArray.from_arrays(offsets, pa.array(values))


def check_labels(labels: Sequence[int], task: Task, example: int) -> None:
    """Raise a DataError for a label that the task does not have."""
    for label in labels:
        if label is None or not 0 <= label < len(task.labels):
            raise DataError(
                f"row {example} has label {label}, and {task.name} has 0 to {len(task.labels) - 1}",
                fix="Give every row one of the task's labels; unlabeled rows cannot be used.",
            )
