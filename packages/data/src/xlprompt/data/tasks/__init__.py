"""The tasks: each is a file in this folder, and each kind of task a file in `kinds`.

Tasks of users' own come to them as their definitions are met, in a folder, a recipe or a store. Where a
task's files are and what they look like is the business of `sources`.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from types import MappingProxyType

from xlprompt.data.errors import DataError
from xlprompt.data.tasks.kinds.choice import CHOICE
from xlprompt.data.tasks.kinds.classification import CLASSIFICATION
from xlprompt.data.tasks.kinds.kind import Kind
from xlprompt.data.tasks.kinds.span import SPAN
from xlprompt.data.tasks.kinds.tagging import TAGGING
from xlprompt.data.tasks.ner import NER
from xlprompt.data.tasks.own import OWN, TaskDefinition, definition_of, name_problem
from xlprompt.data.tasks.pawsx import PAWSX
from xlprompt.data.tasks.pos import POS
from xlprompt.data.tasks.sib200 import SIB200
from xlprompt.data.tasks.task_type import Task
from xlprompt.data.tasks.xcopa import XCOPA
from xlprompt.data.tasks.xnli import XNLI
from xlprompt.data.tasks.xquad import XQUAD

# A new task is a file and its name here. The first four are the paper's, in XTREME's languages
# (google-research/xtreme, evaluate.py).
_ALL = (XNLI, PAWSX, NER, POS, SIB200, XCOPA, XQUAD)
BUNDLED: Mapping[str, Task] = MappingProxyType({each.name: each for each in _ALL})

_KNOWN: dict[str, Task] = dict(BUNDLED)

TASKS: Mapping[str, Task] = MappingProxyType(_KNOWN)
"""The bundled tasks, then the own ones that have been met, by name."""

KINDS: Mapping[str, Kind] = MappingProxyType(
    {each.name: each for each in (CLASSIFICATION, TAGGING, CHOICE, SPAN)}
)


def task(name: str) -> Task:
    """Look a task up by its name.

    Args:
        name: One of `TASKS`.

    Returns:
        The task.

    Raises:
        DataError: No such task; the message names the nearest one, or all.
    """
    found = TASKS.get(name)
    if found is not None:
        return found
    if name == OWN:
        fix = "It stands for the task that a data folder is, where --data names one. Name the task."
        raise DataError(f"no task is called {name!r}", fix=fix)
    near = get_close_matches(name.lower(), TASKS, n=1, cutoff=0.5)
    fix = f"Did you mean {near[0]}?" if near else f"Tasks: {', '.join(TASKS)}."
    raise DataError(f"unknown task {name!r}", fix=fix)


def register(own: Task) -> Task:
    """Let an own task be looked up by its name; of two of the same name the later one counts.

    What must not mix two such tasks, a report for one, tells them apart by their definitions.

    Raises:
        DataError: It cannot have this name.
    """
    if problem := name_problem(own.name, BUNDLED):
        raise DataError(f"an own task's name {problem}")
    _KNOWN[own.name] = own
    return own


def own_definition(name: str) -> TaskDefinition | None:
    """The definition of an own task that has been met; None for a bundled task, or no task at all."""
    return None if name in BUNDLED or name not in TASKS else definition_of(TASKS[name])
