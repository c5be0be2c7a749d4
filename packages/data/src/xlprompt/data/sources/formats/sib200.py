"""SIB-200 as published: ``data/annotated/<FLORES code>/{train,dev,test}.tsv``.

pandas wrote the files, so a text with quotation marks stands in quotation marks, each of its own doubled.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from xlprompt.data.errors import DataError
from xlprompt.data.languages import usual_script
from xlprompt.data.sources.formats.jsonl import own_id
from xlprompt.data.sources.formats.tsv import records
from xlprompt.data.sources.parts import (
    Candidate,
    LeftOut,
    Part,
    Recognition,
    language_in_folder,
    split_in_name,
)
from xlprompt.data.sources.rows import Outcome, outcome
from xlprompt.data.tasks.sib200 import FLORES, SIB200
from xlprompt.data.tasks.task_type import Place

_NAMES = ("text", "category")
_COLUMNS = ("index_id", *_NAMES)
_LANGUAGES = {code: language for language, code in FLORES.items()}


def recognize(candidate: Candidate) -> Recognition:
    """Return the part that a file is, or None if it is not of this format.

    Raises:
        DataError: A file of this format whose split cannot be told.
    """
    path = candidate.path
    if not set(_COLUMNS) <= set(candidate.columns):
        return None
    language = _LANGUAGES.get(candidate.folders[-1]) or _in_its_script(candidate.folders)
    if language is None:
        return [
            LeftOut("SIB-200 in a language, or in a script of one, that is not in the table of languages")
        ]
    split = split_in_name(path.name)
    if split is None:
        raise DataError(
            "cannot tell the split of this SIB-200 file",
            file=path,
            fix="Name it as published: train.tsv, dev.tsv or test.tsv.",
        )
    return [Part(SIB200, language, split, "sib200-tsv", (path,))]


def _in_its_script(folders: Sequence[str]) -> str | None:
    """The language of a folder such as ``pol_Latn``; None of one in another script than is usual."""
    language = language_in_folder(folders)
    script = folders[-1].partition("_")[2]
    return None if language and len(script) == 4 and script != usual_script(language) else language


def read(part: Part) -> Iterator[Outcome]:
    """Read the part's file row by row."""
    (path,) = part.files
    for position, (line, record) in enumerate(records(path, _COLUMNS)):
        yield outcome(part.task, record, Place(position, path, line, own_id(record, "index_id")), _NAMES)
