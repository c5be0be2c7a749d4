"""Prompt tuning against full fine-tuning, without and with alignment: numbers without text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from xlprompt.evaluation.comparison.compared import Samples
from xlprompt.evaluation.comparison.statistics import Estimate
from xlprompt.studies.analyses.alignment.recommended.rule import Cell, Setting
from xlprompt.studies.reports.selection import BASELINE, METHOD

PLAIN, OURS, BOTH = "neither", "prompt", "both"
"""Which of the two methods are aligned."""


@dataclass(frozen=True)
class Against:
    """The zero-shot mean of prompt tuning minus that of full fine-tuning in a task.

    Attributes:
        task: Task name.
        setting: How those that are aligned are.
        differences: By which methods are aligned: `PLAIN`, `OURS` and `BOTH`.
    """

    task: str
    setting: Setting
    differences: Mapping[str, Estimate]


def against_finetuning(cells: Sequence[Cell], setting: Setting) -> tuple[Against, ...]:
    """One for each task that has both methods with the setting, scored on the same examples.

    Args:
        cells: Of one model.
        setting: A way to align.
    """
    by_key = {(cell.task, cell.method): cell for cell in cells if setting in cell.gains}
    found = []
    for task in dict.fromkeys(cell.task for cell in cells):
        ours, theirs = by_key.get((task, METHOD)), by_key.get((task, BASELINE))
        if ours is None or theirs is None:
            continue
        own, other = ours.gains[setting], theirs.gains[setting]
        if dict(own.examples) != dict(other.examples):
            continue
        pairs: dict[str, tuple[Samples, Samples]] = {
            PLAIN: (own.baseline, other.baseline),
            OURS: (own.method, other.baseline),
            BOTH: (own.method, other.method),
        }
        weights = dict.fromkeys(ours.languages, 1 / len(ours.languages))
        differences = {
            aligned: replace(
                own, seeds="independent", method=left, baseline=right, baseline_seeds=other.method_seeds
            ).contrast(weights)
            for aligned, (left, right) in pairs.items()
        }
        found.append(Against(task, setting, differences))
    return tuple(found)
