"""`xlprompt publish`: a study's results in a repository, so that others can read them and add to them.

The work is done by `xlprompt.studies.reports.report`, which `xlprompt.cli.study_report` calls; this file says
where it is published.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from xlprompt.cli.study_report import Publication, study_report_options, write_report

_PAGES = Path("docs/results")


@click.command("publish", short_help="Put the study's report, figures and runs into a repository.")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--page",
    "--readme",
    "page",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The document that takes the summary (default: docs/results/NAME.md), between the lines "
    "'<!-- NAME begin -->' and '<!-- NAME end -->', where NAME is the folder's name; of ablations also "
    "between those of NAME-ablations, where it has them.",
)
@click.option(
    "--replace", is_flag=True, help="Also where the folder holds runs or sections that would be lost."
)
@study_report_options
def command(folder: Path, page: Path | None, replace: bool, **options: Any) -> None:
    """Write figures, report.md and the runs they were made from to FOLDER, and a summary into a page.

    All of it is written, or nothing. What was published before is replaced where the new results have
    all of its runs; with --runs they are taken in.

    \b
    Examples:
      xlprompt publish experiments/results/mini
      xlprompt publish experiments/results/mini --runs experiments/results/mini/runs.jsonl.gz
    """
    document = page or _PAGES / f"{folder.resolve().name}.md"
    report = write_report(**options, publication=Publication(folder, document, replace))
    for path in (report.page, report.text, folder, document):
        click.echo(path)
