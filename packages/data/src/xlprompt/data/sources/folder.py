"""A folder as a source: the benchmarks' own files, or JSON Lines.

Reading stops at the first problem; `xlprompt.data.sources.check` lists them all.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from xlprompt.data.errors import DataError
from xlprompt.data.languages import in_study_order, language
from xlprompt.data.sources.inventory import Inventory, take_inventory
from xlprompt.data.sources.parts import Part
from xlprompt.data.sources.reading import Parts, beside, read
from xlprompt.data.sources.rows import check_limit, to_dataset, usable
from xlprompt.data.splits import check_split
from xlprompt.data.tasks.kinds.kind import Example
from xlprompt.data.tasks.task_type import Task

if TYPE_CHECKING:
    from datasets import Dataset

_log = logging.getLogger(__name__)
_BLOCK = 1 << 20
# Moves when a format's files are read in another way that could move a score, as a task's version does for
# all its formats: since 2, copies with quoting are unquoted and sentences without their words are left out.
_READINGS = {"conllu": " 2", "xnli-tsv": " 2", "xnli-mt": " 2", "pawsx-tsv": " 2"}


class FolderSource:
    """Data in a folder; satisfies `xlprompt.data.sources.Source`."""

    def __init__(self, folder: Path, own: Task | None = None) -> None:
        """Look through the folder.

        Args:
            folder: Any folder that `inventory.take_inventory` understands.
            own: The user's own task that the folder is known to be, if it is.

        Raises:
            DataError: The folder is not there or holds nothing that is understood; or it is an own task, and
                something is wrong with it.
        """
        self.name = folder.as_posix()
        self._inventory: Inventory = take_inventory(folder, own)
        self.own = self._inventory.own
        self.left_out = self._inventory.left_out
        self._loaded: dict[tuple[str, str, str, int | None, bool, str], Dataset] = {}
        problems = self._inventory.problems
        if self._inventory.is_own and problems:
            raise problems[0]
        for sentence in () if self._inventory.is_own else self._inventory.left_out:
            _log.info("%s", sentence)
        if problems:
            _log.info("%d files are not understood, the first: %s", len(problems), problems[0])
        if not self._inventory.parts:
            raise DataError(
                "no benchmark data in this folder",
                file=folder,
                fix=f"First of {len(problems)} problems: {problems[0]}"
                if problems
                else " ".join(
                    (
                        *self._inventory.left_out,
                        "See the README of xlprompt-data for the files that it reads.",
                    )
                ),
            )

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the tasks that are there, by the alphabet."""
        return tuple(sorted({name for name, _, _ in self._inventory.parts}))

    def languages(self, task: Task, split: str) -> tuple[str, ...]:
        """Return the languages that are there, the study's first and in its order."""
        wanted = check_split(split)
        return in_study_order(
            {code for name, code, there in self._inventory.parts if (name, there) == (task.name, wanted)}
        )

    def load(
        self, task: Task, language: str, split: str, limit: int | None = None, *, labeled: bool = True
    ) -> Dataset:
        """Read one language and split.

        Args:
            task: The task.
            language: Language code.
            split: "train", "validation" or "test".
            limit: At most so many rows: a random subset that files of equal length share, in file order.
            labeled: Whether each row needs an answer; else those without have one that means nothing.

        Returns:
            Rows in the columns of `rows.schema`, in memory; asked for again, they are not read again.

        Raises:
            DataError: Missing, ambiguous or malformed data, or a limit below 1.
        """
        check_limit(limit)
        part = replace(self._part(task, language, split), unanswered=not labeled)
        parts = self._inventory.parts
        key = (*part.key, limit, labeled, _fingerprint(part, parts))
        if key not in self._loaded:
            self._loaded[key] = to_dataset(task, _rows(part, parts), limit=limit, fingerprint=key[-1])
        return self._loaded[key]

    def fingerprint(self, task: Task, language: str, split: str) -> str:
        """Return the SHA-256 of the part's files, the task's version and what is read from the files.

        Of a part that is read by another, as rows are that English ones mend, the other's are in it.
        """
        return _fingerprint(self._part(task, language, split), self._inventory.parts)

    def _part(self, task: Task, code: str, split: str) -> Part:
        wanted = check_split(split)
        parts = self._inventory.parts.get((task.name, language(code).code, wanted), [])
        if not parts:
            raise self._missing(task, code, wanted)
        if len(parts) > 1:
            raise ambiguous(parts, self._inventory.root)
        return parts[0]

    def _missing(self, task: Task, code: str, split: str) -> DataError:
        keys = self._inventory.parts
        of_task = {there for name, there, _ in keys if name == task.name}
        splits = sorted({there for name, at, there in keys if (name, at) == (task.name, code)})
        if not of_task:
            message = f"no {task.name} data in this folder"
            fix = f"It has: {', '.join(self.tasks)}."
        elif not splits:
            message = f"no {task.name} data for {code!r} in this folder"
            fix = f"It has: {' '.join(in_study_order(of_task))}."
        else:
            message = f"no {split} split of {task.name} for {code!r} in this folder"
            fix = f"It has: {', '.join(splits)}."
        problems = self._inventory.problems
        if problems:
            fix += f" {len(problems)} of its files were not understood, the first: {problems[0]}"
        return DataError(message, file=self.name, fix=fix)


def ambiguous(parts: list[Part], root: Path) -> DataError:
    """Say that a language and split is there more than once, and where."""
    task, language, split = parts[0].key
    files = ", ".join(path.relative_to(root).as_posix() for part in parts for path in part.files)
    return DataError(
        f"{task} {language} {split} is there {len(parts)} times: {files}",
        file=root,
        fix="Move all but one of them out of the folder.",
    )


def _rows(part: Part, parts: Parts) -> Iterator[Example]:
    """Yield the part's rows; raise at the first problem; refuse an empty part."""
    outcomes, note, is_warning = read(part, parts)
    if note:
        _log.log(logging.WARNING if is_warning else logging.INFO, "%s: %s", " ".join(part.key), note)
    rows = usable(outcomes, file=part.files[0], language=part.language)
    is_empty = True
    for row in rows:
        is_empty = False
        yield row
    if is_empty:
        raise empty(part)


def empty(part: Part) -> DataError:
    """Say that a part holds no usable row."""
    path = part.files[0]
    if path.exists() and not path.stat().st_size:
        return DataError("the file is empty", file=path, fix="Get it again.")
    task, language, split = part.key
    if part.cut:
        return DataError(
            f"no {split} rows are left for {language}, as there is no development set and one training row "
            "of a label in ten is kept for it",
            file=path,
            fix="Add training rows, or a development set.",
        )
    return DataError(f"no usable {task} rows for {language} {split}", file=path, fix="Get the file again.")


def _fingerprint(part: Part, parts: Parts) -> str:
    others = [_part_fingerprint(other) for other in beside(part, parts)]
    own = _part_fingerprint(part)
    return hashlib.sha256(" ".join([own, *others]).encode()).hexdigest() if others else own


def _part_fingerprint(part: Part) -> str:
    # The key and the format are in it because one XNLI file holds all languages.
    reading = _READINGS.get(part.format, "")
    if part.format.startswith("own-"):  # what is read from the files is not fixed by a bundled task
        task, cut = part.task, part.cut
        if cut and task.kind.labeled and not task.kind.by_word:
            cut += " by label"  # others are cut as they were
        reading += f" {[task.fields, task.labels, task.kind.name, part.language_column, cut]}"
    digest = hashlib.sha256(f"{part.key} {part.format}{reading} version {part.task.version}".encode())
    for path in part.files:
        try:
            status = path.stat()
            digest.update(_file_digest(path, status.st_size, status.st_mtime_ns).encode())
        except OSError as error:
            raise DataError(
                f"cannot be read ({error.strerror})",
                file=path,
                fix="Check that it exists and its permissions.",
            ) from None
    return digest.hexdigest()


@lru_cache(maxsize=4096)
def _file_digest(path: Path, size: int, modified: int) -> str:
    """Return the SHA-256 of a file; size and time of change are there to key the cache."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
