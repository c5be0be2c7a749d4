"""The report's section on where runs err, from the predictions that its runs have stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xlprompt.evaluation.answers.predictions import SavedPredictions, load_predictions
from xlprompt.evaluation.mistakes.confusions import Confusions, confusions
from xlprompt.evaluation.mistakes.flips import Flips, flips
from xlprompt.studies.grid.ledger import CellRun
from xlprompt.studies.reports.mistakes.tables import flip_table, summary_table
from xlprompt.studies.reports.page import Section, Table
from xlprompt.studies.reports.sources import RunSource

NAME = "mistakes"
"""The section's name among those that are kept with published runs."""

TITLE = "Where it errs"


def mistakes_section(
    runs: Mapping[tuple[str, str, int], CellRun],
    source: RunSource,
    methods: tuple[str, str],
    trained: str,
) -> Section | None:
    """Where the two methods of a study err, task by task.

    Args:
        runs: The study's, by task, method and seed.
        source: Where they were read from.
        methods: The two that are compared.
        trained: Code of the language that others are compared with.

    Returns:
        The section; None where no task has stored predictions of both methods, as with published runs.
    """
    found: dict[str, dict[str, Confusions]] = {}
    parts: list[Table] = []
    for task in dict.fromkeys(key[0] for key in runs):
        of_task = {
            method: _predictions([run for key, run in runs.items() if key[:2] == (task, method)], source)
            for method in methods
        }
        if not all(of_task.values()):
            continue
        found[task] = {method: confusions(each, trained) for method, each in of_task.items()}
        compared: Flips = flips(*of_task.values())
        parts.append(flip_table(f"{task}: ", methods[0], methods[1], compared))
    if not found:
        return None
    seeds = ", ".join(map(str, sorted({key[2] for key in runs if key[0] in found and key[1] in methods})))
    note = (
        f"Of seeds {seeds}. What is taken for what more often than in the language trained on, and which "
        "examples one method answers right in all its seeds and the other wrong in all of its. Counts are "
        "means over seeds, and tests are about these seeds. `xlprompt inspect RUN --against RUN2` shows a "
        "run's, with the texts."
    )
    return Section(TITLE, (summary_table(found, trained), *parts), note)


def _predictions(runs: Sequence[CellRun], source: RunSource) -> list[dict[str, SavedPredictions]]:
    """Of each run by language; none where a run has none."""
    files = [source.predictions(run) for run in runs]
    if not all(files):
        return []
    return [{code: load_predictions(path) for code, path in each.items()} for each in files]
