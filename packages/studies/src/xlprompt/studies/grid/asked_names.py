"""Names of tasks and methods that somebody asks for, which have to exist."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

from xlprompt.data.tasks import task as task_row
from xlprompt.models import METHODS
from xlprompt.studies.errors import StudyError


def require_names(tasks: Sequence[str], methods: Sequence[str]) -> None:
    """Refuse what is no task, own ones among them once their store has been opened, or no method.

    Raises:
        StudyError: There is no such method.
        DataError: There is no such task.
    """
    for name in tasks:
        task_row(name)
    for name in methods:
        if name not in METHODS:
            near = get_close_matches(name.lower(), METHODS, n=1, cutoff=0.5)
            hint = f"Did you mean {near[0]}?" if near else f"Methods: {', '.join(METHODS)}"
            raise StudyError(f"unknown method {name!r}. {hint}")
