"""An analysis that says the same things of one model after the other, and is kept for the reports on each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from xlprompt.studies.analyses.analysis import Outcome
from xlprompt.studies.reports.kept_sections import log_section
from xlprompt.studies.reports.page import Section


class OfModel(Protocol):
    """What an analysis has found of one model."""

    @property
    def model(self) -> str:
        """The backbone."""

    @property
    def number_of_runs(self) -> int:
        """How many runs it rests on."""

    def section(self) -> Section:
        """The same as the report shows it."""

    def answers(self) -> Sequence[str]:
        """What it says, in sentences."""

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold."""


def outcome_of_models(
    name: str, found: Sequence[OfModel], store: Path, *, keep: bool, notes: Sequence[str] = ()
) -> Outcome:
    """What an analysis has come to.

    Args:
        name: The sections'.
        found: What was found, by model.
        store: Folder of the MLflow store.
        keep: Whether each section is kept there, for the reports on its model.
        notes: What was left out, in sentences.
    """
    sections = [each.section() for each in found]
    run_id = ""
    for each, section in zip(found, sections, strict=True) if keep else ():
        params = {"runs": each.number_of_runs}
        run_id = log_section(store, name, each.model, section, params=params, findings=each.to_dict())
    values = {"models": [each.to_dict() for each in found]}
    return Outcome(
        found,
        values,
        sections,
        run_id,
        notes=notes,
        answers=[line for each in found for line in each.answers()],
    )
