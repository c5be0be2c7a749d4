"""Where a report's figures come from: dates, commits, machines and versions of its runs, and a command."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from xlprompt.data.how_many import how_many
from xlprompt.studies.grid.ledger import CellRun
from xlprompt.studies.reports.page import Table
from xlprompt.training.fitting.progress import duration
from xlprompt.training.store.labels import COMMIT_TAG

VERSION_TAGS = (
    "python",
    *(f"version.{name}" for name in ("torch", "transformers", "peft", "xlprompt-training")),
)
"""Tags by which runs tell what they ran with."""

_COMMIT = 10  # letters of it that are shown
_NAMED = 4  # commits, machines or versions that are named


def provenance(runs: Collection[CellRun], command: str) -> Table:
    """What is known of the runs. It names no date of the report, so that the same runs give the same file.

    Args:
        runs: The study's.
        command: What makes the report anew.
    """
    days = sorted(datetime.fromtimestamp(run.started / 1000, UTC).date() for run in runs)
    when = days[0].isoformat() if days[0] == days[-1] else f"{days[0]} to {days[-1]} (UTC)"
    commits = [run.tags.get(COMMIT_TAG, "")[:_COMMIT] for run in runs]
    machines = [run.tags.get("device", "") for run in runs]
    versions = [
        ", ".join(
            f"{name.removeprefix('version.')} {run.tags[name]}" for name in VERSION_TAGS if name in run.tags
        )
        for run in runs
    ]
    rows = [
        ("runs", str(len(runs))),
        ("date", when),
        ("commit", _counted(commits)),
        ("machine", _counted(machines)),
        ("time of all runs", _time(runs)),
        ("versions", _counted(versions)),
        ("report by", f"xlprompt {version('xlprompt-studies')}"),
        ("command", command),
    ]
    return Table("Where these figures come from", ("what", "value"), tuple(rows))


def report_command(
    model: str | None, train_language: str | None, published: Sequence[Path], publish_in: Path | None = None
) -> str:
    """The command that makes a report anew: from the file that is published with it, where there is one.

    It names model and language, as another store may have runs of others, but no folder of this machine: one
    outside the working directory is `<folder>`, the one where the report lies.
    """
    if publish_in is not None:
        whole, here = publish_in.resolve(), Path.cwd()
        where = shlex.quote(whole.relative_to(here).as_posix()) if whole.is_relative_to(here) else "<folder>"
        words = [f"make report RUNS={where}/runs.jsonl.gz"]
        if model and not Path(model).is_absolute():
            words.append(f"MODEL={shlex.quote(model)}")
        if train_language not in (None, "en"):
            words.append(f"TRAIN_LANG={train_language}")
        return " ".join(words)
    options = [
        *(("--model", model) if model else ()),
        *(("--train-language", train_language) if train_language else ()),
        *(part for path in published for part in ("--runs", str(path))),
    ]
    return shlex.join(["xlprompt", "report", *options])


def _time(runs: Collection[CellRun]) -> str:
    """What the runs took, one after the other; scoring and waiting for other work on the machine included."""
    known = [run.seconds for run in runs if run.seconds is not None]
    if not known:
        return "not recorded"
    took = f"{duration(sum(known))}, scoring included"
    return took if len(known) == len(runs) else f"{took} ({len(known)} of {how_many(len(runs), 'run')})"


def _counted(values: Sequence[str]) -> str:
    """The values with how many runs have each, where they differ."""
    counts = Counter(value or "not recorded" for value in values).most_common()
    if len(counts) == 1:
        return counts[0][0]
    named = ", ".join(f"{value} ({how_many(number, 'run')})" for value, number in counts[:_NAMED])
    return f"{named} and {how_many(len(counts) - _NAMED, 'other')}" if len(counts) > _NAMED else named
