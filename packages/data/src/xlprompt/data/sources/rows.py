"""Rows as the readers give them, their checks, and the one table that comes out.

Which rows of a task count is decided here, by `rules`, and in no reader. Every reader yields rows or, in
their place, what was skipped or wrong; whether a problem stops the reading is decided by who reads: `folder`
stops at the first, `check` collects them.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from xlprompt.data.errors import DataError
from xlprompt.data.printable import printable
from xlprompt.data.tasks.kinds.kind import Example
from xlprompt.data.tasks.rules import Skipped, withheld
from xlprompt.data.tasks.task_type import Place, Task

if TYPE_CHECKING:
    from datasets import Dataset, Features

_log = logging.getLogger(__name__)
# Of the subset that `limit` takes. A constant, so that the subset does not move with a run's seed.
_SUBSET_SEED = 20_311_07
_ROWS_A_BATCH = 4096

Outcome = Example | Skipped | DataError


def outcome(
    task: Task,
    record: Mapping[str, Any] | DataError,
    place: Place,
    names: tuple[str, ...] = (),
    *,
    unanswered: bool = False,
) -> Outcome:
    """What becomes of a record: as `Task.example`, but what is wrong is given back and not raised.

    Where `unanswered`, a record without an answer is taken for its texts.
    """
    if isinstance(record, DataError):
        return record
    if unanswered and not is_answered(task, record.get((names or task.fields)[-1])):
        place = place._replace(labeled=False)
    try:
        return task.example(record, place, names)
    except DataError as problem:
        return problem


def is_answered(task: Task, answer: Any) -> bool:
    """Tell whether a row has an answer, be it a wrong one.

    It has none where that is null, blank, a number that is none, or -1 as in the hub's data sets, unless that
    is a label. A sentence has none where no word has, or each has the mark of one without.
    """
    if isinstance(answer, list):
        return any(is_answered(task, each) and each != (task.no_label or None) for each in answer)
    if isinstance(answer, Mapping):  # of spans, with a text or several
        return is_answered(task, answer.get("text"))
    if answer is None or answer != answer:
        return False
    none = {"", "-1", "-1.0"} - {*task.labels, *(f"{label}.0" for label in task.labels)}
    return not isinstance(answer, str | int | float) or str(answer).strip() not in none


def usable(outcomes: Iterable[Outcome], *, file: str | Path, language: str) -> Iterator[Example]:
    """Yield the rows that count, and log how many were left out.

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
    for reason, times in skipped.items():
        _log.info("%s: %d rows of %s left out (%s)", printable(str(file)), times, language, reason)
    problem = withheld(skipped, count, file=file, language=language)
    if problem is not None:
        raise problem


def schema(task: Task) -> Features:
    """Return the columns that every source gives for a task."""
    from datasets import Features, Value

    return Features({"id": Value("string"), **task.kind.features(task)})


def to_dataset(task: Task, rows: Iterable[Example], *, limit: int | None, fingerprint: str) -> Dataset:
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
    from datasets import Dataset, DatasetInfo
    from datasets.table import InMemoryTable

    check_limit(limit)
    features = schema(task)
    arrow_schema = features.arrow_schema
    positions: list[int] = []
    batches: list[pa.RecordBatch] = []
    waiting: list[Example] = []

    def flush() -> None:
        columns = zip(*((row.id, *row.texts, row.answer) for row in waiting), strict=True)
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
