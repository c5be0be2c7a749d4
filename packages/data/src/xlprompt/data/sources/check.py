"""A look through a data folder before anything is trained: what is there, and everything wrong with it.

Loading stops at the first problem; this goes on, so a user can mend a folder in one go.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

from xlprompt.data.errors import DataError
from xlprompt.data.how_many import first_of, how_many
from xlprompt.data.languages import in_study_order
from xlprompt.data.printable import printable
from xlprompt.data.sources import NAMED
from xlprompt.data.sources.folder import ambiguous, empty
from xlprompt.data.sources.inventory import Inventory, expanded, take_inventory
from xlprompt.data.sources.own.task_file import TASK_FILE
from xlprompt.data.sources.parts import Part
from xlprompt.data.sources.quoting import has_doubled_marks
from xlprompt.data.sources.reading import read, texts_alone
from xlprompt.data.splits import SPLITS
from xlprompt.data.tasks import TASKS
from xlprompt.data.tasks.absent_labels import absent_labels, has_one_label
from xlprompt.data.tasks.rules import Skipped, withheld

_WITHOUT = {
    "train": "no training set in any language; runs can be scored on it, and none trained",
    "validation": "no development set in any language; a run needs that of the language it trains on",
    "test": "no test set in any language; a run would have nothing to be scored on",
}
_UNLABELLED = "no labels; it serves alignment alone"

MOST_PROBLEMS_A_FILE = 20
_MOST_NAMED = 5
"""Further problems of a file are counted, not listed."""


@dataclass(frozen=True)
class Found:
    """One task, language and split that is there.

    Attributes:
        task: Task name.
        language: Language code.
        split: "train", "validation" or "test".
        format: What kind of file it is.
        count: Usable rows.
        files: Files, relative to the folder.
        skipped: Rows left out on purpose, by reason; they are no problems.
    """

    task: str
    language: str
    split: str
    format: str
    count: int
    files: tuple[str, ...]
    skipped: dict[str, int]


@dataclass(frozen=True)
class Problem:
    """Something that has to be mended before the file can be used.

    Attributes:
        file: File, relative to the folder; "." is the folder itself.
        line: Line, from 1; None where there is none.
        message: What is wrong.
        fix: What to do; may be empty.
    """

    file: str
    line: int | None
    message: str
    fix: str


@dataclass(frozen=True)
class FolderReport:
    """What `check_folder` saw.

    Attributes:
        folder: The folder as it was given.
        found: What is there, by task, then language in the study's order, then split.
        problems: Everything wrong, by file and line.
        warnings: What a user should know but need not mend, as sentences.
    """

    folder: str
    found: list[Found]
    problems: list[Problem]
    warnings: list[str]

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain dictionaries and lists, for JSON."""
        return asdict(self)


@dataclass
class _Problems:
    """Problems so far, each once, bounded a file."""

    root: Path
    listed: list[Problem] = field(default_factory=list)
    seen: set[tuple[str, int | None, str]] = field(default_factory=set)
    by_file: Counter[str] = field(default_factory=Counter)

    def add(self, error: DataError) -> None:
        file = _relative(Path(error.file or self.root), self.root)
        key = (file, error.line, error.message)
        # One XNLI file is read once a language, and meets a damaged line each time.
        if key in self.seen:
            return
        self.seen.add(key)
        self.by_file[file] += 1
        if self.by_file[file] <= MOST_PROBLEMS_A_FILE:
            self.listed.append(Problem(file, error.line, error.message, error.fix or ""))

    def finish(self) -> list[Problem]:
        more = [
            Problem(
                file,
                None,
                how_many(count - MOST_PROBLEMS_A_FILE, "further problem"),
                "Mend those listed first.",
            )
            for file, count in self.by_file.items()
            if count > MOST_PROBLEMS_A_FILE
        ]
        # Without a line (the note on further ones) a problem comes last in its file.
        return sorted(
            [*self.listed, *more],
            key=lambda problem: (problem.file, problem.line is None, problem.line or 0),
        )


def check_folder(path: str | Path) -> FolderReport:
    """Read everything in a data folder and report on it.

    Args:
        path: Any folder that a source can be opened on.

    Returns:
        What was found and all problems. A folder in which nothing was found has a problem that says so.

    Raises:
        DataError: There is no such folder, or it is no folder.
    """
    folder = expanded(path)
    if folder.as_posix() in NAMED and not folder.exists():
        raise DataError(
            f"{folder} is a source that comes without a folder, and there is none of this name to check",
            fix=f"`xlprompt data show {folder}` prints examples of it.",
        )
    inventory = take_inventory(folder)
    problems = _Problems(inventory.root)
    for problem in inventory.problems:
        problems.add(problem)
    if not inventory.parts and not inventory.problems:
        problems.add(DataError("no benchmark data in this folder", file=inventory.root))
    found: list[Found] = []
    warnings = list(inventory.left_out)
    for task in TASKS:
        of_other_parts: dict[str, list[str]] = {}
        labelled: set[str] = set()
        codes = {code for name, code, _ in inventory.parts if name == task}
        for code in in_study_order(codes):
            texts: dict[str, Counter[bytes]] = {}
            for split in SPLITS:
                parts = inventory.parts.get((task, code, split), [])
                if len(parts) > 1:
                    problems.add(ambiguous(parts, inventory.root))
                for part in parts:
                    bare = texts_alone(part, inventory.parts)
                    content = _read(bare or part, inventory, problems)
                    texts[split] = content.texts
                    found.append(content.found)
                    warnings += content.notes
                    if bare:
                        warnings.append(f"{task} {code} {split}: {_UNLABELLED}")
                    else:
                        labelled.add(split)
                    if content.of_other_parts:
                        of_other_parts.setdefault(content.of_other_parts, []).append(f"{code} {split}")
            warnings += _repeats(task, code, texts)
        warnings += _by_keys(task, inventory.known_by_keys(task))
        if codes:
            warnings += [f"{task}: {_WITHOUT[split]}" for split in SPLITS if split not in labelled]
        warnings += [f"{task} {', '.join(there)}: {note}" for note, there in of_other_parts.items()]
    return FolderReport(printable(folder.as_posix()), found, problems.finish(), warnings)


class _Content(NamedTuple):
    """What a part holds, how often each text occurs, and notes on it alone and beside other parts."""

    found: Found
    texts: Counter[bytes]
    notes: list[str]
    of_other_parts: str


def _read(part: Part, inventory: Inventory, problems: _Problems) -> _Content:
    """Read a part to its end."""
    texts: Counter[bytes] = Counter()
    ids: Counter[bytes] = Counter()
    skipped: Counter[str] = Counter()
    labels: set[int] = set()
    quoted: list[str] = []
    has_problems = False
    outcomes, note, _ = read(part, inventory.parts)
    for outcome in outcomes:
        if isinstance(outcome, DataError):
            has_problems = True
            problems.add(outcome)
        elif isinstance(outcome, Skipped):
            skipped[outcome.reason] += 1
        else:
            # A short key: a training set's texts need not all stay in memory.
            texts[_key(outcome.texts)] += 1
            if has_one_label(part.task):
                labels.add(outcome.answer)
            if not part.task.kind.by_word:
                ids[_key(outcome.id)] += 1
                if any(map(has_doubled_marks, outcome.texts)):
                    quoted.append(outcome.id)
    count = texts.total()
    problem = withheld(skipped, count, file=part.files[0], language=part.language)
    if problem or not (texts or has_problems):
        problems.add(problem or empty(part))
    files = tuple(_relative(path, inventory.root) for path in part.files)
    found = Found(*part.key, part.format, count, files, dict(skipped))
    again = [
        f"{' '.join(part.key)}: {how_many(times, 'row repeats', 'rows repeat')} another's {what}"
        for counted, what in ((ids, "id"), (texts if ids else ids, "texts"))
        if (times := sum(counted.values()) - len(counted))
    ]
    return _Content(found, texts, [*again, *_quoted(found, quoted), *_absent(part, labels, inventory)], note)


def _key(value: object) -> bytes:
    return blake2b(repr(value).encode(), digest_size=12).digest()


def _by_keys(task: str, files: list[str]) -> list[str]:
    """Note files that somebody may have meant as a task of their own."""
    if not files:
        return []
    return [
        f"{task}: known by keys alone: {first_of(files, _MOST_NAMED)}. A {TASK_FILE} in the folder makes "
        "it a task of yours"
    ]


def _repeats(task: str, code: str, texts: dict[str, Counter[bytes]]) -> list[str]:
    sentences = []
    for earlier, later in combinations([split for split in SPLITS if split in texts], 2):
        count = sum(times for key, times in texts[earlier].items() if key in texts[later])
        if count:
            rows = "row also occurs" if count == 1 else "rows also occur"
            sentences.append(f"{task} {code}: {count} {earlier} {rows} in {later}")
    return sentences


def _quoted(found: Found, ids: list[str]) -> list[str]:
    """Note the rows that an export to JSON Lines kept the quotation marks of a CSV file in."""
    if not ids:
        return []
    return [
        f"{', '.join(found.files)}: {how_many(len(ids), 'row looks', 'rows look')} quoted as in CSV, with "
        f"doubled quotation marks, the first with the id {printable(ids[0])}; they are read as they are"
    ]


def _absent(part: Part, labels: set[int], inventory: Inventory) -> list[str]:
    """Note labels that an own task's training set, or the development set beside it, has no row of."""
    task, is_trained_on = part.task, (part.task.name, part.language, "train") in inventory.parts
    if not (inventory.is_own and labels and is_trained_on) or part.split == "test" or part.unanswered:
        return []
    sentence = absent_labels(task, labels)
    return [f"{' '.join(part.key)}: {sentence}"] if sentence else []


def _relative(path: Path, root: Path) -> str:
    return printable((path.relative_to(root) if path.is_relative_to(root) else path).as_posix())
