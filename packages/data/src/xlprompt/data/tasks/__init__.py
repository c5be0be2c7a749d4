"""The tasks: each is a file in this folder, and each kind of task a file in `kinds`.

Where a task's files are and what they look like is the business of `sources`.
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
TASKS: Mapping[str, Task] = MappingProxyType({each.name: each for each in _ALL})

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
    near = get_close_matches(name.lower(), TASKS, n=1, cutoff=0.5)
    fix = f"Did you mean {near[0]}?" if near else f"Tasks: {', '.join(TASKS)}."
    raise DataError(f"unknown task {name!r}", fix=fix)
