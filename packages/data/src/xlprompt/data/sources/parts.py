"""What one language and split of a task is made of: a format and its files.

This is the small vocabulary that recognition (`inventory`), the formats and the folder source share.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from xlprompt.data.errors import DataError
from xlprompt.data.languages import LANGUAGES, code_of, language
from xlprompt.data.sources.quoting import unquoted
from xlprompt.data.splits import Split
from xlprompt.data.tasks import BUNDLED
from xlprompt.data.tasks.task_type import Task

SPLIT_WORDS: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "dev": "validation",
    "devel": "validation",
    "development": "validation",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}
"""What file names call the splits, in every format."""
SPLIT_PATTERN = "|".join(SPLIT_WORDS)
"""The same as a part of a regular expression that matches a whole name."""


@dataclass(frozen=True)
class Part:
    """Files that hold one task, language and split.

    Attributes:
        task: The task.
        language: Language code.
        split: "train", "validation" or "test".
        format: Name of a format, a key of `formats.READERS`.
        files: The files, in reading order. Only CoNLL-U has more than one.
        treebank: UD treebank, such as "ewt"; empty for other formats.
        language_column: Of an own task's file of several languages the column that tells them; else empty.
        cut: Which of an own task's training rows it is of where they give a development set: "train" or
            "validation"; empty for all.
        numbered: Whether the user gave an own task's labels in an order, so that numbers can be places in it.
        unanswered: Whether rows without an answer count too, as for what reads their texts alone.
    """

    task: Task
    language: str
    split: Split
    format: str
    files: tuple[Path, ...]
    treebank: str = ""
    language_column: str = ""
    cut: str = ""
    numbered: bool = False
    unanswered: bool = False

    @property
    def key(self) -> tuple[str, str, str]:
        """Task, language and split by name."""
        return self.task.name, self.language, self.split


@dataclass(frozen=True)
class Candidate:
    """A file that may be data: where it is, and its first non-blank lines.

    Attributes:
        path: The file.
        root: The folder that the user named.
        head: First non-blank lines; empty if there are none or the file is unreadable.
    """

    path: Path
    root: Path
    head: tuple[str, ...]

    @property
    def folders(self) -> tuple[str, ...]:
        """Names of the folders from the root to the file, the root's own included."""
        return (self.root.name, *self.path.parent.relative_to(self.root).parts)

    @property
    def columns(self) -> tuple[str, ...]:
        """Cells of the first line, taken as a tab-separated header."""
        return tuple(map(unquoted, self.head[0].split("\t"))) if self.head else ()


class LeftOut(NamedTuple):
    """A file that is known and left out on purpose, and why."""

    reason: str


Recognition = Sequence[Part | DataError | LeftOut] | None
"""What a format says of a file: not mine (None), or the parts in it, what is wrong with others, and why it is
left out."""


def split_in_name(name: str) -> Split | None:
    """Find the one split that a file name speaks of, as in ``dev_2k.tsv`` or ``multinli.train.en.tsv``."""
    found = {SPLIT_WORDS[word] for word in words_of(name) if word in SPLIT_WORDS}
    return found.pop() if len(found) == 1 else None


def words_of(name: str) -> list[str]:
    """Split a file name at its dots, underscores and hyphens."""
    return re.split(r"[._-]", name.lower())


def language_in_folder(folders: Sequence[str]) -> str | None:
    """Find the language that a file's own folder is named after, as in ``en``, ``pt-BR`` or ``wikiann-en``.

    Of languages outside the table only codes of two letters, or of three with a script or right in a task's
    folder: ``pos`` and ``ner`` are codes, too. ``en-de`` may be either language, and is none.
    """
    name = folders[-1]
    first, *others = words_of(name)
    last = others[-1] if others else first
    whole = None if name.lower() == "all" else code_of(name)
    if whole is not None and (
        len(first) == 2 or len(last) == 4 or not BUNDLED.keys().isdisjoint(folders[-2:-1])
    ):
        is_pair = bool(others) and last in LANGUAGES and name.endswith(last)
        return None if is_pair else whole
    return last if last in LANGUAGES or (len(last) == 2 and code_of(last) == last) else None


def known_language(code: str, file: Path, line: int | None = None) -> str:
    """Return the code, or raise a DataError that names the file if the language is not in the table."""
    try:
        return language(code).code
    except DataError as error:
        raise DataError(error.message, file=file, line=line, fix=error.fix) from None
