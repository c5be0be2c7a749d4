"""Universal Dependencies treebanks: ``<language>_<treebank>-ud-<split>.conllu``.

Words are the syntactic words: the lines of multiword ranges (``3-4``) and empty nodes (``8.1``) are left
out. The language is the file name's code, so Ancient Greek (``grc``) never comes in with Greek (``el``).
Which treebank of a language is used is decided in `inventory`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, count
from pathlib import Path

from xlprompt.data.errors import DataError
from xlprompt.data.how_many import how_many
from xlprompt.data.sources.lines import numbered_lines
from xlprompt.data.sources.parts import (
    SPLIT_PATTERN,
    SPLIT_WORDS,
    Candidate,
    Part,
    Recognition,
    known_language,
)
from xlprompt.data.sources.rows import Outcome, outcome
from xlprompt.data.tasks.pos import POS
from xlprompt.data.tasks.task_type import Place, Task

# Large treebanks come in pieces: ru_syntagrus-ud-train-a.conllu, -b, -c.
_NAME = re.compile(
    rf"(?P<language>[a-z]+)_(?P<treebank>[a-z0-9]+)-ud-(?P<split>{SPLIT_PATTERN})(?P<piece>-[a-z0-9-]+)?"
    r"[.]conllu([.]gz)?"
)
_ID = re.compile(
    r"(?P<word>[1-9][0-9]{0,8})|(?P<start>[1-9][0-9]{0,8})-(?P<stop>[1-9][0-9]{0,8})"
    r"|(?P<node>[0-9]{1,9})\.[1-9][0-9]*"
)
_COLUMNS = 10
_GLOBAL_COLUMNS = re.compile(r"#\s*global\.columns\s*=(?P<names>.*)")
_NAMES = "ID FORM LEMMA UPOS XPOS FEATS HEAD DEPREL DEPS MISC"
_SENT_ID = re.compile(r"#\s*sent_id\s*=\s*(?P<id>.+?)\s*")


def recognize(candidate: Candidate) -> Recognition:
    """Return the part (or piece of one) that a file is, or None if it is not of this format.

    Raises:
        DataError: A CoNLL-U file whose name does not say language, treebank and split.
    """
    path = candidate.path
    if ".conllu" not in path.suffixes[-2:]:
        return None
    match = _NAME.fullmatch(path.name)
    if match is None:
        raise DataError(
            "cannot tell language, treebank and split of this CoNLL-U file",
            file=path,
            fix="Name it as published: <language>_<treebank>-ud-<train, dev or test>.conllu.",
        )
    split = SPLIT_WORDS[match["split"]]
    return [Part(POS, known_language(match["language"], path), split, "conllu", (path,), match["treebank"])]


def is_piece(path: Path) -> bool:
    """Tell whether a file is a piece of a split, as in ``train-a``, by its name."""
    match = _NAME.fullmatch(path.name)
    return match is not None and match["piece"] is not None


def holds(head: Sequence[str]) -> bool:
    """Tell from a file's first lines whether it is of this format: the first that is no comment is a word."""
    cells = next((line.split("\t") for line in head if not line.startswith("#")), [])
    return len(cells) == _COLUMNS and _ID.fullmatch(cells[0]) is not None


@dataclass
class _Sentence:
    """The sentence being read: its words so far and what was met in it."""

    first_line: int = 0
    sent_id: str | None = None
    tokens: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    damaged: bool = False

    @property
    def begun(self) -> bool:
        """Whether there was a line."""
        return self.first_line > 0


def read(part: Part) -> Iterator[Outcome]:
    """Read the part's files sentence by sentence."""
    positions = count()
    for path in part.files:
        lines = numbered_lines(path)
        yield from sentences(part.task, lines, path, positions, unanswered=part.unanswered)


def sentences(
    task: Task,
    lines: Iterable[tuple[int, str | DataError]],
    path: Path,
    positions: Iterator[int],
    *,
    labeled: bool = True,
    unanswered: bool = False,
) -> Iterator[Outcome]:
    """Make sentences of lines; without labels, the tags are not looked at.

    Where `unanswered`, a sentence without a tag is taken for its words.
    """
    sentence = _Sentence()
    # The last sentence may lack the blank line that ends it.
    for line, text in chain(lines, [(0, "")]):
        if isinstance(text, str) and not text.strip():
            if sentence.begun:
                position = next(positions)
                if not sentence.damaged:
                    parts = dict(zip(task.fields, (sentence.tokens, sentence.tags), strict=True))
                    place = Place(position, path, sentence.first_line, sentence.sent_id, labeled)
                    yield outcome(task, parts, place, unanswered=unanswered)
            sentence = _Sentence()
            continue
        wrong = _other_columns(text, path, line)
        if wrong is not None:
            yield wrong
            return
        sentence.first_line = sentence.first_line or line
        if sentence.damaged and isinstance(text, str):
            # One message a sentence: the lines after a wrong one are often wrong because of it.
            continue
        try:
            _add_line(sentence, text, task if labeled else None, path, line)
        except DataError as problem:
            sentence.damaged = True
            yield problem


def _other_columns(text: str | DataError, path: Path, line: int) -> DataError | None:
    """Return what is wrong with a comment that names other columns, as CoNLL-U Plus does."""
    match = _GLOBAL_COLUMNS.fullmatch(text) if isinstance(text, str) else None
    if match is None or match["names"].split() == _NAMES.split():
        return None
    return DataError(
        f"the columns are {match['names'].strip()}", file=path, line=line, fix=f"CoNLL-U's are {_NAMES}."
    )


def _add_line(sentence: _Sentence, text: str | DataError, task: Task | None, path: Path, line: int) -> None:
    if isinstance(text, DataError):
        raise text
    if text.startswith("#"):
        match = _SENT_ID.fullmatch(text)
        sentence.sent_id = match["id"] if match else sentence.sent_id
        return
    cells = text.split("\t")
    if len(cells) != _COLUMNS:
        raise DataError(
            f"{how_many(len(cells), 'column')} instead of {_COLUMNS}",
            file=path,
            line=line,
            fix="CoNLL-U has ten tab-separated columns; get the file again.",
        )
    match = _ID.fullmatch(cells[0])
    if match is None:
        raise DataError(f"{cells[0]!r} is no CoNLL-U word id", file=path, line=line)
    if not _in_order(match, len(sentence.tokens)):
        raise DataError(
            f"id {cells[0]} is out of order after word {len(sentence.tokens)}",
            file=path,
            line=line,
            fix="Ids count the words of a sentence from 1, and a blank line ends a sentence.",
        )
    if match["word"] is None:
        return
    if task and cells[3] not in (task.no_label, *task.labels):
        raise DataError(
            f"unknown tag {cells[3]!r}", file=path, line=line, fix=f"Tags: {', '.join(task.labels)}."
        )
    if not cells[1]:
        raise DataError("an empty word form", file=path, line=line)
    sentence.tokens.append(cells[1])
    sentence.tags.append(cells[3])


def _in_order(match: re.Match[str], words: int) -> bool:
    if match["word"] is not None:
        return int(match["word"]) == words + 1
    if match["node"] is not None:
        return int(match["node"]) == words
    return int(match["start"]) == words + 1 and int(match["stop"]) > words + 1
