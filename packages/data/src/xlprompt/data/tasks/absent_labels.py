"""Labels that a set of rows has none of: nothing there teaches them, or tells how well they are known."""

from __future__ import annotations

from collections.abc import Collection

from xlprompt.data.how_many import first_of
from xlprompt.data.tasks.task_type import Task

_MOST_NAMED = 5


def has_one_label(task: Task) -> bool:
    """Whether a row is texts with one of the task's labels, and no tagged sentence, choice or question."""
    return task.kind.labeled and not task.kind.by_word and not task.kind.compares_readouts


def absent_labels(task: Task, there: Collection[int]) -> str:
    """What is to be said of the labels that no row has; empty where each has one.

    Args:
        task: The task.
        there: Numbers of the labels that rows have.
    """
    names = [name for number, name in enumerate(task.labels) if number not in there]
    return f"no row has the label{'s' * (len(names) > 1)} {first_of(names, _MOST_NAMED)}" if names else ""
