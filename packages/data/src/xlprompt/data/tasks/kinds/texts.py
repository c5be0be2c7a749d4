"""Running texts of an example, for every kind that has them: their checks, how they are typed and shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xlprompt.data.errors import DataError
from xlprompt.data.tasks.kinds.kind import Shown
from xlprompt.data.tasks.kinds.labels import json_type
from xlprompt.data.tasks.rules import NOT_TRANSLATED, Skipped, untranslated
from xlprompt.data.tasks.task_type import Place, Task

_TYPED = ("a text", "two texts", "three texts", "four texts", "five texts", "six texts")


def checked_texts(task: Task, texts: Sequence[Any], names: Sequence[str], place: Place) -> Skipped | None:
    """Check that texts are strings that are not blank and can be encoded.

    Returns:
        Why the row is left out, or None.

    Raises:
        DataError: One is not; the message names the field.
    """
    for name, text in zip(names, texts, strict=False):
        if not isinstance(text, str):
            raise place.error(f"{name} is not a string but {json_type(text)}")
        place.check_text(name, text)
    if untranslated(task, texts):
        return Skipped(NOT_TRANSLATED)
    for name, text in zip(names, texts, strict=False):
        if not text.strip():
            raise place.error(f"{name} is blank", "Fill it in or delete the row.")
    return None


def typed(task: Task, texts: Sequence[str]) -> list[tuple[Any, ...]]:
    """The texts of one example; of a task with one text, any number of them.

    Raises:
        DataError: There are not as many as the task takes.
    """
    wanted = task.text_fields
    if len(wanted) == 1:
        return [(text,) for text in texts]
    if len(texts) != len(wanted):
        raise DataError(
            f"{len(texts)} text{'s' if len(texts) != 1 else ''} where {task.name} takes "
            f"{typed_as(task).removesuffix(' texts')}",
            fix=f"Give a {' and a '.join(wanted)}; many pairs can stand in a file.",
        )
    return [tuple(texts)]


def typed_as(task: Task) -> str:
    """As many texts as the task has, in words."""
    return _TYPED[len(task.text_fields) - 1]


def shown(task: Task, texts: Sequence[Any]) -> Shown:
    """A line a text."""
    return {name: [(text, "")] for name, text in zip(task.text_fields, texts, strict=True)}
