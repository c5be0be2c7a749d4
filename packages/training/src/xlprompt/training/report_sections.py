"""Sections of a report that commands of their own have made, such as ablations, kept in the store for it.

Each is a run of the experiment `analysis` with the section as an artifact, its figures and tables also as
files that the MLflow UI shows. Of several with one name, the newest counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xlprompt.evaluation.report_page import Image, Section, markdown_section
from xlprompt.models import short_name
from xlprompt.training.tracker import MlflowTracker, local_path, log_text, open_client, true_end_state

EXPERIMENT = "analysis"
_FILE = "section.json"


def log_section(
    store: Path, name: str, model: str, section: Section, *, params: Mapping[str, Any] | None = None
) -> str:
    """Keep a section for the reports on a model.

    Args:
        store: Folder of the MLflow store.
        name: What it is about, such as `ablation-scheme`; a later one of the name replaces it in reports.
        model: The backbone, as recipes name it.
        section: The section.
        params: What it was made from.

    Returns:
        The MLflow run.
    """
    tracker = MlflowTracker(store)
    with true_end_state(tracker):
        run_id = tracker.start(
            experiment=EXPERIMENT,
            run_name=f"{name}-{short_name(model)}",
            params={"model": model, **(params or {})},
            tags={"job": EXPERIMENT, "model": model, "section": name},
        )
        log_text(tracker, _FILE, section.to_json())
        log_text(tracker, "section.md", markdown_section(section) + "\n")
        images = [part for part in section.content if isinstance(part, Image)]
        for number, image in enumerate(images, start=1):
            log_text(tracker, f"figure-{number}.svg", image.svg)
    return run_id


def stored_sections(store: Path, model: str) -> list[Section]:
    """The newest section of each name, by name; those that cannot be read any more are left out."""
    client = open_client(store)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is None:
        return []
    newest: dict[str, Path] = {}
    for run in client.search_runs(
        [experiment.experiment_id], "attributes.status = 'FINISHED'", order_by=["attributes.start_time DESC"]
    ):
        if run.data.tags.get("model") == model and "section" in run.data.tags:
            newest.setdefault(run.data.tags["section"], local_path(run.info.artifact_uri) / _FILE)
    sections = []
    for _, path in sorted(newest.items()):
        try:
            sections.append(Section.from_json(path.read_text(encoding="utf-8")))
        except (OSError, ValueError):
            continue
    return sections
