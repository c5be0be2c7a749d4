"""The task of a recipe that names none: the one that its data folder is.

Its definition goes into the recipe, so that the run it makes can be read where the folder is not.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from xlprompt.data.sources import NAMED, FolderSource, open_source
from xlprompt.data.sources.own.task_file import TASK_FILE
from xlprompt.data.tasks import BUNDLED
from xlprompt.data.tasks.own import OWN, definition_of
from xlprompt.training.errors import RecipeError
from xlprompt.training.recipes.errors import Layers

_log = logging.getLogger(__name__)
_said: set[str] = set()  # a study loads the recipes of all its methods on one folder


def own_task_values(layers: Layers, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """What a recipe on an own task's folder has to say of its task; nothing for a bundled task.

    Args:
        layers: The recipe's files with their values, later ones on top.
        overrides: Values by dotted key that win over them.

    Raises:
        RecipeError: The task is said to be the folder's own, and there is no folder, or it holds benchmarks.
        DataError: The folder is not there, or something is wrong with the task in it.
    """
    task = overrides.get("task", _last(layers, "task"))
    if task in BUNDLED or "task_definition" in overrides or _last(layers, "task_definition") is not None:
        return {}
    source = overrides.get("data.source", _last(layers, "data", "source"))
    if not isinstance(source, str) or source in NAMED:
        if task == OWN:
            raise RecipeError(
                f"task: '{OWN}' is the task that a data folder is, and data.source is {source or 'null'}. "
                "Give a folder (DATA=<folder> with make, --data <folder> with xlprompt)"
            )
        return {}
    opened = open_source(source)
    assert isinstance(opened, FolderSource)  # as no other source has a name of its own
    own = opened.own
    if own is None and task == OWN:
        raise RecipeError(
            f"{source}: holds {', '.join(opened.tasks)}, and no task of your own. Name the task, or make the "
            f"folder a task of yours by a {TASK_FILE} in it, which may be empty"
        )
    if own is None or task not in (None, OWN, own.name):
        return {}
    for sentence in opened.left_out:
        if sentence not in _said:
            _log.info("%s", sentence)
            _said.add(sentence)
    return {"task": own.name, "task_definition": definition_of(own).model_dump(mode="json")}


def _last(layers: Layers, *keys: str) -> Any:
    """The value that counts at a key, which may be null; None where no file has it."""
    *sections, last = keys
    for _, values in reversed(layers):
        place: Any = values
        for section in sections:
            place = place.get(section) if isinstance(place, Mapping) else None
        if isinstance(place, Mapping) and last in place:
            return place[last]
    return None
