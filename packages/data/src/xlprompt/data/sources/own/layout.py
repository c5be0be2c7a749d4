"""Which file of an own task's folder is which split and language, by the names of files and folders.

`pl.train.csv`, `train_pl.tsv`, `pl/train.jsonl`, `train/pl.csv`, `hau/train.txt` (MasakhaNER), `eng.testa`
(CoNLL-2003) and `pl/train-00000-of-00002.parquet` (the hub's) are understood. Nothing is read here but heads.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from xlprompt.data.errors import DataError
from xlprompt.data.languages import code_of
from xlprompt.data.sources.parts import SPLIT_WORDS, Candidate, LeftOut, words_of
from xlprompt.data.sources.strangers import is_document, is_word_a_line, lfs_pointer, other_format
from xlprompt.data.splits import Split

_SPLITS: dict[str, Split] = {**SPLIT_WORDS, "testa": "validation", "testb": "test"}  # CoNLL-2003's last two
_TABLES = {".csv": "own-csv", ".tsv": "own-tsv", ".jsonl": "own-jsonl", ".parquet": "own-parquet"}
_COLUMNS = "own-columns"
_OF_COLUMNS = frozenset({".txt", ".conll", ".conll2003", ".iob", ".iob2", ".bio", ".bioes", ".tsv", ""})
_SHARD = re.compile(r"-\d{4,6}-of-\d{4,6}")


@dataclass(frozen=True)
class OwnFile:
    """A file of an own task.

    Attributes:
        path: The file.
        format: Name of a format, a key of `formats.READERS`.
        split: What its name says.
        language: What its name, or its folders', says; None where nothing does.
        is_shard: Whether it is one of several that are a split together.
    """

    path: Path
    format: str
    split: Split
    language: str | None
    is_shard: bool


def place(candidate: Candidate) -> OwnFile | DataError | LeftOut | None:
    """Say what a file is; None for a document such as a README.

    A file whose name names no split is left out: many data come with a map of labels or a list of words.
    """
    path = candidate.path
    if is_document(path):
        return None
    pointer = lfs_pointer(candidate)
    if pointer is not None:
        return pointer
    stem, format_name = _format(candidate)
    if format_name is None:
        problem = other_format(path)
        return problem if problem and _split(stem, candidate) else LeftOut("not taken for data")
    split = _split(stem, candidate)
    if split is None:
        return LeftOut("its name says no split (train, dev or test)")
    if path.name.lower().endswith(".parquet.gz"):
        return DataError("Parquet packed by gzip", file=path, fix="Unpack it: Parquet is packed by itself.")
    return OwnFile(
        path, format_name, split, _language(stem, candidate), _SHARD.search(path.name.lower()) is not None
    )


def _format(candidate: Candidate) -> tuple[str, str | None]:
    """The name without its ending, and the format, if it is one."""
    name = candidate.path.name.lower().removesuffix(".gz")
    suffix = Path(name).suffix
    if suffix.removeprefix(".") in _SPLITS:  # eng.train
        suffix = ""
    stem = _SHARD.sub("", name.removesuffix(suffix))
    words = is_word_a_line(candidate.head) and all(
        " " not in line.split("\t")[0] for line in candidate.head if "\t" in line
    )
    if suffix in _TABLES and not (suffix == ".tsv" and words):
        return stem, _TABLES[suffix]
    surely = suffix not in (".txt", "", ".tsv")
    return stem, _COLUMNS if suffix in _OF_COLUMNS and (surely or words or not candidate.head) else None


def _split(stem: str, candidate: Candidate) -> Split | None:
    found = {_SPLITS[word] for word in words_of(stem) if word in _SPLITS}
    if not found:
        folders = [folder.lower() for folder in reversed(candidate.folders[1:])]
        found = {_SPLITS[name] for name in [each for each in folders if each in _SPLITS][:1]}
    return found.pop() if len(found) == 1 else None


def _language(stem: str, candidate: Candidate) -> str | None:
    """The language that the name says, between dots or as its only other word; or else a folder's name."""
    for part in stem.split("."):
        # dev and val are codes of languages as well, and dev_de one of them in Germany.
        if words_of(part)[0] not in _SPLITS and (code := code_of(part)):
            return code
    words = [word for word in words_of(stem) if word not in _SPLITS and not word.isdigit()]
    if len(words) == 1 and (code := code_of(words[0])):
        return code
    for folder in reversed(candidate.folders[1:]):
        if folder.lower() not in _SPLITS and (code := code_of(folder)):
            return code
    return None
