"""PAN-X (WikiANN) as published: ``<language>/{train,dev,test}``, lines of ``language:token<TAB>tag``.

Blank lines end sentences. The published files have runs of them (google-research/xtreme issue 16), so a run
is one end. XTREME's public test files carry no tags and are refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from xlprompt.data.errors import DataError
from xlprompt.data.sources.lines import numbered_lines
from xlprompt.data.sources.parts import (
    Candidate,
    Part,
    Recognition,
    known_language,
    language_in_folder,
    split_in_name,
)
from xlprompt.data.sources.rows import Outcome, make_sentence
from xlprompt.data.tasks import TASKS

_TASK = TASKS["ner"]
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
    if not matches and not (folder_language and path.name in ("train", "dev", "test")):
        return None
    if split is None:
        # WikiANN's archives hold a file "extra" that belongs to no split.
        return []
    language = folder_language or known_language(matches[0]["language"], path, 1)
    return [Part(_TASK, language, split, "panx", (path,))]


def read(part: Part) -> Iterator[Outcome]:
    """Read the part's file sentence by sentence."""
    (path,) = part.files
    tokens: list[str] = []
    tags: list[str] = []
    first_line = 0
    damaged = False
    position = 0
    for line, text in _with_end(path):
        if isinstance(text, str) and not text.strip():
            if tokens and not damaged:
                yield _sentence(part, tokens, tags, position, path, first_line)
            position += bool(tokens) or damaged
            tokens, tags, damaged = [], [], False
            continue
        try:
            token, tag = _word(text, part.language, path, line)
            if tag not in part.task.labels:
                raise DataError(
                    f"unknown tag {tag!r}", file=path, line=line, fix=f"Tags: {', '.join(part.task.labels)}."
                )
        except DataError as problem:
            damaged = True
            yield problem
            continue
        first_line = line if not tokens else first_line
        tokens.append(token)
        tags.append(tag)


def _with_end(path: Path) -> Iterator[tuple[int, str | DataError]]:
    yield from numbered_lines(path)
    # The last sentence may lack the blank line that ends it.
    yield 0, ""


def _word(text: str | DataError, language: str, path: Path, line: int) -> tuple[str, str]:
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
    if not colon or prefix != language:
        raise DataError(
            f"the token {cells[0]!r} does not begin with '{language}:'",
            file=path,
            line=line,
            fix="The folder's name and the tokens' language prefix have to agree.",
        )
    if not token:
        raise DataError("an empty token", file=path, line=line, fix="Delete the line.")
    return token, cells[1]


def _sentence(
    part: Part, tokens: list[str], tags: list[str], position: int, path: Path, line: int
) -> Outcome:
    try:
        return make_sentence(part.task, tokens, tags, position=position, row_id=None, file=path, line=line)
    except DataError as problem:
        return problem
