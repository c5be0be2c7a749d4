"""XCOPA and English COPA as published.

- XCOPA: ``data/<language>/{val,test}.<language>.jsonl``. ``data-gmt``, which a machine translated back into
  English, is left out.
- COPA: ``copa-dev.xml``, items 1 to 500, of which the first 400 are for training as in SuperGLUE, and
  ``copa-test.xml``, items 501 to 1000. ``copa-all.xml``, both in one, is left out.

The ids of English development and test rows are XCOPA's, which counts both from 0.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn
from xml.parsers import expat

from xlprompt.data.errors import DataError
from xlprompt.data.sources.formats.jsonl import first_record, own_id, records
from xlprompt.data.sources.lines import numbered_lines
from xlprompt.data.sources.parts import (
    SPLIT_PATTERN,
    SPLIT_WORDS,
    Candidate,
    LeftOut,
    Part,
    Recognition,
    known_language,
)
from xlprompt.data.sources.rows import Outcome, outcome
from xlprompt.data.splits import Split
from xlprompt.data.tasks.task_type import Place
from xlprompt.data.tasks.xcopa import XCOPA

_NAME = re.compile(rf"(?P<split>{SPLIT_PATTERN})[.](?P<language>[A-Za-z_-]+)[.]jsonl([.]gz)?")
_BACK_TRANSLATED = "data-gmt"
# Of each split of COPA its items' numbers, and the number that XCOPA counts from.
_ITEMS: dict[Split, tuple[range, int]] = {
    "train": (range(1, 401), 0),
    "validation": (range(401, 501), 401),
    "test": (range(501, 1001), 501),
}
_SPLITS: dict[str, tuple[Split, ...]] = {
    "copa-dev.xml": ("train", "validation"),
    "copa-test.xml": ("test",),
}
_TEXTS = {"p": "premise", "a1": "choice1", "a2": "choice2"}
_AGAIN = "Get copa-dev.xml and copa-test.xml again."


def recognize(candidate: Candidate) -> Recognition:
    """Return the parts that a file holds, or None if it is not of these formats.

    Raises:
        DataError: XCOPA's form and name, in a language that is not in the table.
    """
    path = candidate.path
    if path.suffix == ".xml":
        if path.name == "copa-all.xml":
            return [LeftOut("copa-dev.xml and copa-test.xml in one")]
        return [Part(XCOPA, "en", split, "copa-xml", (path,)) for split in _SPLITS.get(path.name, ())] or None
    match = _NAME.fullmatch(path.name)
    if match is None or not set(XCOPA.text_fields) <= first_record(candidate).keys():
        return None
    if _BACK_TRANSLATED in candidate.folders:
        return [LeftOut("XCOPA's texts as a machine translated them back into English")]
    return [
        Part(
            XCOPA,
            known_language(match["language"], path),
            SPLIT_WORDS[match["split"]],
            "xcopa-jsonl",
            (path,),
        )
    ]


def read_jsonl(part: Part) -> Iterator[Outcome]:
    """Read ``val.<language>.jsonl`` or ``test.<language>.jsonl``."""
    (path,) = part.files
    for position, (line, record) in enumerate(records(path)):
        yield outcome(part.task, record, Place(position, path, line, own_id(record, "idx")))


def read_xml(part: Part) -> Iterator[Outcome]:
    """Read one split of ``copa-dev.xml`` or ``copa-test.xml``."""
    (path,) = part.files
    items, start = _ITEMS[part.split]
    position = 0
    for line, record in _items(path):
        if isinstance(record, DataError):
            yield record
        elif int(record["id"]) in items:
            place = Place(position, path, line, str(int(record["id"]) - start))
            position += 1
            yield outcome(part.task, record, place)


class _Items:
    """The items of COPA's XML so far, as the parser meets them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._item: dict[str, str] | None = None
        self._line = 0
        self._text: str | None = None
        self._met: list[tuple[int, dict[str, str] | DataError]] = []
        self._parser = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters
        self._parser.EntityDeclHandler = self._entity

    def parse(self, text: str, *, last: bool = False) -> list[tuple[int, dict[str, str] | DataError]]:
        """Take text in; return the items that end in it, each with its line."""
        self._parser.Parse(text, last)
        met, self._met = self._met, []
        return met

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "item":
            self._item, self._line = dict(attributes), self._parser.CurrentLineNumber
        elif name in _TEXTS:
            self._text = ""

    def _characters(self, text: str) -> None:
        if self._text is not None:
            self._text += text

    def _end(self, name: str) -> None:
        if name == "item":
            self._met.append((self._line, self._record(self._item or {})))
        elif self._item is not None and self._text is not None:
            self._item[_TEXTS[name]], self._text = self._text, None

    def _entity(self, *declared: object) -> NoReturn:
        """COPA declares no entities, and those that others declare can grow without end."""
        raise DataError(
            "declares entities, as COPA does not",
            file=self._path,
            line=self._parser.CurrentLineNumber,
            fix=_AGAIN,
        )

    def _record(self, item: dict[str, str]) -> dict[str, str] | DataError:
        """The task's fields of an item."""
        number, answer = item.get("id", ""), item.get("most-plausible-alternative", "")
        if not number.isdecimal() or answer not in ("1", "2"):
            return DataError(
                f"an item with the id {number!r} and the answer {answer!r}",
                file=self._path,
                line=self._line,
                fix="An id is a number and an answer 1 or 2. " + _AGAIN,
            )
        return {**item, "question": item.get("asks-for", ""), "label": f"choice{answer}"}


def _items(path: Path) -> Iterator[tuple[int, dict[str, str] | DataError]]:
    """Read COPA's items with the lines they begin at; nothing follows what cannot be read."""
    items = _Items(path)
    line = 0
    try:
        for line, text in numbered_lines(path):
            if isinstance(text, DataError):
                yield line, text
                return
            yield from items.parse(text + "\n")
        yield from items.parse("", last=True)
    except DataError as problem:
        yield line, problem
    except expat.ExpatError as error:
        message = f"not well-formed XML ({expat.ErrorString(error.code)})"
        yield error.lineno, DataError(message, file=path, line=error.lineno, fix=_AGAIN)
