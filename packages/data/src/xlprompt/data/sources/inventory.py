"""What data lie in a folder: every file looked at once, every language and split listed.

Nothing is parsed here beyond a file's first lines (and, for XNLI's files of all languages, the language
column).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from xlprompt.data.errors import DataError
from xlprompt.data.sources.formats import RECOGNIZERS
from xlprompt.data.sources.lines import first_lines
from xlprompt.data.sources.parts import Candidate, Part, Recognition
from xlprompt.data.sources.treebanks import TREEBANKS

_MOST_FILES = 20_000
# A file with one of these names is surely meant as data; others (a README, a licence) are passed over in
# silence.
_DATA_SUFFIXES = (".jsonl", ".jsonl.gz", ".tsv", ".tsv.gz", ".conllu", ".conllu.gz")
_KNOWN_LAYOUTS = (
    "Known files: <task>/<language>.<split>.jsonl, xnli.dev.tsv, multinli_1.0_train.jsonl, "
    "x-final/<language>/test_2k.tsv, PAN-X's <language>/train, <language>_<treebank>-ud-<split>.conllu."
)


@dataclass(frozen=True)
class Inventory:
    """What a folder holds.

    Attributes:
        root: The folder.
        parts: Parts by (task, language, split); more than one where the folder is ambiguous.
        problems: Files that could not be recognized, and languages that are not in the table.
        left_out: Treebanks that are not used because the language has a preferred one, as sentences.
    """

    root: Path
    parts: dict[tuple[str, str, str], list[Part]]
    problems: tuple[DataError, ...]
    left_out: tuple[str, ...]


def take_inventory(folder: Path) -> Inventory:
    """Look through a folder and the folders in it.

    Args:
        folder: Any folder: a benchmark's, several benchmarks' side by side, or one task's.

    Returns:
        What is there. Hidden files and macOS's resource files are passed over.

    Raises:
        DataError: The folder is not there, is a file, or holds so many files that it cannot be meant.
    """
    if not folder.exists():
        raise DataError(
            "there is no such folder", file=folder, fix="Give DATA=<folder> that exists, or DATA=hub."
        )
    if not folder.is_dir():
        raise DataError("this is a file, not a folder", file=folder, fix="Give the folder that it lies in.")
    root = folder.resolve()
    parts: list[Part] = []
    problems: list[DataError] = []
    for path in _files(root):
        try:
            recognition = _recognize(Candidate(path, root, first_lines(path)))
        except DataError as problem:
            problems.append(problem)
            continue
        if recognition is None and path.name.endswith(_DATA_SUFFIXES):
            problems.append(DataError("not a file that this package knows", file=path, fix=_KNOWN_LAYOUTS))
        for part in recognition or ():
            if isinstance(part, DataError):
                problems.append(part)
            else:
                parts.append(part)
    kept, left_out = _choose_treebanks(_join_pieces(_drop_twins(parts)))
    by_key: dict[tuple[str, str, str], list[Part]] = {}
    for part in kept:
        by_key.setdefault(part.key, []).append(part)
    return Inventory(root, by_key, tuple(problems), left_out)


def _files(root: Path) -> Iterator[Path]:
    """Yield files in sorted order, through links to folders, each folder once."""
    seen: set[Path] = set()
    count = 0
    for directory, names, files in os.walk(root, followlinks=True):
        here = Path(directory).resolve()
        if here in seen:
            names.clear()
            continue
        seen.add(here)
        names[:] = sorted(name for name in names if not name.startswith((".", "__MACOSX")))
        for name in sorted(files):
            if name.startswith("."):
                continue
            count += 1
            if count > _MOST_FILES:
                raise DataError(
                    f"more than {_MOST_FILES} files",
                    file=root,
                    fix="Give the folder with the data sets alone.",
                )
            yield Path(directory, name)


def _recognize(candidate: Candidate) -> Recognition:
    for recognize in RECOGNIZERS:
        recognition = recognize(candidate)
        if recognition is not None:
            return recognition
    return None


def _drop_twins(parts: list[Part]) -> list[Part]:
    """Leave out xnli.dev.jsonl where xnli.dev.tsv lies beside it: XNLI-1.0 ships its rows in both forms."""
    tables = {part.files[0] for part in parts if part.format == "xnli-tsv"}
    return [
        part
        for part in parts
        if part.format != "xnli-jsonl" or part.files[0].with_suffix(".tsv") not in tables
    ]


def _join_pieces(parts: list[Part]) -> list[Part]:
    """Make one part of the pieces of a large treebank's split (``train-a``, ``train-b``)."""
    joined: dict[tuple[object, ...], Part] = {}
    for part in parts:
        path = part.files[0]
        is_piece = part.format == "conllu" and not path.name.removesuffix(".gz").endswith(
            ("-train.conllu", "-dev.conllu", "-test.conllu")
        )
        key = (*part.key, part.treebank, path.parent) if is_piece else (path, part.key)
        before = joined.get(key)
        joined[key] = part if before is None else replace(part, files=before.files + part.files)
    return list(joined.values())


def _choose_treebanks(parts: list[Part]) -> tuple[list[Part], tuple[str, ...]]:
    """Keep one treebank a language, the same for all its splits.

    It is the first in the table of treebanks that is there. Where the table names none that is there, all are
    kept, and if they are several, loading them is refused as ambiguous.
    """
    there: dict[str, set[str]] = {}
    for part in parts:
        if part.treebank:
            there.setdefault(part.language, set()).add(part.treebank)
    chosen = {
        language: next((name for name in TREEBANKS.get(language, ()) if name in names), None)
        for language, names in there.items()
    }
    kept = [part for part in parts if not part.treebank or chosen.get(part.language) in (None, part.treebank)]
    left_out = tuple(
        f"pos {language}: {language}_{chosen[language]} is used, "
        f"{', '.join(f'{language}_{name}' for name in sorted(names - {chosen[language]}))} left out"
        for language, names in sorted(there.items())
        if chosen[language] is not None and len(names) > 1
    )
    return kept, left_out
