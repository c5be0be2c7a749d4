"""Predictions on disk: one gzipped JSON Lines file per task, language and split, with label names for people.

The first line says what the file is about, each further line is one example with its id, gold and predicted
labels. The examples' texts are not repeated here: the ids lead back to the source.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from pydantic import Field, ValidationInfo, field_validator

from xlprompt.data.errors import DataError
from xlprompt.data.files import read_lines, write_json_lines
from xlprompt.data.how_many import how_many
from xlprompt.data.strict_json import Strict, parse
from xlprompt.data.tasks import KINDS
from xlprompt.data.tasks.kinds.kind import Answers, Kind
from xlprompt.data.tasks.task_type import Task

FORMAT = "xlprompt predictions"
FORMAT_VERSION = 1

_AGAIN = "It was changed, or another release of xlprompt wrote it: evaluate the run again."

Labels = Answers
Answer = TypeVar("Answer")


class _Header(Strict):
    """The first line."""

    format: Literal["xlprompt predictions"]
    version: Literal[1]
    task: str
    task_version: int
    kind: str
    language: str
    split: str
    labels: list[str]
    examples: int = Field(ge=0)
    trivial_baseline: float | None = Field(default=None, ge=0, le=100)

    @field_validator("kind")
    @classmethod
    def _kind_is_known(cls, name: str) -> str:
        if name not in KINDS:
            raise ValueError(f"Input should be {' or '.join(map(repr, KINDS))}")
        return name

    @field_validator("labels")
    @classmethod
    def _labels_differ(cls, names: list[str], told: ValidationInfo) -> list[str]:
        kind = KINDS.get(told.data.get("kind", ""))
        if not names and (kind is None or kind.labeled):
            raise ValueError("there has to be a label")
        if len(set(names)) != len(names):
            raise ValueError("labels must be different names")
        return names


class _Row(Strict, Generic[Answer]):
    """A further line."""

    id: str
    gold: Answer
    predicted: Answer


@dataclass(frozen=True)
class SavedPredictions:
    """The content of a prediction file.

    Attributes:
        task: The task's name.
        task_version: The task's version when the predictions were made.
        kind: Name of the task's kind: "pair", "tagging", "choice" or "span".
        language: Language code.
        split: "train", "validation" or "test".
        labels: Label names; the lists below hold indices into them. Without any, they hold texts.
        ids: One id per example, as the source gives it; sources do not promise that ids differ.
        gold: Gold label indices, one list per example, one entry per word (one in all for texts); of spans
            all texts that are right.
        predicted: Predicted label indices, of the same shape; of spans one text.
        trivial_baseline: Of spans the main metric of what needs no model, as scores.floors has it; None where
            it is not known.
    """

    task: str
    task_version: int
    kind: str
    language: str
    split: str
    labels: tuple[str, ...]
    ids: list[str]
    gold: list[list[Any]]
    predicted: list[list[Any]]
    trivial_baseline: float | None = None


def save_predictions(
    path: str | Path,
    *,
    task: Task,
    language: str,
    split: str,
    ids: Sequence[str],
    gold: Labels,
    predicted: Labels,
    trivial_baseline: float | None = None,
) -> Path:
    """Write predictions to a `.jsonl.gz` file, whole or not at all.

    The same predictions give the same bytes. Missing folders are made, an existing file is replaced.

    Args:
        path: The file, named `*.jsonl.gz`.
        task: The task, for label names.
        language: Language code.
        split: "train", "validation" or "test".
        ids: One id per example.
        gold: As in `SavedPredictions`.
        predicted: As in `SavedPredictions`.
        trivial_baseline: As in `SavedPredictions`.

    Returns:
        The path.

    Raises:
        ValueError: Another file name, ids, gold labels and predictions that do not match, or an index that is
            no label of the task.
    """
    path = Path(path)
    if not path.name.endswith(".jsonl.gz"):
        raise ValueError(f"Predictions are gzipped JSON Lines: name the file *.jsonl.gz, not {path.name!r}.")
    if not len(ids) == len(gold) == len(predicted):
        raise ValueError(
            f"{len(ids)} ids, {len(gold)} gold and {len(predicted)} predicted examples do not match."
        )
    header = {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "task": task.name,
        "task_version": task.version,
        "kind": task.kind.name,
        "language": language,
        "split": split,
        "labels": list(task.labels),
        "examples": len(ids),
        **({} if trivial_baseline is None else {"trivial_baseline": trivial_baseline}),
    }
    rows: list[dict[str, Any]] = []
    for example_id, right, answer in zip(ids, gold, predicted, strict=True):
        if task.kind.labeled:
            _check_labels(task, example_id, right, answer)
            right, answer = ([task.labels[index] for index in each] for each in (right, answer))
        named = (task.kind.to_json(each) for each in (right, answer))
        rows.append(dict(zip(("id", "gold", "predicted"), (example_id, *named), strict=True)))
    write_json_lines(path, (header, *rows))
    return path


def _check_labels(task: Task, example_id: str, right: Sequence[int], answer: Sequence[int]) -> None:
    """Raise a ValueError for labels that do not match each other or the task."""
    if len(right) != len(answer) or (not task.kind.by_word and len(right) != 1):
        raise ValueError(
            f"Example {example_id!r} has {len(right)} gold and {len(answer)} predicted labels; a pair "
            "has one of each, a sentence as many as words."
        )
    if not all(0 <= index < len(task.labels) for index in chain(right, answer)):
        raise ValueError(
            f"Example {example_id!r} has a label index outside 0 to {len(task.labels) - 1}, the labels "
            f"of task {task.name!r}."
        )


def load_predictions(path: str | Path) -> SavedPredictions:
    """Read a file that save_predictions wrote.

    Args:
        path: The file.

    Returns:
        Its content, with label indices.

    Raises:
        DataError: The file is missing, cut short, of another format or version, or a row does not fit its
            header; names the file and, where there is one, the line.
    """
    path = Path(path)
    rows = read_lines(path, _AGAIN)
    line, first = next(rows, (1, b""))
    try:
        header = parse(_Header, first)
        index_of = {name: index for index, name in enumerate(header.labels)}
        ids, gold, predicted = [], [], []
        for number, row in rows:
            line = number
            example_id, right, answer = _parse_row(row, KINDS[header.kind], index_of)
            ids.append(example_id)
            gold.append(right)
            predicted.append(answer)
    except DataError:
        raise
    except ValueError as error:
        raise DataError(f"not as it was written ({error})", file=path, line=line, fix=_AGAIN) from error
    if len(ids) != header.examples:
        raise DataError(
            f"the header announces {how_many(header.examples, 'example')}, {len(ids)} are there",
            file=path,
            fix=_AGAIN,
        )
    return SavedPredictions(
        task=header.task,
        task_version=header.task_version,
        kind=header.kind,
        language=header.language,
        split=header.split,
        labels=tuple(header.labels),
        ids=ids,
        gold=gold,
        predicted=predicted,
        trivial_baseline=header.trivial_baseline,
    )


def _parse_row(row: bytes, kind: Kind, index_of: Mapping[str, int]) -> tuple[str, list[Any], list[Any]]:
    """Return id, gold and predicted answers of one example; a ValueError says what is wrong."""
    parsed: _Row[Any] = parse(_Row[kind.json_type], row)  # type: ignore[name-defined]
    columns = {"gold": kind.from_json(parsed.gold), "predicted": kind.from_json(parsed.predicted)}
    if not index_of:
        if not columns["gold"] or len(columns["predicted"]) != 1:
            raise ValueError("an example has one predicted text and at least one right one")
        return parsed.id, columns["gold"], columns["predicted"]
    for column, names in columns.items():
        for name in names:
            if name not in index_of:
                raise ValueError(f"{column} label {name!r} is not in the header's label list")
    gold, predicted = ([index_of[name] for name in names] for names in columns.values())
    if len(gold) != len(predicted):
        raise ValueError(f"{len(gold)} gold but {len(predicted)} predicted labels")
    return parsed.id, gold, predicted
