"""Whether results that were published before would be lost by new ones that take their place."""

from __future__ import annotations

from pathlib import Path

from xlprompt.studies.reports.published_runs import RUNS, PublishedRuns, read_published


class PublicationError(RuntimeError):
    """Results that are not published, since others would be lost; the message says which, and what to do."""


def refuse_loss(folder: Path, new: PublishedRuns) -> None:
    """Raise where the folder holds runs, by task, method and seed, or sections that the new results have not.

    Raises:
        PublicationError: It does.
        DataError: Its file of runs is damaged.
    """
    file = folder / RUNS
    if not file.exists():
        if not folder.exists() or not any(folder.iterdir()):
            return
        lost = ["a report without its runs"]
    else:
        old = read_published(file)
        lost = [] if old.model == new.model else [f"results of {old.model}"]
        kept = _seeds(new)
        for cell, seeds in _seeds(old).items():
            if gone := sorted(seeds - kept.get(cell, set())):
                lost.append(f"{cell}, seed{'s' if len(gone) > 1 else ''} {', '.join(map(str, gone))}")
        lost += [f"the section {name}" for name in old.sections if name not in new.sections]
    if lost:
        raise PublicationError(
            f"{folder}: holds what these results have not: {'; '.join(lost)}. Take its runs in as well with "
            f"--runs {file} (make: RUNS={file}), name another folder, or lose them with --replace (make: "
            "ARGS=--replace)"
        )


def _seeds(published: PublishedRuns) -> dict[str, set[int]]:
    """Seeds by task and method."""
    seeds: dict[str, set[int]] = {}
    for run in published.runs:
        seeds.setdefault(f"{run.tags['task']} {run.tags['method']}", set()).add(int(run.params["seed"]))
    return seeds
