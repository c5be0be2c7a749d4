"""Predictions on disk: one gzipped JSON Lines file per task, language and split, with label names for people.

The first line says what the file is about, each further line is one example with its id, gold and predicted
labels. The examples' texts are not repeated here: the ids lead back to the source.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from xlprompt.data.errors import DataError
from xlprompt.data.tasks import Task
from xlprompt.evaluation.json_lines import write_json_lines
from xlprompt.evaluation.metrics import Labels

FORMAT = "xlprompt predictions"
FORMAT_VERSION = 1

_HEADER_TYPES: dict[str, type] = {
    "format": str,
    "version": int,
    "task": str,
    "task_version": int,
    "kind": str,
    "language": str,
    "split": str,
    "labels": list,
    "examples": int,
}


_AGAIN = "The file was changed or damaged: evaluate the run again."


@dataclass(frozen=True)
class SavedPredictions:
    """The content of a prediction file.

    Attributes:
        task: The task's name.
        task_version: The task's version when the predictions were made.
        kind: "pair" or "tagging".
        language: Language code.
        split: "train", "validation" or "test".
        labels: Label names; the lists below hold indices into them.
        ids: One id per example, as the source gives it; sources do not promise that ids differ.
        gold: Gold label indices, one list per example, one entry per word (one in all for a pair).
        predicted: Predicted label indices, of the same shape.
    """

    task: str
    task_version: int
    kind: str
    language: str
    split: str
    labels: tuple[str, ...]
    ids: list[str]
    gold: list[list[int]]
    predicted: list[list[int]]


def save_predictions(
    path: str | Path,
    *,
    task: Task,
    language: str,
    split: str,
    ids: Sequence[str],
    gold: Labels,
    predicted: Labels,
) -> Path:
    """Write predictions to a `.jsonl.gz` file, whole or not at all.

    The same predictions give the same bytes. Missing folders are made, an existing file is replaced.

    Args:
        path: The file, named `*.jsonl.gz`.
        task: The task, for label names.
        language: Language code.
        split: "train", "validation" or "test".
        ids: One id per example.
        gold: Gold label indices, one list per example, one entry per word (one in all for a pair).
        predicted: Predicted label indices, of the same shape.

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
        "kind": task.kind,
        "language": language,
        "split": split,
        "labels": list(task.labels),
        "examples": len(ids),
    }
    rows: list[dict[str, Any]] = []
    for example_id, right, answer in zip(ids, gold, predicted, strict=True):
        if len(right) != len(answer) or (task.kind == "pair" and len(right) != 1):
            raise ValueError(
                f"Example {example_id!r} has {len(right)} gold and {len(answer)} predicted labels; a pair "
                "has one of each, a sentence as many as words."
            )
        if not all(0 <= index < len(task.labels) for index in chain(right, answer)):
            raise ValueError(
                f"Example {example_id!r} has a label index outside 0 to {len(task.labels) - 1}, the labels "
                f"of task {task.name!r}."
            )
        names = [[task.labels[index] for index in indices] for indices in (right, answer)]
        row: dict[str, Any] = {"id": example_id, "gold": names[0], "predicted": names[1]}
        if task.kind == "pair":
            row |= {"gold": names[0][0], "predicted": names[1][0]}
        rows.append(row)
    write_json_lines(path, (header, *rows))
    return path


def load_predictions(path: str | Path) -> SavedPredictions:
    """Read a file that save_predictions wrote.

    Args:
        path: The file.

    Returns:
        Its content, with label indices.

    Raises:
        FileNotFoundError: No such file.
        DataError: The file is cut short, of another format or version, or a row does not fit its header;
            names the file and, where there is one, the line.
    """
    rows = _read_rows(Path(path))
    _, first = next(rows, (1, None))
    header = _checked_header(first, path)
    index_of = {name: index for index, name in enumerate(header["labels"])}
    content = SavedPredictions(
        task=header["task"],
        task_version=header["task_version"],
        kind=header["kind"],
        language=header["language"],
        split=header["split"],
        labels=tuple(header["labels"]),
        ids=[],
        gold=[],
        predicted=[],
    )
    for line, row in rows:
        try:
            example_id, gold, predicted = _parse_row(row, content.kind, index_of)
        except ValueError as error:
            raise DataError(str(error), file=path, line=line, fix=_AGAIN) from error
        content.ids.append(example_id)
        content.gold.append(gold)
        content.predicted.append(predicted)
    if len(content.ids) != header["examples"]:
        raise DataError(
            f"the header announces {header['examples']} examples, {len(content.ids)} are there",
            file=path,
            fix=_AGAIN,
        )
    return content


def _read_rows(path: Path) -> Iterator[tuple[int, Any]]:
    """Yield every line's number, counted from 1, and parsed JSON value."""
    try:
        with gzip.open(path, "rb") as file:
            for line, content in enumerate(file, start=1):
                try:
                    value = json.loads(content.decode("utf-8"))
                except ValueError as error:  # of JSON and of UTF-8
                    raise DataError(
                        f"not JSON in UTF-8 ({error})", file=path, line=line, fix=_AGAIN
                    ) from error
                yield line, value
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"not a whole gzip file ({error})", file=path, fix=_AGAIN) from error


def _checked_header(header: Any, path: str | Path) -> dict[str, Any]:
    """Return the first line's value, and refuse one that is not ours."""
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise DataError(
            f"the first line is not the header of a file of {FORMAT}",
            file=path,
            line=1,
            fix="Give a file that an evaluation wrote.",
        )
    if header.get("version") != FORMAT_VERSION:
        raise DataError(
            f"format version {header.get('version')!r}, and only {FORMAT_VERSION} can be read",
            file=path,
            line=1,
            fix="Use the release of xlprompt that wrote it, or evaluate the run again.",
        )
    for key, expected in _HEADER_TYPES.items():
        if not isinstance(header.get(key), expected):
            problem = f"header key {key!r} is missing or no {expected.__name__}"
            raise DataError(problem, file=path, line=1, fix=_AGAIN)
    names = header["labels"]
    if not names or not all(isinstance(name, str) for name in names) or len(set(names)) != len(names):
        raise DataError("the header's labels must be different names", file=path, line=1, fix=_AGAIN)
    if header["kind"] not in ("pair", "tagging"):
        raise DataError(f"unknown kind {header['kind']!r}", file=path, line=1, fix=_AGAIN)
    return header


def _parse_row(row: Any, kind: str, index_of: Mapping[str, int]) -> tuple[str, list[int], list[int]]:
    """Return id, gold and predicted label indices of one example; a ValueError says what is wrong."""
    if not isinstance(row, dict) or set(row) != {"id", "gold", "predicted"}:
        raise ValueError("a row must be an object with the keys id, gold and predicted")
    if not isinstance(row["id"], str):
        raise ValueError(f"id {row['id']!r} is no string")
    indices = []
    for column in ("gold", "predicted"):
        names = [row[column]] if kind == "pair" else row[column]
        if not isinstance(names, list):
            raise ValueError(f"{column!r} must be a list of label names")
        for name in names:
            if not isinstance(name, str) or name not in index_of:
                raise ValueError(f"{column} label {name!r} is not in the header's label list")
        indices.append([index_of[name] for name in names])
    gold, predicted = indices
    if len(gold) != len(predicted):
        raise ValueError(f"{len(gold)} gold but {len(predicted)} predicted labels")
    return row["id"], gold, predicted
