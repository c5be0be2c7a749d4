"""`xlprompt report`: what a study came to, as a page and as Markdown.

The work is done by `xlprompt.studies.reports.report`, which `xlprompt.cli.study_report` calls; this file says
where the files are.
"""

from __future__ import annotations

from typing import Any

import click

from xlprompt.cli.said import say
from xlprompt.cli.study_report import study_report_options, write_report


@click.command("report", short_help="Write the study's report: tables, figures, claims.")
@study_report_options
def command(**options: Any) -> None:
    """Compare the finished runs of a study and write report.html and report.md.

    The page needs no other file. Both are also kept in the store, as artifacts of a run.

    \b
    Examples:
      xlprompt report
      xlprompt report --model xglm-nano --out build/nano
      xlprompt report --runs experiments/results/mini/runs.jsonl.gz

    `xlprompt publish` also puts it into a repository.
    """
    report = write_report(**options)
    for line in report.answer:
        say(line)
    for path in (report.page, report.text):
        click.echo(path)
