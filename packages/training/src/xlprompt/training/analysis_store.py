"""Analyses as runs of the store, and what the report takes from them.

An analysis leaves its figures as metrics and what it has to show, a section of tables and figures, as an
artifact. The report of a model's study shows the newest of each kind and name.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from xlprompt.evaluation.report_page import Image, Section, Table, html_page, markdown_page
from xlprompt.evaluation.statistics import Estimate
from xlprompt.training.ledger import Ledger
from xlprompt.training.tracker import DatasetRecord, MlflowTracker, log_text, true_end_state

EXPERIMENT = "analysis"
_SECTION, _FINDINGS = "section.json", "findings.json"


@dataclass(frozen=True)
class StoredAnalysis:
    """A finished analysis of the store.

    Attributes:
        kind: `tokenization` or `granularity`.
        name: What tells analyses of one kind and model apart.
        section: What it has to show.
        findings: All of its figures, as JSON holds them.
    """

    kind: str
    name: str
    section: Section
    findings: Mapping[str, Any]


def log_analysis(
    store: Path,
    analysis: StoredAnalysis,
    *,
    model: str,
    run_name: str,
    params: Mapping[str, Any],
    metrics: Mapping[str, float],
    datasets: Sequence[DatasetRecord] = (),
) -> str:
    """Keep an analysis as a finished run, with its page beside it; returns the run's id.

    Raises:
        TrackingError: The store cannot be written.
    """
    tracker = MlflowTracker(store)
    with true_end_state(tracker), tempfile.TemporaryDirectory() as folder:
        run_id = tracker.start(
            experiment=EXPERIMENT,
            run_name=run_name,
            params={"model": model, **params},
            tags={"job": EXPERIMENT, "analysis": analysis.kind, "name": analysis.name, "model": model},
        )
        for record in datasets:
            tracker.log_dataset(record)
        tracker.log_metrics(metrics)
        log_text(tracker, _FINDINGS, json.dumps(analysis.findings, indent=2, ensure_ascii=False))
        log_text(tracker, _SECTION, json.dumps(asdict(analysis.section), ensure_ascii=False))
        for path in write_pages(Path(folder), [analysis.section]):
            tracker.log_artifact(path)
    return run_id


def write_pages(folder: Path, sections: Sequence[Section]) -> tuple[Path, Path]:
    """Write sections as `analysis.html` and `analysis.md` into a folder, made where it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    title = sections[0].title if len(sections) == 1 else "Analyses"
    page, text = folder / "analysis.html", folder / "analysis.md"
    page.write_text(html_page(title, sections, ()), encoding="utf-8")
    text.write_text(markdown_page(title, sections, ()), encoding="utf-8")
    return page, text


def stored_analyses(ledger: Ledger, model: str) -> list[StoredAnalysis]:
    """The newest finished analysis of a model of each kind and name, oldest first.

    One whose artifacts are no longer there, or cannot be read, is passed over.
    """
    newest: dict[tuple[str, str], StoredAnalysis] = {}
    for run in ledger.finished_runs(EXPERIMENT, "job", EXPERIMENT):  # newest first
        key = (run.tags.get("analysis", ""), run.tags.get("name", ""))
        if run.tags.get("model") != model or key in newest:
            continue
        folder = ledger.artifacts(run.run_id)
        try:
            section = _section(json.loads((folder / _SECTION).read_text(encoding="utf-8")))
            findings = json.loads((folder / _FINDINGS).read_text(encoding="utf-8"))
        except (OSError, ValueError, KeyError, TypeError):
            continue
        newest[key] = StoredAnalysis(*key, section, findings)
    return list(reversed(newest.values()))


def granularity_effect(analyses: Sequence[StoredAnalysis]) -> Estimate | None:
    """The slope that the verdict on the fourth claim needs: of a sweep that trained and scored on finer text.

    Without one it is that of a sweep that only scored on it.
    """
    found = {each.name: each.findings["pooled"] for each in analyses if each.kind == "granularity"}
    values = found.get("both", found.get("evaluation"))
    return Estimate(**values) if values else None


def _section(values: Mapping[str, Any]) -> Section:
    content: list[Table | Image] = []
    for part in values["content"]:
        if "svg" in part:
            content.append(Image(**part))
        else:
            rows = tuple(tuple(row) for row in part["rows"])
            content.append(Table(**{**part, "columns": tuple(part["columns"]), "rows": rows}))
    return Section(values["title"], tuple(content), values["note"])
