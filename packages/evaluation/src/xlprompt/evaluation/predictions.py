"""Predictions on disk: one gzipped JSON Lines file per task, language and split, with label names for people.

The first line says what the file is about, each further line is one example with its id, gold and predicted
labels. The examples' texts are not repeated here: the ids lead back to the source.
"""

from __future__ import annotations

import gzip
import json
import os
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xlprompt.data.errors import DataError
from xlprompt.data.tasks import Task
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


@dataclass(frozen=True)
class SavedPredictions:
    """The content of a prediction file.

    Attributes:
        task: the task's name.
        task_version: the task's version when the predictions were made.
        kind: "pair" or "tagging".
        language: language code.
        split: "train", "validation" or "test".
        labels: label names; the lists below hold indices into them.
        ids: one id per example.
        gold: gold label indices, one list per example, one entry per word (one in all for a pair).
        predicted: predicted label indices, of the same shape.
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
        path: the file, named `*.jsonl.gz`.
        task: the task, for label names.
        language: language code.
        split: "train", "validation" or "test".
        ids: one id per example.
        gold: gold label indices, one list per example, one entry per word (one in all for a pair).
        predicted: predicted label indices, of the same shape.

    Returns:
        The path.

    Raises:
        ValueError: another file name, or ids, gold labels and predictions that do not match.
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
    lines = [json.dumps(header, ensure_ascii=False)]
    for example_id, right, answer in zip(ids, gold, predicted, strict=True):
        if len(right) != len(answer) or (task.kind == "pair" and len(right) != 1):
            raise ValueError(
                f"Example {example_id!r} has {len(right)} gold and {len(answer)} predicted labels; a pair has "
                "one of each, a sentence as many as words."
            )
        names = [[task.labels[index] for index in indices] for indices in (right, answer)]
        row = {"id": example_id, "gold": names[0], "predicted": names[1]}
        if task.kind == "pair":
            row |= {"gold": names[0][0], "predicted": names[1][0]}
        lines.append(json.dumps(row, ensure_ascii=False))
    content = "".join(f"{line}\n" for line in lines).encode("utf-8")

    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(gzip.compress(content, mtime=0))
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def load_predictions(path: str | Path) -> SavedPredictions:
    """Read a file that save_predictions wrote.

    Args:
        path: the file.

    Returns:
        Its content, with label indices.

    Raises:
        FileNotFoundError: no such file.
        DataError: the file is cut short, of another format or version, or a row does not fit its header;
            names the file and the line.
    """
    rows = _read_rows(Path(path))
    header = next(rows, None)
    if header is None:
        raise DataError("the file is empty", file=path, fix="Write the predictions again.")
    _check_header(header, path)
    labels = {name: index for index, name in enumerate(header["labels"])}
    ids: list[str] = []
    columns: dict[str, list[list[int]]] = {"gold": [], "predicted": []}
    seen: set[str] = set()
    for line, row in enumerate(rows, start=2):
        if not isinstance(row, dict) or set(row) != {"id", "gold", "predicted"}:
            raise DataError(
                "a row must be an object with the keys id, gold and predicted",
                file=path,
                line=line,
                fix=_AGAIN,
            )
        if not isinstance(row["id"], str) or row["id"] in seen:
            raise DataError(f"id {row['id']!r} is no string or came before", file=path, line=line, fix=_AGAIN)
        seen.add(row["id"])
        ids.append(row["id"])
        for column, indices in columns.items():
            names = [row[column]] if header["kind"] == "pair" else row[column]
            if not isinstance(names, list):
                raise DataError(f"{column!r} must be a list of label names", file=path, line=line, fix=_AGAIN)
            for name in names:
                if not isinstance(name, str) or name not in labels:
                    raise DataError(
                        f"{column} label {name!r} is not in the header's label list",
                        file=path,
                        line=line,
                        fix=_AGAIN,
                    )
            indices.append([labels[name] for name in names])
        if len(columns["gold"][-1]) != len(columns["predicted"][-1]):
            raise DataError(
                f"{len(columns['gold'][-1])} gold but {len(columns['predicted'][-1])} predicted labels",
                file=path,
                line=line,
                fix=_AGAIN,
            )
    if len(ids) != header["examples"]:
        raise DataError(
            f"the header announces {header['examples']} examples, {len(ids)} are there", file=path, fix=_AGAIN
        )
    return SavedPredictions(
        task=header["task"],
        task_version=header["task_version"],
        kind=header["kind"],
        language=header["language"],
        split=header["split"],
        labels=tuple(header["labels"]),
        ids=ids,
        gold=columns["gold"],
        predicted=columns["predicted"],
    )


_AGAIN = "The file was changed or damaged: evaluate the run again."


def _read_rows(path: Path) -> Iterator[Any]:
    """Yield one parsed JSON value per line."""
    line = 0
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            for line, text in enumerate(file, start=1):  # noqa: B007 (read in the except clauses)
                yield json.loads(text)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"not a whole gzip file ({error})", file=path, fix=_AGAIN) from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"not JSON in UTF-8 ({error})", file=path, line=line, fix=_AGAIN) from error


def _check_header(header: Any, path: str | Path) -> None:
    """Refuse a first line that is not ours."""
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
            raise DataError(
                f"header key {key!r} is missing or no {expected.__name__}", file=path, line=1, fix=_AGAIN
            )
    names = header["labels"]
    if not names or not all(isinstance(name, str) for name in names) or len(set(names)) != len(names):
        raise DataError("the header's labels must be different names", file=path, line=1, fix=_AGAIN)
    if header["kind"] not in ("pair", "tagging"):
        raise DataError(f"unknown kind {header['kind']!r}", file=path, line=1, fix=_AGAIN)
