"""How a part is read: what its reader gives, and what its other rows and other parts say of that.

A row can be sound by itself and yet be wrong: its label is one that every row of the file has, its field is
contradicted by the English row, or it is a row to choose by and stands in the test.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from xlprompt.data.errors import DataError
from xlprompt.data.how_many import how_many
from xlprompt.data.sources.formats import READERS
from xlprompt.data.sources.parts import Part
from xlprompt.data.sources.rows import Outcome
from xlprompt.data.tasks.kinds.kind import Example
from xlprompt.data.tasks.rules import Skipped
from xlprompt.data.tasks.task_type import Task

Parts = Mapping[tuple[str, str, str], Sequence[Part]]
"""All parts of a folder by task, language and split."""

OF_THE_TEST = "also in the test"
_FEWEST_ROWS = 20
"""Of fewer rows a label that all have, or share with English, may be chance: below it is one in a million."""


class Reading(NamedTuple):
    """What is read of a part.

    Attributes:
        outcomes: Its rows in their order.
        note: What other parts of the task made of them, or could not; empty for nothing.
        is_warning: Whether the rows may be wrong for want of another part.
    """

    outcomes: Iterable[Outcome]
    note: str = ""
    is_warning: bool = False


def read(part: Part, parts: Parts) -> Reading:
    """Read a part of a folder.

    Args:
        part: The part.
        parts: All parts of the folder.

    Returns:
        Its rows. They come as they are read, but for those that are compared with the English ones first.
    """
    task = part.task
    rows: Iterable[Outcome] = READERS[part.format](part)
    if not part.unanswered:
        rows = without_blind(task, rows, part.files[0])
    others = beside(part, parts)
    if task.test_in_validation and part.split == "validation":
        # Where rows have no ids of their own, their places stand for them and say nothing of other files.
        tested = (row for other in others for row in sound(READERS[other.format](other)))
        rows = without_test(rows, (row.id for row in tested if row.id != str(row.position)))
    if task.as_in_english and part.language != "en":
        english = [list(sound(READERS[other.format](other))) for other in others]
        return as_in_english(task, rows, english[0] if english else None)
    return Reading(rows)


def texts_alone(part: Part, parts: Parts) -> Part | None:
    """The part as what reads texts alone takes it, where none of its rows has an answer; else None.

    Alignment reads such a development set. Of a language with a training set it is wrong all the same:
    whoever trains on that cannot choose by it.
    """
    if part.split != "validation" or (part.task.name, part.language, "train") in parts:
        return None
    if any(True for _ in sound(read(part, parts).outcomes)):
        return None
    bare, count = replace(part, unanswered=True), 0
    for outcome in read(bare, parts).outcomes:
        if isinstance(outcome, DataError):
            return None
        count += isinstance(outcome, Example)
    return bare if count else None


def beside(part: Part, parts: Parts) -> tuple[Part, ...]:
    """The other part that decides what a part's rows are: its English one, or the test; or none."""
    task = part.task
    if task.as_in_english and part.language != "en":
        keys = [(task.name, "en", str(part.split))]
    elif task.test_in_validation and part.split == "validation":
        # The test is parallel: where English has none here, another language's has its ids.
        keys = sorted(
            (key for key in parts if (key[0], key[2]) == (task.name, "test")),
            key=lambda key: (key[1] != "en", key),
        )
    else:
        keys = []
    found = next((parts[key] for key in keys if key in parts), ())
    return (found[0],) if len(found) == 1 else ()


def sound(outcomes: Iterable[Outcome]) -> Iterator[Example]:
    """The rows that count, whatever is wrong with others."""
    return (row for row in outcomes if isinstance(row, Example))


def as_in_english(
    task: Task, rows: Iterable[Outcome], english: Sequence[Example] | None, *, labeled: bool = True
) -> Reading:
    """Take the fields that are wrong in some languages from the English rows of the same id.

    That is done where the rows are translations of the English ones: each has an English row of its id with
    its label, and they are no handful. KoBEST's Korean COPA, which has XCOPA's form and ids that occur there,
    is not parallel.

    Args:
        task: Its `as_in_english` are the fields.
        rows: Rows of another language.
        english: The English rows; None where there are none.
        labeled: Whether the English rows have labels to compare.
    """
    fields = ", ".join(task.as_in_english)
    if english is None:
        note = (
            f"{fields} is read as it is, though some languages' published files have it wrong in many rows, "
            "for there are no English rows to take it from"
        )
        return Reading(rows, note, is_warning=True)
    outcomes = list(rows)
    own = {row.id: row for row in english}
    found = [row for row in outcomes if isinstance(row, Example)]
    translated = len(found) >= _FEWEST_ROWS and all(
        row.id in own and (not labeled or own[row.id].answer == row.answer) for row in found
    )
    if not translated:
        return Reading(
            outcomes, f"{fields} is read as it is, for these rows are no translations of English ones"
        )
    places = [task.text_fields.index(name) for name in task.as_in_english]
    mended = [_with_texts(row, own[row.id], places) if isinstance(row, Example) else row for row in outcomes]
    count = sum(one is not other for one, other in zip(mended, outcomes, strict=True))
    if not count:
        return Reading(mended)
    where = how_many(count, "row")
    return Reading(mended, f"{fields} contradicts English in {where}; the English is taken")


def _with_texts(row: Example, other: Example, places: Sequence[int]) -> Example:
    """The row itself, or one with the other's texts at these places where they differ."""
    texts = tuple(other.texts[place] if place in places else text for place, text in enumerate(row.texts))
    return row if texts == row.texts else row._replace(texts=texts)


def without_test(rows: Iterable[Outcome], test_ids: Iterable[str]) -> Iterator[Outcome]:
    """Leave out the rows to choose by that are test rows."""
    held_out = frozenset(test_ids)
    for row in rows:
        yield Skipped(OF_THE_TEST) if isinstance(row, Example) and row.id in held_out else row


def without_blind(task: Task, rows: Iterable[Outcome], file: str | Path) -> Iterator[Outcome]:
    """Say at the end of the rows that they have no answers, where all have the label that stands for none."""
    blind = task.labels.index(task.blind_label) if task.blind_label else None
    count = others = 0
    for row in rows:
        if isinstance(row, Example):
            count += 1
            others += row.answer != blind
        yield row
    if blind is not None and count >= _FEWEST_ROWS and not others:
        yield DataError(
            f"every one of {count:,} rows has the label {task.blind_label!r}: a copy without the answers, as "
            "XTREME's prepared test files are",
            file=file,
            fix="Get the file as its authors publish it.",
        )
