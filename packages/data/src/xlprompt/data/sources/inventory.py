"""What data lie in a folder: every file looked at once, every language and split listed.

Nothing is parsed here beyond a file's first lines (and, for XNLI's files of all languages, the language
column).
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from xlprompt.data.errors import DataError
from xlprompt.data.how_many import first_of
from xlprompt.data.printable import printable
from xlprompt.data.sources.formats import RECOGNIZERS
from xlprompt.data.sources.formats.conllu import is_piece
from xlprompt.data.sources.lines import first_lines
from xlprompt.data.sources.own.folder import is_own, look_at
from xlprompt.data.sources.own.task_file import TASK_FILE
from xlprompt.data.sources.parts import Candidate, LeftOut, Part, Recognition
from xlprompt.data.sources.strangers import data_suffix, described, is_document, lfs_pointer
from xlprompt.data.tasks.pos import TREEBANKS
from xlprompt.data.tasks.task_type import Task

_MOST_FILES = 20_000
_MOST_NAMED = 20
_SPECIAL = ((stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"), (stat.S_ISCHR, "a device"))


@dataclass(frozen=True)
class Inventory:
    """What a folder holds.

    Attributes:
        root: The folder.
        parts: Parts by (task, language, split); more than one where the folder is ambiguous.
        problems: Files that could not be recognized or opened, and languages that are not in the table.
        left_out: Treebanks that are not used because the language has a preferred one, and files that are
            left out on purpose or do not look like data, as sentences.
        own: The user's own task that the folder is; None where it holds benchmarks.
        is_own: Whether it was taken for an own task, which a problem may keep from being told.
    """

    root: Path
    parts: dict[tuple[str, str, str], list[Part]]
    problems: tuple[DataError, ...]
    left_out: tuple[str, ...]
    own: Task | None = None
    is_own: bool = False

    def known_by_keys(self, task: str) -> list[str]:
        """The JSON Lines that nothing but their keys, or values of labels, call the task's."""
        parts = [part for key, found in self.parts.items() if key[0] == task for part in found]
        files = {part.files[0] for part in parts if part.format == "jsonl" and not _is_named(part)}
        return sorted(printable(file.relative_to(self.root).as_posix()) for file in files)


def take_inventory(folder: Path, own: Task | None = None) -> Inventory:
    """Look through a folder and the folders in it.

    Args:
        folder: Any folder: a benchmark's, several benchmarks' side by side, or a user's own task.
        own: The own task that the folder is known to be. Not given, it is one where it has a `task.yaml`, or
            no benchmark's files but a training file.

    Returns:
        What is there. Hidden files, macOS's resource files and documents (a README) are passed over.

    Raises:
        DataError: The folder is not there, is a file, or holds so many files that it cannot be meant.
    """
    root = _opened(folder)
    if own is not None or (root / TASK_FILE).exists():
        return _own_inventory(root, own)
    parts: list[Part] = []
    problems: list[DataError] = []
    notes: dict[str, list[str]] = {}
    refused: list[Path] = []
    for path in _files(root, problems):
        for found in _look_at(path, root, refused):
            if isinstance(found, DataError):
                problems.append(found)
            elif isinstance(found, LeftOut):
                notes.setdefault(found.reason, []).append(path.relative_to(root).as_posix())
            else:
                parts.append(found)
    parts, displaced = _prefer_named(_drop_twins(parts))
    kept, left_out = _choose_treebanks(_join_pieces(parts), problems)
    if not parts and not refused and is_own(_candidates(root)):
        return _own_inventory(root)
    sentences = (*left_out, *displaced, *_sentences(notes))
    return Inventory(root, _by_key(kept), tuple(problems), sentences)


def _by_key(parts: Iterable[Part]) -> dict[tuple[str, str, str], list[Part]]:
    by_key: dict[tuple[str, str, str], list[Part]] = {}
    for part in parts:
        by_key.setdefault(part.key, []).append(part)
    return by_key


def _own_inventory(root: Path, own: Task | None = None) -> Inventory:
    problems: list[DataError] = []
    found = look_at(root, _candidates(root, problems), own)
    notes: dict[str, list[str]] = {}
    for path, reason in found.left_out:
        notes.setdefault(reason, []).append(path.relative_to(root).as_posix())
    sentences = (*map(printable, found.notes), *_sentences(notes))
    return Inventory(
        root, _by_key(found.parts), (*problems, *found.problems), sentences, found.task, is_own=True
    )


def _candidates(root: Path, problems: list[DataError] | None = None) -> list[Candidate]:
    """The regular files with their first lines; what cannot be looked at goes to the problems."""
    found = []
    problems = [] if problems is None else problems
    for path in _files(root, problems):
        try:
            is_regular = stat.S_ISREG(path.stat().st_mode)
        except OSError as error:
            problems.append(_cannot_be_read(path, error))
            continue
        if is_regular:
            found.append(Candidate(path, root, first_lines(path)))
    return found


def expanded(path: str | Path) -> Path:
    """Return a path with ``~`` replaced; unchanged where there is no such user, so that it is not found."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def _opened(folder: Path) -> Path:
    """Return the folder's full path, or raise a DataError if it is none."""
    try:
        is_folder = stat.S_ISDIR(folder.stat().st_mode)
        root = folder.resolve()
    except (FileNotFoundError, NotADirectoryError, ValueError):
        raise DataError(
            "there is no such folder",
            file=folder,
            fix="Give DATA=<folder> that exists. DATA=mini and DATA=hub need none.",
        ) from None
    except (OSError, RuntimeError) as error:
        raise _cannot_be_read(folder, error) from None
    if not is_folder:
        raise DataError("this is a file, not a folder", file=folder, fix="Give the folder that it lies in.")
    return root


def _cannot_be_read(path: Path, error: Exception) -> DataError:
    reason = getattr(error, "strerror", None) or str(error)
    is_link = isinstance(error, FileNotFoundError) or getattr(error, "errno", None) == errno.ELOOP
    fix = "It is a link that leads to no file: mend or delete it." if is_link else "Check its permissions."
    return DataError(f"cannot be read ({reason})", file=path, fix=fix)


def _look_at(path: Path, root: Path, refused: list[Path]) -> Sequence[Part | DataError | LeftOut]:
    """Say what a file is without reading more than its first lines, and without waiting for a pipe.

    A file that is surely a benchmark's, but not as it should be, goes to `refused` as well.
    """
    try:
        mode = path.stat().st_mode
    except OSError as error:
        return [_cannot_be_read(path, error)]
    if not stat.S_ISREG(mode):
        kind = next((name for is_one, name in _SPECIAL if is_one(mode)), "no file")
        return [LeftOut(f"{kind} is not read")]
    candidate = Candidate(path, root, first_lines(path))
    pointer = lfs_pointer(candidate)
    if pointer is not None:
        return [pointer]
    try:
        recognition = _recognize(candidate)
    except DataError as problem:
        if ".jsonl" not in path.suffixes:  # which anybody's rows may be in
            refused.append(path)
        return [problem]
    if recognition is not None:
        return recognition
    unknown = described(candidate)
    if unknown is not None:
        return [unknown]
    return [] if is_document(path) else [LeftOut("not taken for data")]


def _sentences(notes: dict[str, list[str]]) -> Iterator[str]:
    for reason, names in sorted(notes.items()):
        yield printable(f"left out, {reason}: {first_of(names, _MOST_NAMED)}")


def _files(root: Path, problems: list[DataError]) -> Iterator[Path]:
    """Yield files in sorted order, through links to folders, each folder once."""
    seen: set[Path] = set()
    count = 0

    def cannot_list(error: OSError) -> None:
        problems.append(_cannot_be_read(Path(error.filename), error))

    for directory, names, files in os.walk(root, onerror=cannot_list, followlinks=True):
        here = Path(directory).resolve()
        if here in seen:
            names.clear()
            continue
        seen.add(here)
        names[:] = sorted(name for name in names if not name.startswith((".", "__MACOSX")))
        problems += [
            DataError("a folder with the name of a file", file=Path(directory, name), fix="Rename it.")
            for name in names
            if data_suffix(name)
        ]
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


def _prefer_named(parts: list[Part]) -> tuple[list[Part], list[str]]:
    """Of JSON Lines of one language and split, keep those in a folder that is named after their task.

    What is known by its keys alone, as e-CARE's rows in a folder of their own are XCOPA's in form, is taken
    where nothing else is there, and stands back where something is.
    """
    named = {part.key for part in parts if part.format == "jsonl" and _is_named(part)}
    kept = [part for part in parts if part.key not in named or part.format != "jsonl" or _is_named(part)]
    dropped = [part for part in parts if part not in kept]
    sentences = []
    for part in dropped:
        file = part.files[0]
        sentences.append(
            f"{' '.join(part.key)}: {part.task.name}/ is used, {file.parent.name}/{file.name} left out"
        )
    return kept, sentences


def _is_named(part: Part) -> bool:
    """Tell whether a file's own folder, or that of its languages, is named after its task."""
    folder = part.files[0].parent
    return part.task.name in (folder.name, folder.parent.name)


def _join_pieces(parts: list[Part]) -> list[Part]:
    """Make one part of the pieces of a large treebank's split (``train-a``, ``train-b``)."""
    joined: dict[tuple[object, ...], Part] = {}
    for part in parts:
        path = part.files[0]
        key = (*part.key, part.treebank, path.parent) if is_piece(path) else (path, part.key)
        before = joined.get(key)
        joined[key] = part if before is None else replace(part, files=before.files + part.files)
    return list(joined.values())


def _choose_treebanks(parts: list[Part], problems: list[DataError]) -> tuple[list[Part], tuple[str, ...]]:
    """Keep one treebank a language, the same for all its splits.

    It is the first in the table of treebanks that is there. Where the table names none that is there, all are
    kept, and if they are several, loading them is refused as ambiguous. Several of a language that the table
    does not have are a problem, and none of them is used: a folder of all treebanks has many such languages.
    """
    there: dict[str, set[str]] = {}
    for part in parts:
        if part.treebank:
            there.setdefault(part.language, set()).add(part.treebank)
    chosen = {
        language: next((name for name in TREEBANKS.get(language, ()) if name in names), None)
        for language, names in there.items()
    }
    unclear = {code for code, names in there.items() if len(names) > 1 and code not in TREEBANKS}
    problems += [
        DataError(
            f"several treebanks of {code}, of which none is used",
            file=next(part.files[0] for part in parts if part.treebank and part.language == code),
            fix=f"A score is over one: leave one of {', '.join(sorted(there[code]))} in the folder.",
        )
        for code in sorted(unclear)
    ]
    kept = [
        part
        for part in parts
        if not part.treebank
        or (part.language not in unclear and chosen.get(part.language) in (None, part.treebank))
    ]
    left_out = tuple(
        f"pos {language}: {language}_{chosen[language]} is used, "
        f"{', '.join(f'{language}_{name}' for name in sorted(names - {chosen[language]}))} left out"
        for language, names in sorted(there.items())
        if chosen[language] is not None and len(names) > 1
    )
    return kept, left_out
