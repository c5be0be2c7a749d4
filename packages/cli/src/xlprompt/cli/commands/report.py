"""`xlprompt report`: what a study came to, as a page and as Markdown.

The work is done by `xlprompt.studies.reports.report`; this file names its options and says where the files
are.
"""

from __future__ import annotations

from pathlib import Path

import click

from xlprompt.cli.options import (
    mlruns_option,
    report_out_option,
    runs_option,
    studied_model_option,
    trained_on_option,
)
from xlprompt.cli.said import say, wait


@click.command("report", short_help="Write the study's report: tables, figures, claims.")
@studied_model_option
@report_out_option
@runs_option
@trained_on_option
@mlruns_option
def command(
    model: str | None,
    out: Path,
    runs: tuple[Path, ...],
    train_language: str | None,
    mlruns: Path,
) -> None:
    """Compare the finished runs of a study and write report.html and report.md.

    The page needs no other file. Both are also kept in the store, as artifacts of a run.

    \b
    Examples:
      xlprompt report
      xlprompt report --model xglm-nano --out build/nano
      xlprompt report --runs experiments/results/mini/runs.jsonl.gz

    `xlprompt publish` also puts it into a repository.
    """
    from xlprompt.studies.reports.given import require_runs
    from xlprompt.training.machine.imports import quick_imports

    require_runs(mlruns, runs)
    with wait("Comparing the runs, drawing the page"):
        with quick_imports():
            from xlprompt.studies.reports.report import report_study  # which waits for matplotlib

        report = report_study(
            mlruns,
            out,
            model,
            train_language=train_language,
            published=runs,
        )
    for line in report.answer:
        say(line)
    for path in (report.page, report.text):
        click.echo(path)
