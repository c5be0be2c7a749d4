"""What one language and split of a task is made of: a format and its files.

This is the small vocabulary that recognition (`inventory`), the formats and the folder source share.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from xlprompt.data.errors import DataError
from xlprompt.data.languages import LANGUAGES, language
from xlprompt.data.tasks import Task

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)

SPLIT_WORDS: dict[str, Split] = {
    "train": "train",
    "dev": "validation",
    "validation": "validation",
    "test": "test",
}
"""What file names call the splits."""


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
    """

    task: Task
    language: str
    split: Split
    format: str
    files: tuple[Path, ...]
    treebank: str = ""

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
        return tuple(self.head[0].split("\t")) if self.head else ()


Recognition = list[Part | DataError] | None
"""What a format says of a file: not mine (None), or the parts in it and what is wrong with others. A file
that a format knows and leaves alone on purpose has no parts."""


def split_in_name(name: str) -> Split | None:
    """Find the one split that a file name speaks of, as in ``dev_2k.tsv`` or ``multinli.train.en.tsv``."""
    found = {SPLIT_WORDS[word] for word in re.split(r"[._-]", name.lower()) if word in SPLIT_WORDS}
    return found.pop() if len(found) == 1 else None


def language_in_folder(folders: Sequence[str]) -> str | None:
    """Find the language that a file's own folder is named after, as in ``en`` or ``wikiann-en``."""
    words = re.split(r"[._-]", folders[-1])
    return words[-1] if words[-1] in LANGUAGES else None


def check_split(split: str) -> Split:
    """Return the split, or raise a DataError if there is no such split."""
    for known in SPLITS:
        if split == known:
            return known
    raise DataError(f"unknown split {split!r}", fix=f"Splits: {', '.join(SPLITS)}.")


def known_language(code: str, file: Path, line: int | None = None) -> str:
    """Return the code, or raise a DataError that names the file if the language is not in the table."""
    try:
        return language(code).code
    except DataError as error:
        raise DataError(error.message, file=file, line=line, fix=error.fix) from None
