"""What every export is given and gives back; the words of tags, and how files are written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from xlprompt.data.errors import DataError
from xlprompt.data.tasks import TASKS
from xlprompt.data.tasks.task_type import Task
from xlprompt.data.whole_files import write_whole
from xlprompt.evaluation.answers.predictions import SavedPredictions

Words = Mapping[str, Sequence[Sequence[str]]]
"""By language, the words of each sentence, in the order of the predictions."""


@dataclass(frozen=True)
class Exported:
    """What an export left in its folder.

    Attributes:
        files: In the order in which they were written.
        command: How the evaluator is called on them.
        notes: What the reader of its figures must know.
    """

    files: tuple[Path, ...]
    command: str
    notes: tuple[str, ...] = ()


def task_of(languages: Mapping[str, SavedPredictions]) -> Task:
    """The one task that predictions are of.

    Raises:
        DataError: There are none, they are of several tasks, or the task or its labels have changed since.
    """
    names = sorted({each.task for each in languages.values()})
    if len(names) != 1:
        raise DataError(
            f"predictions of {', '.join(names) or 'no task'} to export", fix="Export one run of one task."
        )
    task = TASKS.get(names[0])
    if task is None or any(each.labels != task.labels for each in languages.values()):
        raise DataError(
            f"predictions of task {names[0]!r} that this xlprompt does not know so",
            fix="Export with the release that made them, or evaluate the run again.",
        )
    return task


def require_tags(task: Task, name: str) -> None:
    """Refuse a task without tags.

    Raises:
        DataError: Its examples are no tagged words.
    """
    if not task.kind.by_word:
        raise DataError(
            f"format {name!r} holds tagged words, and {task.name} has none",
            fix="Take a run of ner or pos, or --format xtreme.",
        )


def named(task: Task, answers: Sequence[Sequence[int]]) -> list[list[str]]:
    """Label names in the place of label numbers."""
    return [[task.labels[index] for index in each] for each in answers]


def without_spaces(word: str) -> str:
    """A word as one column: underscores stand for what any evaluator could take for a space.

    Words of Vietnamese treebanks and French numbers hold spaces. A word of nothing else is one underscore.
    """
    return "_".join(word.split()) or "_"


def write(path: Path, text: str) -> Path:
    """Write a file whole, and the folders that it needs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, text)
    return path
