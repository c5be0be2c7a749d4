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
    """Rows under construction."""

    def __init__(self) -> None:
        """Begin without a row."""
        self.input_ids: list[list[int]] = []
        self.readouts: list[Sequence[int]] = []
        self.labels: list[Sequence[int]] = []
        self.words: list[Sequence[int]] = []
        self.begins: list[Sequence[int]] = []
        self.ends: list[Sequence[int]] = []
        self.example: list[int] = []
        self.truncated = 0

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
        self.example.append(example)
        self.input_ids.append(input_ids)
        self.readouts.append(readouts)
        self.labels.append(labels)
        self.words.append(words)
        if spans is not None:
            self.begins.append(spans[0])
            self.ends.append(spans[1])

    def to_dataset(self) -> Dataset:
        """All rows as one table."""
        from datasets import Dataset

        columns = {
            "input_ids": _list_array(self.input_ids, pa.int32()),
            "readouts": _list_array(self.readouts, pa.int32()),
            "labels": _list_array(self.labels, pa.int64()),
            "example": pa.array(self.example, pa.int64()),
            "words": _list_array(self.words, pa.int32()),
        }
        if self.begins:
            columns["begins"] = _list_array(self.begins, pa.int32())
            columns["ends"] = _list_array(self.ends, pa.int32())
        return Dataset(pa.table(columns))


def _list_array(lists: Sequence[Sequence[int]], kind: pa.DataType) -> pa.ListArray:
    offsets = np.zeros(len(lists) + 1, np.int32)
    np.cumsum([len(items) for items in lists], out=offsets[1:])
    values = np.fromiter(chain.from_iterable(lists), kind.to_pandas_dtype(), count=offsets[-1])
    return pa.ListArray.from_arrays(offsets, pa.array(values, kind))


def check_labels(labels: Sequence[int], task: Task, example: int) -> None:
    """Raise a DataError for a label that the task does not have."""
    for label in labels:
        if label is None or not 0 <= label < len(task.labels):
            raise DataError(
                f"row {example} has label {label}, and {task.name} has 0 to {len(task.labels) - 1}",
                fix="Give every row one of the task's labels; unlabeled rows cannot be used.",
            )
