"""JSON Lines as this project lays them out: ``<task>/<language>.<split>.jsonl``, gzipped or not.

``<task>/<language>/<split>.jsonl`` is the same, and so is any name of the split (`parts.SPLIT_WORDS`).

One object a line with the task's fields, such as ``premise``, ``hypothesis`` and ``label``, or ``tokens`` and
``tags``. Labels are names or numbers. ``id`` may be there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from xlprompt.data.errors import DataError
from xlprompt.data.sources.lines import numbered_lines
from xlprompt.data.sources.parts import (
    SPLIT_PATTERN,
    SPLIT_WORDS,
    Candidate,
    Part,
    Recognition,
    known_language,
    language_in_folder,
)
from xlprompt.data.sources.rows import Outcome, outcome
from xlprompt.data.tasks import BUNDLED
from xlprompt.data.tasks.task_type import Place, Task

_NAME = re.compile(rf"((?P<language>[A-Za-z_-]+)[.])?(?P<split>{SPLIT_PATTERN})[.]jsonl([.]gz)?")


def recognize(candidate: Candidate) -> Recognition:
    """Return the part that a file is, or None if it is not of this format.

    The task is the name of the file's folder; if that is no task, the first line's keys tell it, or a folder
    further up.

    Raises:
        DataError: The name fits but the language is unknown, or nothing tells the task.
    """
    match = _NAME.fullmatch(candidate.path.name)
    if match is None:
        return None
    language = match["language"] or language_in_folder(candidate.folders)
    if language is None:
        raise DataError(
            f"cannot tell the language: {candidate.folders[-1]!r} is no language code",
            file=candidate.path,
            fix="Name the file <language>.<split>.jsonl, or its folder after the language.",
        )
    language = known_language(language, candidate.path)
    above = [BUNDLED[name] for name in reversed(candidate.folders) if name in BUNDLED]
    found = BUNDLED.get(candidate.folders[-1]) or _task_by_content(candidate) or next(iter(above), None)
    if found is None:
        raise DataError(
            "cannot tell which task this file is of",
            file=candidate.path,
            fix=f"Put it into a folder named after its task ({', '.join(BUNDLED)}).",
        )
    return [Part(found, language, SPLIT_WORDS[match["split"]], "jsonl", (candidate.path,))]


def read(part: Part) -> Iterator[Outcome]:
    """Read the part's file row by row."""
    (path,) = part.files
    for position, (line, record) in enumerate(records(path)):
        place = Place(position, path, line, own_id(record))
        yield outcome(part.task, record, place, unanswered=part.unanswered)


def records(path: Path) -> Iterator[tuple[int, dict[str, Any] | DataError]]:
    """Read a file's objects; a blank line, which is usual at the end, holds none.

    Yields:
        Line number, and the object or what is wrong with it.
    """
    for line, text in numbered_lines(path):
        if isinstance(text, DataError) or text.strip():
            try:
                yield line, parse_object(text, path, line)
            except DataError as problem:
                yield line, problem


def parse_object(text: str | DataError, path: Path, line: int) -> dict[str, Any]:
    """Parse a line as one JSON object.

    Raises:
        DataError: The line could not be read, is not JSON, is not an object, or has a key twice.
    """
    if isinstance(text, DataError):
        raise text
    try:
        value = json.loads(text, object_pairs_hook=_keys_once)
    except _KeyTwice as twice:
        raise DataError(
            f"the key {twice.args[0]!r} stands twice in one object",
            file=path,
            line=line,
            fix="Nothing says which is meant: delete one.",
        ) from None
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"invalid JSON ({_reason(error)})",
            file=path,
            line=line,
            fix="Each line has to be one JSON object.",
        ) from None
    if not isinstance(value, dict):
        raise DataError(
            f"the line is JSON but no object: {text[:40]!r}",
            file=path,
            line=line,
            fix="Each line has to be one JSON object.",
        )
    return value


def own_id(record: Mapping[str, Any] | DataError, name: str = "id") -> str | None:
    """The id of a row, if it has one; an empty cell is none."""
    if isinstance(record, DataError) or record.get(name) in (None, ""):
        return None
    return str(record[name])


class _KeyTwice(Exception):
    """An object has the key twice; Python's reader would take the last."""


def _keys_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        raise _KeyTwice(next(key for place, (key, _) in enumerate(pairs) if key in dict(pairs[:place])))
    return record


def _reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return error.msg
    # A ValueError of another kind is a number of thousands of digits.
    return "nested too deeply" if isinstance(error, RecursionError) else "a number that is too long"


def first_record(candidate: Candidate) -> dict[str, Any]:
    """Return the object of a file's first line, to see what kind of file it is; empty if there is none."""
    return next(_records(candidate), {})


def _records(candidate: Candidate) -> Iterator[dict[str, Any]]:
    """The objects of a file's first lines, up to one that holds none."""
    for line in candidate.head:
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            return
        if not isinstance(record, dict):
            return
        yield record


def _task_by_content(candidate: Candidate) -> Task | None:
    record = first_record(candidate)
    fitting = [task for task in BUNDLED.values() if all(name in record for name in task.text_fields)]
    if len(fitting) > 1 or any(len(task.text_fields) == 1 for task in fitting):
        # Tasks with the same fields are told apart by names of labels; numbers do not tell. One text does not
        # tell either: anybody's topics have a text and a label.
        fitting = [task for task in fitting if _could_answer(task, candidate)]
    return fitting[0] if len(fitting) == 1 else None


def _could_answer(task: Task, candidate: Candidate) -> bool:
    """Whether the answers of the first lines are the task's; O alone is everybody's."""
    answers = [record.get(task.fields[-1]) for record in _records(candidate)]
    names = [name for answer in answers for name in (answer if isinstance(answer, list) else [answer])]
    if all(isinstance(name, str) for name in names):
        return set(names) <= set(task.labels) and set(names) != {"O"}
    return len(task.text_fields) > 1
