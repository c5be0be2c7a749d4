"""Labels as files write them, turned into numbers."""

from __future__ import annotations

from pathlib import Path

from xlprompt.data.errors import DataError
from xlprompt.data.tasks.rules import check_text
from xlprompt.data.tasks.task_type import Task

# Names that published files use for our labels.
_ALIASES = {
    "xnli": {"contradictory": "contradiction"},
    "pawsx": {"0": "different", "1": "paraphrase"},
}


def label_number(task: Task, value: object, *, file: str | Path, line: int | None) -> int:
    """Turn a label as it stands in a file into its number.

    Args:
        task: Task with the label names.
        value: A label's name, an alias of the published files, or (JSON only) its number.
        file: For the message.
        line: For the message.

    Returns:
        The label's place in ``task.labels``.

    Raises:
        DataError: Neither a name nor a number of the task.
    """
    if isinstance(value, str):
        name = _ALIASES.get(task.name, {}).get(value, value)
        if name in task.labels:
            return task.labels.index(name)
    elif isinstance(value, int) and not isinstance(value, bool):
        if 0 <= value < len(task.labels):
            return value
        raise DataError(
            f"label {value} is out of range",
            file=file,
            line=line,
            fix=f"Labels of {task.name} are 0 to {len(task.labels) - 1}: {', '.join(task.labels)}.",
        )
    raise DataError(
        f"unknown label {value!r}",
        file=file,
        line=line,
        fix=f"Labels of {task.name}: {', '.join(task.labels)}.",
    )


def id_or_position(row_id: str | None, position: int, *, file: str | Path, line: int | None) -> str:
    """The row's own id, or its place where it has none."""
    if row_id is None:
        return str(position)
    check_text("the id", row_id, file=file, line=line)
    return row_id


def json_type(value: object) -> str:
    """What JSON calls a value, with its article."""
    names = {type(None): "null", bool: "a boolean", int: "a number", float: "a number", list: "a list"}
    return names.get(type(value), "an object" if isinstance(value, dict) else "a string")
