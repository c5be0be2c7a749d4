"""What every export is given and gives back; the words of tags, and how files are written."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from xlprompt.data.errors import DataError
from xlprompt.data.languages import code_of
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


def task_name(languages: Mapping[str, SavedPredictions]) -> str:
    """The name of the one task that predictions are of.

    Raises:
        DataError: There are none, or they are of several tasks.
    """
    names = sorted({each.task for each in languages.values()})
    if len(names) != 1:
        raise DataError(
            f"predictions of {', '.join(names) or 'no task'} to export", fix="Export one run of one task."
        )
    return names[0]


def tagged_task(languages: Mapping[str, SavedPredictions], task: Task, form: str) -> Task:
    """The task that predictions are of, bundled or a user's own, if it has tags.

    Args:
        languages: Predictions by language.
        task: What the run says that they are of.
        form: The format that asks.

    Raises:
        DataError: Its examples are no tagged words, or the predictions are of another task or other labels.
    """
    require_tags(task, form)
    require_task(languages, task)
    return task


def require_task(languages: Mapping[str, SavedPredictions], task: Task) -> None:
    """Refuse predictions of another task, or of other labels.

    Raises:
        DataError: They are.
    """
    name = task_name(languages)
    if name != task.name or any(each.labels != task.labels for each in languages.values()):
        raise _unknown(name)


def require_tags(task: Task, form: str) -> None:
    """Refuse a task without tags.

    Raises:
        DataError: Its examples are no tagged words.
    """
    if not task.kind.by_word:
        raise DataError(
            f"format {form!r} holds tagged words, and {task.name} has none",
            fix="Take a run of a task with tags, such as ner or pos, or --format xtreme.",
        )


def _unknown(name: str) -> DataError:
    return DataError(
        f"predictions of task {name!r} that this xlprompt does not know so",
        fix="Export with the release that made them, or evaluate the run again.",
    )


def named(task: Task, answers: Sequence[Sequence[int]]) -> list[list[str]]:
    """Label names in the place of label numbers."""
    return [[task.labels[index] for index in each] for each in answers]


def without_spaces(word: str) -> str:
    """A word as one column: underscores stand for what any evaluator could take for a space.

    Words of Vietnamese treebanks and French numbers hold spaces. A word of nothing else is one underscore.
    """
    return "_".join(word.split()) or "_"


def require_none_left(paths: Collection[Path], pattern: str) -> None:
    """Refuse folders in which files of an earlier export would stay, and be taken for this one's.

    Args:
        paths: What will be written.
        pattern: What such files are called, with a star for the language.

    Raises:
        DataError: Some are there.
    """
    before, _, behind = pattern.partition("*")
    for folder in dict.fromkeys(path.parent for path in paths):
        left = {path.name for path in folder.glob(pattern)} - {path.name for path in paths}
        left = {name for name in left if code_of(name.removeprefix(before).removesuffix(behind))}
        if left:
            raise DataError(
                f"holds files of an earlier export in other languages: {', '.join(sorted(left))}",
                file=folder,
                fix="Name another folder, or delete them.",
            )


def write(path: Path, text: str) -> Path:
    """Write a file whole, and the folders that it needs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, text)
    return path
