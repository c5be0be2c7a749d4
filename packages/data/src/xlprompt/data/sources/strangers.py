"""What is said of a file that no format takes: what it looks like, and how to give it so that it is read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from xlprompt.data.errors import DataError
from xlprompt.data.sources.parts import SPLIT_WORDS, Candidate
from xlprompt.data.sources.quoting import unquoted

JSON_LINES = "Give JSON Lines: <task>/<language>.<split>.jsonl."
_LAYOUTS = (
    "Known files: <task>/<language>.<split>.jsonl, xnli.dev.tsv, multinli_1.0_train.jsonl, "
    "x-final/<language>/test_2k.tsv, PAN-X's <language>/train, <language>_<treebank>-ud-<split>.conllu, "
    "SIB-200's eng_Latn/train.tsv, XCOPA's test.<language>.jsonl, copa-dev.xml, xquad.<language>.json, "
    "dev-v1.1.json."
)
# Files that lie beside every published data set and hold no rows.
_DOCUMENTS = re.compile(
    r"(readme|licen[cs]e|copying|contributing|changelog|citation|authors|sources|notice)\b.*|.*\.(md|rst|pdf|bib|html)"
)
_TABLES = {
    ".csv": "CSV",
    ".parquet": "Parquet",
    ".arrow": "Arrow",
    ".feather": "Arrow",
    ".json": "JSON that is not in lines",
    ".xlsx": "a spreadsheet",
    ".xls": "a spreadsheet",
    ".ods": "a spreadsheet",
    ".pkl": "a pickle",
    ".pickle": "a pickle",
    ".xml": "XML",
}
_OF_OWN_TASKS = (".csv", ".parquet")
_SIDE_FILES = frozenset(
    {"stats.xml", "dataset_info.json", "dataset_infos.json", "state.json", "dataset_dict.json"}
)
_PACKED = (".zip", ".tar", ".tgz", ".7z", ".rar", ".bz2", ".xz", ".zst", ".lz4")
_LFS_POINTER = "version https://git-lfs.github.com/spec/"
# The last column of files with a word a line: a tag of spans, or a part of speech in capitals.
_TAG = re.compile(r"O|[BIESLU]-\S+|[A-Z]{1,5}")
_HEADS = frozenset({"label", "labels", "class", "topic", "tag", "tags"})  # what such a column is called


def data_suffix(name: str) -> str:
    """Return the ending of a file that is surely meant as data (.jsonl, .tsv, .conllu), or nothing."""
    suffix = Path(name.lower().removesuffix(".gz")).suffix
    return suffix if suffix in (".jsonl", ".tsv", ".conllu") else ""


def lfs_pointer(candidate: Candidate) -> DataError | None:
    """Return what is wrong with a file that only says where the data are."""
    if not candidate.head or not candidate.head[0].startswith(_LFS_POINTER):
        return None
    return DataError(
        "a Git LFS pointer and not the file itself", file=candidate.path, fix="Fetch it: git lfs pull."
    )


def other_format(path: Path) -> DataError | None:
    """Return what is wrong with a file whose name says that it is a table or an archive of another kind."""
    name = path.name.lower()
    if name.removesuffix(".gz").endswith(_PACKED):
        return DataError("an archive, or packed other than by gzip", file=path, fix="Unpack it.")
    ending = Path(name.removesuffix(".gz")).suffix
    kind = _TABLES.get(ending)
    if kind is None or name in _SIDE_FILES:
        return None
    fix = JSON_LINES
    if ending in _OF_OWN_TASKS:
        fix += f" In a task of your own it is, beside a training set <language>.train{ending}; none is here."
    return DataError(f"{kind} is not read", file=path, fix=fix)


def is_word_a_line(head: Sequence[str]) -> bool:
    """Tell whether a file's first lines hold a word and its tag each, as CoNLL-2003's and MasakhaNER's do."""
    rows = [line.split() for line in head]
    if not rows or rows[0][-1].lower() in _HEADS:
        return False
    return rows[0][0] == "-DOCSTART-" or all(len(row) > 1 and _TAG.fullmatch(row[-1]) for row in rows)


def is_document(path: Path) -> bool:
    """Tell by its name whether a file is a readme, a licence and the like."""
    return _DOCUMENTS.fullmatch(path.name.lower()) is not None


def described(candidate: Candidate) -> DataError | None:
    """Say what is not understood about a file, or return None for one that does not look like data."""
    path = candidate.path
    found = other_format(path)
    if found is not None:
        return found
    suffix = data_suffix(path.name)
    if suffix == ".jsonl":
        return DataError(
            "not a file that this package knows: its name does not say language and split",
            file=path,
            fix=f"Name it <task>/<language>.<split>.jsonl; a split is called {', '.join(SPLIT_WORDS)}.",
        )
    if suffix == ".tsv" and not is_word_a_line(candidate.head):
        there = ", ".join(map(unquoted, candidate.columns)) or "none"
        return DataError(
            f"not a file that this package knows: its columns ({there[:200]}) are no benchmark's",
            file=path,
            fix=_LAYOUTS,
        )
    if is_word_a_line(candidate.head):
        return DataError(
            "one word and its tag a line, but nothing says which task and language",
            file=path,
            fix=f"{JSON_LINES} Or lines of <language>:<word><TAB><tag>, as PAN-X, in a folder <language>.",
        )
    return None
