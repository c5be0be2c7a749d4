"""PAN-X (WikiANN) as published: ``<language>/{train,dev,test}``, lines of ``language:token<TAB>tag``.

Blank lines end sentences. The published files have runs of them (google-research/xtreme issue 16), so a run
is one end. XTREME's public test files carry no tags and are refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

from xlprompt.data.errors import DataError
from xlprompt.data.sources.lines import numbered_lines
from xlprompt.data.sources.parts import (
    SPLIT_WORDS,
    Candidate,
    LeftOut,
    Part,
    Recognition,
    known_language,
    language_in_folder,
    split_in_name,
)
from xlprompt.data.sources.rows import Outcome, outcome
from xlprompt.data.tasks.ner import NER
from xlprompt.data.tasks.task_type import Place, Task

_LINE = re.compile(r"(?P<language>[a-z]{2,3}(-[a-z-]+)?):.*\t[BIO](-[A-Z]+)?")
_SUFFIXES = frozenset({"", ".txt", ".tsv", ".gz"})


def recognize(candidate: Candidate) -> Recognition:
    """Return the part that a file is, or None if it is not of this format.

    The first lines tell; a file called ``train``, ``dev`` or ``test`` in a folder named after a language is
    of this format whatever it holds.

    Raises:
        DataError: A file of this format in a language that is not in the table.
    """
    path = candidate.path
    if path.suffix not in _SUFFIXES:
        return None
    folder_language = language_in_folder(candidate.folders)
    split = split_in_name(path.name)
    matches = [match for match in map(_LINE.fullmatch, candidate.head) if match]
    if not matches and not (folder_language and path.name in SPLIT_WORDS):
        return None
    if split is None:
        return [LeftOut("belongs to no split, as WikiANN's 'extra'")]
    language = folder_language or known_language(matches[0]["language"], path, 1)
    return [Part(NER, language, split, "panx", (path,))]


def read(part: Part) -> Iterator[Outcome]:
    """Read the part's file sentence by sentence."""
    (path,) = part.files
    yield from sentences(part.task, part.language, numbered_lines(path), path)


def holds(head: Sequence[str]) -> bool:
    """Tell from a file's first lines whether it is of this format."""
    return any(map(_LINE.fullmatch, head))


def sentences(
    task: Task,
    language: str,
    lines: Iterable[tuple[int, str | DataError]],
    path: Path,
    *,
    labeled: bool = True,
) -> Iterator[Outcome]:
    """Make sentences of lines; without labels, the tags are not looked at and the language may be any."""
    tokens: list[str] = []
    tags: list[str] = []
    first_line = 0
    damaged = False
    position = 0
    # The last sentence may lack the blank line that ends it.
    for line, text in chain(lines, [(0, "")]):
        if isinstance(text, str) and not text.strip():
            if tokens and not damaged:
                parts = dict(zip(task.fields, (tokens, tags), strict=True))
                yield outcome(task, parts, Place(position, path, first_line, labeled=labeled))
            position += bool(tokens) or damaged
            tokens, tags, damaged = [], [], False
            continue
        try:
            token, tag = _word(text, language if labeled else None, path, line)
            if labeled and tag not in task.labels:
                raise DataError(
                    f"unknown tag {tag!r}", file=path, line=line, fix=f"Tags: {', '.join(task.labels)}."
                )
        except DataError as problem:
            damaged = True
            yield problem
            continue
        first_line = line if not tokens else first_line
        tokens.append(token)
        tags.append(tag)


def _word(text: str | DataError, language: str | None, path: Path, line: int) -> tuple[str, str]:
    if isinstance(text, DataError):
        raise text
    cells = text.split("\t")
    if len(cells) != 2:
        raise DataError(
            "no tab between token and tag" if len(cells) == 1 else f"{len(cells)} columns instead of 2",
            file=path,
            line=line,
            fix="Lines are <language>:<token><TAB><tag>; XTREME's test files without tags cannot be used.",
        )
    prefix, colon, token = cells[0].partition(":")
    if not colon or prefix != (language or prefix):
        raise DataError(
            f"the token {cells[0]!r} does not begin with '{language or '<language>'}:'",
            file=path,
            line=line,
            fix="The folder's name and the tokens' language prefix have to agree.",
        )
    if not token:
        raise DataError("an empty token", file=path, line=line, fix="Delete the line.")
    return token, cells[1]
