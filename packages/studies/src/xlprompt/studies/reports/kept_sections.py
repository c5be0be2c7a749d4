"""Sections of a report that commands of their own have made, such as ablations, kept in the store for it.

Each is a run of the experiment `analysis` with the section as an artifact, its figures and tables also as
files that the MLflow UI shows. Of several with one name, the newest counts, one of a part only where there is
no whole one.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from xlprompt.data.strict_json import parse
from xlprompt.evaluation.comparison.statistics import Estimate
from xlprompt.evaluation.comparison.verdicts import GranularityEffect
from xlprompt.models import short_name
from xlprompt.studies.reports.page import Image, Section, markdown_section
from xlprompt.training.store.database import open_client
from xlprompt.training.store.mlflow_tracker import MlflowTracker
from xlprompt.training.store.shared.fetched import run_folder
from xlprompt.training.store.shared.server import experiment_name
from xlprompt.training.store.tracker import DatasetRecord, log_text, true_end_state

_log = logging.getLogger(__name__)

Kept = TypeVar("Kept")

EXPERIMENT = "analysis"
WITH_RUNS_OF_THEIR_OWN = ("ablation", "granularity")
"""How sections are called that do not tell of the study's runs."""

_PART = "part"  # tag: what alone a section is of
_FILE, _FINDINGS = "section.json", "findings.json"


def log_section(
    store: Path,
    name: str,
    model: str,
    section: Section,
    *,
    params: Mapping[str, Any] | None = None,
    metrics: Mapping[str, float] | None = None,
    datasets: Sequence[DatasetRecord] = (),
    findings: Mapping[str, Any] | None = None,
    part: str = "",
) -> str:
    """Keep a section for the reports on a model.

    Args:
        store: Folder of the MLflow store.
        name: What it is about, such as `ablation-scheme`; a later one of the name replaces it in reports.
        model: The backbone, as recipes name it.
        section: The section.
        params: What it was made from.
        metrics: Its figures.
        datasets: The data it is about.
        findings: All that it rests on, as JSON holds it.
        part: What alone it is of, where less was asked for than there is, such as `limit 50`. In reports it
            takes the place of no whole one.

    Returns:
        The MLflow run.
    """
    if part:
        section = replace(section, note=f"{section.note} Of a part alone: {part}.".strip())
    tracker = MlflowTracker(store)
    with true_end_state(tracker):
        run_id = tracker.start(
            experiment=EXPERIMENT,
            run_name=f"{name}-{short_name(model)}",
            params={"model": model, **(params or {})},
            tags={"job": EXPERIMENT, "model": model, "section": name, **({_PART: part} if part else {})},
        )
        for record in datasets:
            tracker.log_dataset(record)
        tracker.log_metrics(metrics or {})
        log_text(tracker, _FILE, section.to_json())
        if findings is not None:
            log_text(tracker, _FINDINGS, json.dumps(findings, indent=2, ensure_ascii=False))
        log_text(tracker, "section.md", markdown_section(section) + "\n")
        images = [part for part in section.content if isinstance(part, Image)]
        for number, image in enumerate(images, start=1):
            log_text(tracker, f"figure-{number}.svg", image.svg)
    return run_id


def part_notes(part: str) -> list[str]:
    """What whoever asked for a part of an analysis is told; nothing of a whole one."""
    return (
        [f"Of a part alone: {part}. Reports show the whole analysis where the store has it."] if part else []
    )


def stored_sections(store: Path, model: str) -> dict[str, Section]:
    """The newest section of each name; those that cannot be read any more are named and left out."""
    found = {name: _read(folder / _FILE, Section) for name, folder in _newest(store, model).items()}
    return {name: section for name, section in found.items() if section is not None}


class _Granularity(BaseModel):
    """What of the findings of a sweep over granularity a verdict needs."""

    model_config = ConfigDict(strict=True)

    pooled: Estimate | None
    usable: dict[str, tuple[str, ...]]
    shares: tuple[float, ...] = Field(min_length=1)
    seeds: dict[str, dict[str, list[int]]]


def find_granularity(store: Path, model: str) -> GranularityEffect | None:
    """What the fourth claim's verdict needs, where `xlprompt analyze granularity` has left it.

    A sweep that trained and scored on finer text comes before one that only scored on it. One in which both
    methods fell to what needs no model everywhere has none.
    """
    newest = _newest(store, model)
    for cut in ("both", "evaluation"):
        folder = newest.get(f"granularity-{cut}")
        found = None if folder is None else _read(folder / _FINDINGS, _Granularity)
        if found is not None and found.pooled is not None:
            numbers = [len(seeds) for of_task in found.seeds.values() for seeds in of_task.values()]
            return GranularityEffect(
                slope=found.pooled,
                languages={task: codes for task, codes in found.usable.items() if codes},
                shares=found.shares,
                seeds=min(numbers, default=0),
                cut=cut,
            )
    return None


def _read(path: Path, kind: type[Kept]) -> Kept | None:
    """What a file of the store holds; None, and a warning, where that cannot be read any more."""
    try:
        return parse(kind, path.read_bytes())
    except (OSError, ValueError) as error:
        _log.warning("%s: left out, it cannot be read (%s). Make the analysis again", path, error)
        return None


def _newest(store: Path, model: str) -> dict[str, Path]:
    """Artifact folders of the newest finished run of each section's name, a whole one before a part's."""
    client = open_client(store)
    experiment = client.get_experiment_by_name(experiment_name(EXPERIMENT, store))
    if experiment is None:
        return {}
    newest: dict[str, Path] = {}
    found = client.search_runs(
        [experiment.experiment_id], "attributes.status = 'FINISHED'", order_by=["attributes.start_time DESC"]
    )
    for run in sorted(found, key=lambda run: _PART in run.data.tags):
        section = run.data.tags.get("section")
        if run.data.tags.get("model") == model and section and section not in newest:
            newest[section] = run_folder(client, run, store)
    return newest
