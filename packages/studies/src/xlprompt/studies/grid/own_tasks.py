"""The users' own tasks that a store has runs of: they are known by what their runs wear, without a folder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from xlprompt.data.tasks import BUNDLED, register
from xlprompt.data.tasks.own import read_definition
from xlprompt.training.store.database import our_experiments
from xlprompt.training.store.labels import TASK_DEFINITION_TAG


def learn_own_tasks(client: Any, store: Path) -> None:
    """Register the own tasks of a store, of each name the one that its newest run is of.

    Args:
        client: An MLflow client of the store.
        store: Its folder.
    """
    for name, experiment in our_experiments(client, store).items():
        if name not in BUNDLED:
            newest = client.search_runs(
                [experiment],
                f"tags.{TASK_DEFINITION_TAG} LIKE '_%'",
                max_results=1,
                order_by=["attributes.start_time DESC"],
            )
            register_tagged(run.data.tags for run in newest)


def register_tagged(tags_of_runs: Iterable[Mapping[str, str]]) -> None:
    """Register the own tasks that runs' tags define; what none of ours has written is passed over."""
    for tags in tags_of_runs:
        if TASK_DEFINITION_TAG in tags:
            with suppress(ValueError):  # which a DataError is
                register(read_definition(tags[TASK_DEFINITION_TAG]).task(tags.get("task", "")))
