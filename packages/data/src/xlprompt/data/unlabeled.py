"""Text without labels, to predict labels for: typed, or in a file or stream.

A file is JSON Lines in the columns of the data folder's files, or plain text: pairs as two texts with a tab
between them, sentences as words with spaces between them. Labels that stand in it are not looked at.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from datasets import Dataset

from xlprompt.data.errors import DataError
from xlprompt.data.sources.formats.jsonl import column, parse_object
from xlprompt.data.sources.lines import numbered_lines
from xlprompt.data.sources.rows import Pair, Sentence, make_pair, make_sentence, to_dataset
from xlprompt.data.tasks import Task

_PUBLISHED = ("sentence1", "sentence2")  # what the files of XNLI and PAWS-X call the texts of a pair
_NO_LABEL = 0  # stands where the schema has a label; nothing reads it


def typed_rows(task: Task, texts: Sequence[str]) -> list[Pair | Sentence]:
    """Rows from texts as they are typed: the two of one pair, or any number of sentences.

    Raises:
        DataError: Not two texts where the task has pairs, or a blank one.
    """
    if task.kind == "pair":
        if len(texts) != 2:
            first, second = task.text_columns
            raise DataError(
                f"{len(texts)} text{'s' if len(texts) != 1 else ''} where {task.name} takes two",
                fix=f"Give a {first} and a {second}; many pairs can stand in a file.",
            )
        return [_pair(task, texts, "0", 0, Path("arguments"), None)]
    return [
        _sentence(task, text.split(), str(number), number, Path("arguments"), number + 1)
        for number, text in enumerate(texts)
    ]


def read_rows(task: Task, path: Path, stream: BinaryIO | None = None) -> list[Pair | Sentence]:
    """Rows of a file, each with its own id or else its number from 0; blank lines hold none.

    It is JSON Lines where its name says so (`.jsonl`, also `.jsonl.gz`) or its first line is a JSON object.

    Args:
        task: What the rows are for.
        path: The file, gzipped where its name ends in `.gz`.
        stream: Read instead of the file; `path` then only names it in messages.

    Raises:
        DataError: The file or a row is not as it should be, or there is no row at all.
    """
    lines = list(_filled_lines(path, stream))
    if not lines:
        raise DataError("there is no text in it", file=path, fix="Give at least one line.")
    if path.name.removesuffix(".gz").endswith(".jsonl") or _is_object(lines[0][1]):
        return [_from_json(task, text, place, path, line) for place, (line, text) in enumerate(lines)]
    if task.kind == "pair":
        return _from_columns(task, lines, path)
    return [
        _sentence(task, text.split(), str(place), place, path, line)
        for place, (line, text) in enumerate(lines)
    ]


def unlabeled_dataset(task: Task, rows: Sequence[Pair | Sentence]) -> Dataset:
    """The rows in the schema that encoding takes; the labels in it mean nothing."""
    return to_dataset(task, rows, limit=None, fingerprint="unlabeled")


def _filled_lines(path: Path, stream: BinaryIO | None) -> Iterator[tuple[int, str]]:
    for line, text in numbered_lines(path, stream):
        if isinstance(text, DataError):
            raise text
        if text.strip():
            yield line, text


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def _from_json(task: Task, text: str, position: int, path: Path, line: int) -> Pair | Sentence:
    record = parse_object(text, path, line)
    row_id = str(position) if record.get("id") is None else str(record["id"])
    if task.kind == "tagging":
        tokens = column(record, task.text_columns[0], path, line)
        return _sentence(task, tokens, row_id, position, path, line)
    texts = [column(record, name, path, line) for name in task.text_columns]
    return _pair(task, texts, row_id, position, path, line)


def _from_columns(task: Task, lines: Sequence[tuple[int, str]], path: Path) -> list[Pair | Sentence]:
    """Pairs from lines of cells: under a header that names their columns among others, or of two each."""
    head = lines[0][1].split("\t")
    wanted = next((names for names in (task.text_columns, _PUBLISHED) if set(names) <= set(head)), None)
    columns = [0, 1] if wanted is None else [head.index(name) for name in wanted]
    width = 2 if wanted is None else len(head)
    rows: list[Pair | Sentence] = []
    for position, (line, text) in enumerate(lines if wanted is None else lines[1:]):
        cells = text.split("\t")
        if len(cells) != width:
            raise DataError(
                f"{len(cells)} columns where "
                + ("a pair has two" if wanted is None else f"the header has {width}"),
                file=path,
                line=line,
                fix="Put one tab between the two texts and none into them, or give JSON Lines.",
            )
        rows.append(_pair(task, [cells[place] for place in columns], str(position), position, path, line))
    if not rows:
        raise DataError("there is no pair below the header", file=path, line=1, fix="Give at least one.")
    return rows


def _pair(task: Task, texts: Sequence[Any], row_id: str, position: int, path: Path, line: int | None) -> Pair:
    return make_pair(
        task,
        texts,
        _NO_LABEL,
        position=position,
        row_id=row_id,
        names=task.text_columns,
        file=path,
        line=line,
    )


def _sentence(task: Task, tokens: Any, row_id: str, position: int, path: Path, line: int | None) -> Sentence:
    tags = [_NO_LABEL] * len(tokens) if isinstance(tokens, list) else []
    return make_sentence(task, tokens, tags, position=position, row_id=row_id, file=path, line=line)
