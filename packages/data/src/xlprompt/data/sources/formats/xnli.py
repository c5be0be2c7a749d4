"""XNLI and MultiNLI as published.

- XNLI-1.0: ``xnli.dev.tsv`` and ``xnli.test.tsv`` (or ``.jsonl``), all languages in one file.
- MultiNLI: ``multinli_1.0_train.jsonl``, English training text.
- XNLI-MT-1.0: ``multinli.train.<language>.tsv``, MultiNLI's training text and its machine translations.

Left out: MultiNLI's own development sets, which are no part of XNLI; XNLI-MT's ``xnli.test.<language>``,
which are translations into English; MultiNLI's ``.txt``, which the ``.jsonl`` beside it repeats.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from xlprompt.data.errors import DataError
from xlprompt.data.sources.formats import jsonl
from xlprompt.data.sources.formats.tsv import records
from xlprompt.data.sources.lines import open_binary, raw_lines
from xlprompt.data.sources.parts import (
    SPLIT_PATTERN,
    Candidate,
    LeftOut,
    Part,
    Recognition,
    known_language,
    split_in_name,
)
from xlprompt.data.sources.rows import Outcome, outcome
from xlprompt.data.tasks.rules import Skipped
from xlprompt.data.tasks.task_type import Place
from xlprompt.data.tasks.xnli import XNLI

_TEXTS = ("sentence1", "sentence2")
_COLUMNS = ("language", "gold_label", *_TEXTS)
_MT_TEXTS = ("premise", "hypo")
_MT_COLUMNS = (*_MT_TEXTS, "label")
_NAME = re.compile(rf"xnli[.]({SPLIT_PATTERN})[.](tsv|jsonl)([.]gz)?")
_TRANSLATE_TEST_NAME = re.compile(rf"xnli[.]({SPLIT_PATTERN})[.][a-z]{{2}}[.](tsv|jsonl)([.]gz)?")
_MT_NAME = re.compile(r"multinli\.train\.(?P<language>[a-z-]+)\.tsv(\.gz)?")
_JSON_LANGUAGE = re.compile(rb'"language"\s*:\s*"([^"]*)"')


def recognize(candidate: Candidate) -> Recognition:
    """Return the parts that a file holds, or None if it is not of these formats.

    Raises:
        DataError: A file of these formats whose split or language cannot be told or is unknown.
    """
    path = candidate.path
    is_json = ".jsonl" in path.suffixes
    columns = set(jsonl.first_record(candidate)) if is_json else set(candidate.columns)
    if _TRANSLATE_TEST_NAME.fullmatch(path.name):
        return _translate_test(path, columns)
    if is_json:
        return _recognize_jsonl(candidate, columns)
    if set(_COLUMNS) <= columns or _NAME.fullmatch(path.name):
        return _all_languages(candidate, "xnli-tsv")
    if {"gold_label", "genre", *_TEXTS} <= columns:
        return [LeftOut("MultiNLI in its text form, or a development set of it, which is no part of XNLI")]
    if candidate.columns == _MT_COLUMNS or _MT_NAME.fullmatch(path.name):
        match = _MT_NAME.fullmatch(path.name)
        if match is None:
            raise DataError(
                "cannot tell the language of this XNLI-MT file",
                file=path,
                fix="Name it as published: multinli.train.<language>.tsv.",
            )
        return [Part(XNLI, known_language(match["language"], path), "train", "xnli-mt", (path,))]
    return None


def _translate_test(path: Path, columns: set[str]) -> Recognition:
    """XNLI-MT's translations into English; KorNLI's Korean files have the same names and fewer columns."""
    if columns and not {"language", _MT_TEXTS[0]} & columns:
        raise DataError(
            f"has no column 'language' (it has: {', '.join(sorted(columns))[:200]}), and by its name alone "
            "it could be XNLI-MT's translation into English",
            file=path,
            fix="Give it as JSON Lines: xnli/<language>.<split>.jsonl.",
        )
    return [LeftOut("XNLI-MT's translation of a test set into English, by its name")]


def _recognize_jsonl(candidate: Candidate, keys: set[str]) -> Recognition:
    path = candidate.path
    if set(_COLUMNS) <= keys or _NAME.fullmatch(path.name):
        return _all_languages(candidate, "xnli-jsonl")
    is_multinli = {"gold_label", "genre", *_TEXTS} <= keys or path.name.startswith("multinli_")
    if not is_multinli:
        return None
    if split_in_name(path.name) == "train":
        return [Part(XNLI, "en", "train", "multinli-jsonl", (path,))]
    return [LeftOut("MultiNLI's development set, which is no part of XNLI")]


def _all_languages(candidate: Candidate, format_name: str) -> list[Part | DataError]:
    path = candidate.path
    split = split_in_name(path.name)
    if split is None:
        raise DataError(
            "cannot tell the split of this XNLI file",
            file=path,
            fix="Name it xnli.dev.tsv or xnli.test.tsv.",
        )
    parts: list[Part | DataError] = []
    for code, line in _languages_in(path, format_name).items():
        try:
            parts.append(Part(XNLI, known_language(code, path, line), split, format_name, (path,)))
        except DataError as problem:
            parts.append(problem)
    # In a file that is empty or lacks its columns, each language's reader meets the problem and reports it.
    return parts or [Part(XNLI, code, split, format_name, (path,)) for code in XNLI.languages]


def _languages_in(path: Path, format_name: str) -> dict[str, int]:
    """Return the languages of a file with the line where each first occurs."""
    found: dict[str, int] = {}
    if format_name == "xnli-tsv":
        for line, record in records(path, ("language",)):
            if not isinstance(record, DataError) and record["language"]:
                found.setdefault(record["language"], line)
        return found
    try:
        with open_binary(path) as file:
            for line, raw in enumerate(raw_lines(file), start=1):
                match = _JSON_LANGUAGE.search(raw)
                if match and match[1]:
                    found.setdefault(match[1].decode("utf-8", "replace"), line)
    except (OSError, EOFError, zlib.error):
        # The reader meets the same error and reports it with its line.
        return found
    return found


def read_tsv(part: Part) -> Iterator[Outcome]:
    """Read one language of ``xnli.dev.tsv`` or ``xnli.test.tsv``."""
    return _of_language(part, records(part.files[0], _COLUMNS))


def read_jsonl(part: Part) -> Iterator[Outcome]:
    """Read one language of ``xnli.dev.jsonl`` or ``xnli.test.jsonl``."""
    return _of_language(part, jsonl.records(part.files[0]))


def read_multinli(part: Part) -> Iterator[Outcome]:
    """Read ``multinli_1.0_train.jsonl``."""
    for position, (line, record) in enumerate(jsonl.records(part.files[0])):
        yield _row(part, record, position, line)


def read_machine_translation(part: Part) -> Iterator[Outcome]:
    """Read ``multinli.train.<language>.tsv``; rows whose translation is blank are skipped."""
    for position, (line, record) in enumerate(records(part.files[0], _MT_COLUMNS)):
        if not isinstance(record, DataError) and not all(record[name].strip() for name in _MT_TEXTS):
            yield Skipped("blank translation")
        else:
            yield _row(part, record, position, line, _MT_COLUMNS)


def _of_language(part: Part, rows: Iterable[tuple[int, Mapping[str, Any] | DataError]]) -> Iterator[Outcome]:
    position = -1
    for line, record in rows:
        if isinstance(record, DataError) or "language" not in record:
            yield _row(part, record, position, line, ("language",))
        elif record["language"] == part.language:
            position += 1
            yield _row(part, record, position, line)


def _row(
    part: Part,
    record: Mapping[str, Any] | DataError,
    position: int,
    line: int,
    names: tuple[str, ...] = (*_TEXTS, "gold_label"),
) -> Outcome:
    place = Place(position, part.files[0], line, jsonl.own_id(record, "pairID"))
    return outcome(part.task, record, place, names)
