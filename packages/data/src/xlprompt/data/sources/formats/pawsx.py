"""PAWS-X as published: ``x-final/<language>/{train,translated_train,dev_2k,test_2k}.tsv``."""

from __future__ import annotations

import re
from collections.abc import Iterator

from xlprompt.data.errors import DataError
from xlprompt.data.sources.formats.jsonl import own_id
from xlprompt.data.sources.formats.tsv import records
from xlprompt.data.sources.parts import Candidate, Part, Recognition, language_in_folder, split_in_name
from xlprompt.data.sources.rows import Outcome, outcome
from xlprompt.data.tasks.pawsx import PAWSX
from xlprompt.data.tasks.task_type import Place

_COLUMNS = ("id", *PAWSX.fields)
_NAME = re.compile(r"(translated_train|dev_2k|test_2k)[.]tsv([.]gz)?")


def recognize(candidate: Candidate) -> Recognition:
    """Return the part that a file is, or None if it is not of this format.

    Raises:
        DataError: A file of this format whose language or split cannot be told.
    """
    path = candidate.path
    if not set(_COLUMNS) <= set(candidate.columns) and not _NAME.fullmatch(path.name):
        return None
    language = language_in_folder(candidate.folders)
    if language is None:
        raise DataError(
            f"cannot tell the language of this PAWS-X file: {candidate.folders[-1]!r} is no language code",
            file=path,
            fix="Put it into a folder named after its language, as in x-final/de/.",
        )
    split = split_in_name(path.name)
    if split is None:
        raise DataError(
            "cannot tell the split of this PAWS-X file",
            file=path,
            fix="Name it as published: train.tsv, translated_train.tsv, dev_2k.tsv or test_2k.tsv.",
        )
    return [Part(PAWSX, language, split, "pawsx-tsv", (path,))]


def read(part: Part) -> Iterator[Outcome]:
    """Read the part's file row by row."""
    (path,) = part.files
    for position, (line, record) in enumerate(records(path, _COLUMNS)):
        yield outcome(part.task, record, Place(position, path, line, own_id(record)))
