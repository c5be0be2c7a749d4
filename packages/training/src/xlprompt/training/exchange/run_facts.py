"""What the store knows of a checkpoint's run: its figures, its scores and where it came from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xlprompt.training.store.database import find_run, open_reader, store_errors
from xlprompt.training.store.shared.fetched import run_folder


@dataclass(frozen=True)
class StoredFacts:
    """Of a run; empty for a checkpoint folder that is nobody's.

    Attributes:
        run_id: The run; None where there is none.
        metrics: Its figures by name.
        params: What it was given.
        tags: Device, versions, commit.
        report: Test scores by language, as `TransferReport.to_dict` has them; None where it was not scored.
    """

    run_id: str | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    report: Mapping[str, Any] | None = None


def facts_of_model(store: Path, model_id: str | None) -> StoredFacts:
    """The facts of the run that a model of the store is of.

    Args:
        store: Folder of the MLflow store.
        model_id: From `find_checkpoint`; None for a folder.

    Raises:
        TrackingError: The store cannot be read.
    """
    if model_id is None:
        return StoredFacts()
    client = open_reader(store)
    with store_errors(store):
        run = find_run(client, client.get_logged_model(model_id).source_run_id)
        if run is None:
            return StoredFacts()
        path = run_folder(client, run, store) / "report.json"
    report = json.loads(path.read_bytes()) if path.is_file() else None
    return StoredFacts(
        run.info.run_id, dict(run.data.metrics), dict(run.data.params), dict(run.data.tags), report
    )
