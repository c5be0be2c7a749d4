"""Examples of an own task, from the rows of its files: labels by their names, problems with row and field."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

from xlprompt.data.errors import DataError
from xlprompt.data.how_many import how_many
from xlprompt.data.languages import code_named, code_of
from xlprompt.data.sources.formats.jsonl import own_id
from xlprompt.data.sources.own.tables import Records, Unnamed, records, texts
from xlprompt.data.sources.parts import Part
from xlprompt.data.sources.rows import Outcome, is_answered
from xlprompt.data.splits import Split
from xlprompt.data.tasks.kinds.kind import Example
from xlprompt.data.tasks.kinds.labels import json_type
from xlprompt.data.tasks.rules import NO_LABEL, Skipped
from xlprompt.data.tasks.task_type import Place, Task

_LIST = re.compile(r"""\s*\[\s*(['"].*|-?\d+(\s*,.*)?)?\]\s*""", re.DOTALL)  # and not [laughs] Thanks

_NUMBER = re.compile(r"-?\d+(\.\d+)?")
_WHOLE = re.compile(r"-?\d+\.0+")
_TRUTH = ("true", "false")  # which Python, JSON and R write differently

LANGUAGE_COLUMNS = ("language", "lang")
CUT_EVERY = 10
"""Where there is no development set, each so many training rows of a label give one to it."""


def read(part: Part) -> Iterator[Outcome]:
    """Read the part's files row by row."""
    task, position = part.task, -1
    seen: Counter[str] = Counter()
    for path in part.files:
        for line, record in (texts if part.unanswered else records)(path, part.format, task.fields):
            if isinstance(record, DataError):
                yield record
                continue
            if part.language_column and not _is_of(record, part):
                continue
            position += 1
            if part.cut and _side(task, record, seen) != part.cut:
                continue
            labeled = not part.unanswered or is_answered(task, record.get(task.fields[-1]))
            place = Place(position, path, line, own_id(record), labeled)
            if labeled and isinstance(record[task.fields[-1]], Unnamed):
                yield Skipped(NO_LABEL)
                continue
            try:
                record = (
                    _with_names(task, record, place, part.numbered)
                    if labeled
                    else _with_words(task, record, place)
                )
                row = task.example(record, place)
            except DataError as problem:
                yield problem
            else:
                yield _named(row) if isinstance(row, Example) and place.row_id is None else row


def read_unlabeled(task: Task, table: Records, path: Path) -> Iterator[Outcome]:
    """Read a table for its texts, to predict labels for; those that it has are not looked at."""
    for position, (line, record) in enumerate(table):
        if isinstance(record, DataError):
            yield record
            continue
        try:
            yield unlabeled_row(task, record, Place(position, path, line, own_id(record), labeled=False))
        except DataError as problem:
            yield problem


def unlabeled_row(task: Task, record: Mapping[str, Any], place: Place) -> Example | Skipped:
    """An example of a record's texts, in the language that it tells, if it does.

    Raises:
        DataError: A text is missing, or is not as the kind of task has it.
    """
    row = task.example(_with_words(task, record, place), place)
    return row._replace(language=_language(task, record)) if isinstance(row, Example) else row


def _language(task: Task, record: Mapping[str, Any]) -> str | None:
    """The code of the language that a record tells; or what else `language` holds, which is no language.

    `lang` may hold anything, such as what a text was programmed in, and tells nothing then.
    """
    names = {str(name).lower(): name for name in record if name not in task.fields}
    for column in LANGUAGE_COLUMNS:
        said = record.get(names.get(column, ""))
        if not isinstance(said, str | int | float | list) or said != said:  # null, or what pandas has for it
            continue
        word = str(said).strip()
        code = code_of(word) or code_named(word)
        if code or (word and column == "language"):
            return code or word
    return None


def _named(row: Example) -> Example:
    """The row under its place and a digest of its texts: other texts in that place are another example.

    Predictions are compared by ids and right answers, and know no texts.
    """
    digest = blake2b(repr(row.texts).encode(), digest_size=4).hexdigest()
    return row._replace(id=f"{row.position}-{digest}")


def _side(task: Task, record: Mapping[str, Any], seen: Counter[str]) -> Split:
    """The split that a row goes to where there is no development set; counts its label in `seen`.

    Each label is cut by itself, as in rows that alternate one side would have none of it. The very first
    row is kept, and of other labels the second of ten, so that a lone one is trained on. Sentences and
    questions have no single label and count as alike.
    """
    is_one = task.kind.labeled and not task.kind.by_word
    label = str(record.get(task.fields[-1])) if is_one else ""
    seen[label] += 1
    taken = 1 if label == next(iter(seen)) else 2
    return "validation" if seen[label] % CUT_EVERY == taken else "train"


def _is_of(record: Mapping[str, Any], part: Part) -> bool:
    """Whether a row of a file of several languages is the part's; unknown ones are told before."""
    return code_of(str(record.get(part.language_column))) == part.language


def _with_words(task: Task, record: Mapping[str, Any], place: Place) -> dict[str, Any]:
    """The record without an answer, with a list for a sentence that is written as text."""
    words = task.fields[0]
    if not task.kind.by_word or words not in record:  # which `Task.example` says
        return dict(record)
    return {**record, words: as_list(record[words], words, place)}


def _with_names(task: Task, record: Mapping[str, Any], place: Place, numbered: bool) -> dict[str, Any]:
    """The record with names for labels, and with lists for sentences that are written as texts.

    Where labels are not `numbered`, a number is only a name. Options always are, from 0.
    """
    answer = task.fields[-1]
    given = record[answer]
    if not task.kind.labeled:
        return dict(record)
    if not task.kind.by_word:
        if task.kind.compares_readouts:
            return {**record, answer: _option(given, answer, task.labels, place)}
        return {**record, answer: label_name(given, answer, task.labels, place, numbered=numbered)}
    words = task.fields[0]
    tokens = as_list(record[words], words, place)
    tags = as_list(given, answer, place)
    if isinstance(tags, list):
        tags = [
            label_name(tag, f"{answer}, word {number}", task.labels, place, numbered=numbered)
            for number, tag in enumerate(tags, 1)
        ]
    if isinstance(tokens, list) and isinstance(tags, list) and len(tokens) != len(tags):
        raise place.error(
            f"{how_many(len(tokens), 'word')} in {words!r} but {how_many(len(tags), 'tag')} in {answer!r}",
            "Each word needs one tag; correct or delete the sentence.",
        )
    return {**record, words: tokens, answer: tags}


def as_list(value: Any, name: str, place: Place) -> Any:
    """A list of words, also of a text with spaces between them."""
    if not isinstance(value, str):
        return value
    if _LIST.fullmatch(value):
        raise place.error(
            f"{name} is a list written as text", "Give words with spaces between them, or JSON Lines."
        )
    return value.split()


def label_name(
    value: Any, field: str, labels: tuple[str, ...] | None, place: Place, *, numbered: bool = False
) -> str:
    """Name a label as the task does.

    Args:
        value: A name; or a number, which is a name, or a label's place where no label is a number.
        field: For the message.
        labels: The task's; None where they are to be found out.
        place: For the message.
        numbered: Whether a number can be a place: somebody has given the labels in an order.

    Raises:
        DataError: It is no label.
    """
    if isinstance(value, bool):
        value = str(value).lower()
    value = _whole(value, labels or ())
    if isinstance(value, float):
        raise place.error(
            f"{field} is {value}, a number with a fraction",
            "A label is a name or a whole number; correct it.",
        )
    if value is None or not isinstance(value, str | int):
        raise place.error(
            f"{field} is not a label but {json_type(value)}", "Give a label, or delete the row."
        )
    name = str(value)
    if not name.strip():
        raise place.error(f"{field} is empty", "Give a label, or delete the row.")
    if labels is None or name in labels:
        return name
    if name.lower() in _TRUTH and (same := [label for label in labels if label.lower() == name.lower()]):
        return same[0]
    is_place = name.isdecimal() and int(name) < len(labels) and not any(map(_NUMBER.fullmatch, labels))
    if is_place and numbered:
        return labels[int(name)]
    raise place.error(
        f"unknown label {name[:80]!r} in {field}",
        f"The labels are {', '.join(labels)[:400]}: those of the training sets, or of labels: in task.yaml. "
        + (
            "Numbers can mean them once labels: gives their order."
            if is_place
            else "Correct the row, or name all labels there."
        ),
    )


def _whole(value: Any, labels: Collection[str]) -> Any:
    """A whole number without its fraction, unless a label has it: pandas writes 2.0 where a row has none."""
    if isinstance(value, float) and str(value) in labels:
        return str(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and value not in labels and _WHOLE.fullmatch(value):
        return value.partition(".")[0]
    return value


def _option(value: Any, field: str, options: tuple[str, ...], place: Place) -> str:
    """The column of the option that is the answer, given by its name or its number from 0."""
    try:
        return label_name(value, field, options, place, numbered=True)
    except DataError as problem:
        if not problem.message.startswith("unknown label"):
            raise
        raise place.error(
            f"{str(value)[:80]!r} in {field} is no option",
            f"Give the option's column ({', '.join(options)}) or its number from 0: 0 is {options[0]}. "
            "Where the file counts from 1, all its rows have to be changed.",
        ) from None
