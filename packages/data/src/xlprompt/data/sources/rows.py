"""Rows as the readers give them, their checks, and the one table that comes out.

Which rows of a task count is decided here, by `rules`, and in no reader. Every reader yields rows or, in
their place, what was skipped or wrong; whether a problem stops the reading is decided by who reads: `folder`
stops at the first, `check` collects them.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from datasets import ClassLabel, Dataset, DatasetInfo, Features, List, Value
from datasets.table import InMemoryTable

from xlprompt.data.errors import DataError
from xlprompt.data.printable import printable
from xlprompt.data.sources.rules import (
    NO_LABEL,
    NO_TAG,
    NOT_TRANSLATED,
    WITHHELD,
    Skipped,
    check_text,
    untranslated,
    withheld,
    words_withheld,
)
from xlprompt.data.tasks import Task

_log = logging.getLogger(__name__)
# Names that published files use for our labels.
_ALIASES = {
    "xnli": {"contradictory": "contradiction"},
    "pawsx": {"0": "different", "1": "paraphrase"},
}
# Of the subset that `limit` takes. A constant, so that the subset does not move with a run's seed.
_SUBSET_SEED = 20_311_07
_ROWS_A_BATCH = 4096


class Pair(NamedTuple):
    """Two texts and a label number; `position` counts the file's rows of that language, skipped ones too."""

    position: int
    id: str
    first: str
    second: str
    label: int


class Sentence(NamedTuple):
    """Words and one label number a word; `position` as in `Pair`."""

    position: int
    id: str
    tokens: list[str]
    tags: list[int]


Outcome = Pair | Sentence | Skipped | DataError


def label_number(task: Task, value: object, *, file: str | Path, line: int | None) -> int:
    """Turn a label as it stands in a file into its number.

    Args:
        task: Task with the label names.
        value: A label's name, an alias of the published files, or (JSON only) its number.
        file: For the message.
        line: For the message.

    Returns:
        The label's place in ``task.labels``.

    Raises:
        DataError: Neither a name nor a number of the task.
    """
    if isinstance(value, str):
        name = _ALIASES.get(task.name, {}).get(value, value)
        if name in task.labels:
            return task.labels.index(name)
    elif isinstance(value, int) and not isinstance(value, bool):
        if 0 <= value < len(task.labels):
            return value
        raise DataError(
            f"label {value} is out of range",
            file=file,
            line=line,
            fix=f"Labels of {task.name} are 0 to {len(task.labels) - 1}: {', '.join(task.labels)}.",
        )
    raise DataError(
        f"unknown label {value!r}",
        file=file,
        line=line,
        fix=f"Labels of {task.name}: {', '.join(task.labels)}.",
    )


def make_pair(
    task: Task,
    texts: Sequence[object],
    label: object,
    *,
    position: int,
    row_id: str | None,
    names: Sequence[str],
    file: str | Path,
    line: int | None,
    labeled: bool = True,
) -> Pair | Skipped:
    """Check the parts of a pair and build it.

    Args:
        task: A pair task.
        texts: The two texts.
        label: Label as in the file.
        position: Place among the rows of its language and split.
        row_id: The row's own id; its position stands in for None.
        names: What the file calls the two texts.
        file: For the message.
        line: For the message.
        labeled: Whether there is a label; the first of the task stands in for one, and means nothing.

    Returns:
        The pair, or why a pair like this is left out.

    Raises:
        DataError: A text is not a string, is blank or cannot be encoded, or the label is unknown.
    """
    first, second = (
        _string(name, text, file=file, line=line) for name, text in zip(names, texts, strict=True)
    )
    if untranslated(task, (first, second)):
        return Skipped(NOT_TRANSLATED)
    for name, text in zip(names, (first, second), strict=True):
        if not text.strip():
            raise DataError(f"{name} is blank", file=file, line=line, fix="Fill it in or delete the row.")
    if labeled and task.no_label and label == task.no_label:
        return Skipped(NO_LABEL)
    number = label_number(task, label, file=file, line=line) if labeled else 0
    return Pair(position, _id(row_id, position, file=file, line=line), first, second, number)


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
        raise DataError(f"{wrong} is not a list but {_json_type(value)}", file=file, line=line)
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
    return Sentence(position, _id(row_id, position, file=file, line=line), tokens, numbers)


def usable(
    outcomes: Iterable[Outcome], *, file: str | Path, language: str, quiet: bool = False
) -> Iterator[Pair | Sentence]:
    """Yield the rows that count, and unless quiet log how many were left out.

    Raises:
        DataError: The first problem; at the end, that most sentences are withheld.
    """
    skipped: Counter[str] = Counter()
    count = 0
    for outcome in outcomes:
        if isinstance(outcome, DataError):
            raise outcome
        if isinstance(outcome, Skipped):
            skipped[outcome.reason] += 1
            continue
        count += 1
        yield outcome
    for reason, times in () if quiet else skipped.items():
        _log.info("%s: %d rows of %s left out (%s)", printable(str(file)), times, language, reason)
    problem = withheld(skipped, count, file=file, language=language)
    if problem is not None:
        raise problem


def schema(task: Task) -> Features:
    """Return the columns that every source gives for a task."""
    label = ClassLabel(names=list(task.labels))
    if task.kind == "pair":
        return Features(
            {"id": Value("string"), "first": Value("string"), "second": Value("string"), "label": label}
        )
    return Features({"id": Value("string"), "tokens": List(Value("string")), "tags": List(label)})


def to_dataset(
    task: Task, rows: Iterable[Pair | Sentence], *, limit: int | None, fingerprint: str
) -> Dataset:
    """Gather rows into an in-memory `datasets.Dataset`.

    The rows go to Arrow in batches as they come, so Python never holds a whole training set, and nothing is
    written to the datasets cache.

    Args:
        task: Says which columns there are.
        rows: Rows in file order.
        limit: At most so many rows, see `subset`.
        fingerprint: Hex digest of what the rows were read from. With the limit it becomes the Dataset's own
            fingerprint, so what is cached for one is not taken for the other.

    Returns:
        Columns as in `schema`, rows in file order.

    Raises:
        DataError: `limit` below 1.
    """
    check_limit(limit)
    features = schema(task)
    arrow_schema = features.arrow_schema
    positions: list[int] = []
    batches: list[pa.RecordBatch] = []
    waiting: list[Pair | Sentence] = []

    def flush() -> None:
        columns = list(zip(*waiting, strict=True))[1:]
        arrays = [
            pa.array(column, type=field.type) for column, field in zip(columns, arrow_schema, strict=True)
        ]
        batches.append(pa.RecordBatch.from_arrays(arrays, schema=arrow_schema))
        positions.extend(row.position for row in waiting)
        waiting.clear()

    for row in rows:
        waiting.append(row)
        if len(waiting) == _ROWS_A_BATCH:
            flush()
    if waiting:
        flush()
    table = pa.Table.from_batches(batches, schema=arrow_schema)
    if limit is not None:
        table = table.take(pa.array(subset(positions, limit)))
    name = fingerprint[:32] if limit is None else f"{fingerprint[:32]}-{limit}"
    return Dataset(InMemoryTable(table), info=DatasetInfo(features=features), fingerprint=name)


def check_limit(limit: int | None) -> None:
    """Raise a DataError for a limit below 1."""
    if limit is not None and limit < 1:
        raise DataError(f"limit is {limit}", fix="It has to be 1 or more; leave it out to take every row.")


def subset(positions: Sequence[int], limit: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Choose a random subset that parallel files share.

    Each position in a file has one random number, drawn in order from a constant seed; the rows with the
    lowest numbers are taken. So files of equal length give the same rows, a file in which some rows were
    skipped gives nearly the same, and a smaller limit gives a part of a larger one's rows.

    Args:
        positions: Increasing positions of the rows at hand.
        limit: How many to take.

    Returns:
        Increasing indices into `positions`, at most `limit`.
    """
    if len(positions) <= limit:
        return np.arange(len(positions))
    ranks = np.random.default_rng(_SUBSET_SEED).random(positions[-1] + 1)[np.asarray(positions)]
    return np.sort(np.argsort(ranks, kind="stable")[:limit])


def _string(name: str, value: object, *, file: str | Path, line: int | None) -> str:
    if not isinstance(value, str):
        raise DataError(f"{name} is not a string but {_json_type(value)}", file=file, line=line)
    check_text(name, value, file=file, line=line)
    return value


def _id(row_id: str | None, position: int, *, file: str | Path, line: int | None) -> str:
    if row_id is None:
        return str(position)
    check_text("the id", row_id, file=file, line=line)
    return row_id


def _json_type(value: object) -> str:
    names = {type(None): "null", bool: "a boolean", int: "a number", float: "a number", list: "a list"}
    return names.get(type(value), "an object" if isinstance(value, dict) else "a string")
