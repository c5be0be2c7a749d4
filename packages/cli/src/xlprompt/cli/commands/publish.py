"""`xlprompt publish`: a study's results in a repository, so that others can read them and add to them.

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
from xlprompt.cli.said import wait

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
@studied_model_option
@report_out_option
@runs_option
@trained_on_option
@mlruns_option
def command(
    folder: Path,
    page: Path | None,
    replace: bool,
    model: str | None,
    out: Path,
    runs: tuple[Path, ...],
    train_language: str | None,
    mlruns: Path,
) -> None:
    """Write figures, report.md and the runs they were made from to FOLDER, and a summary into a page.

    All of it is written, or nothing. What was published before is replaced where the new results have
    all of its runs; with --runs they are taken in.

    \b
    Examples:
      xlprompt publish experiments/results/mini
      xlprompt publish experiments/results/mini --runs experiments/results/mini/runs.jsonl.gz
    """
    from xlprompt.studies.reports.given import require_runs
    from xlprompt.training.machine.imports import quick_imports

    require_runs(mlruns, runs)
    document = page or _PAGES / f"{folder.resolve().name}.md"
    with wait("Comparing the runs, drawing the page"):
        with quick_imports():
            from xlprompt.studies.reports.report import report_study  # which waits for matplotlib

        report = report_study(
            mlruns,
            out,
            model,
            train_language=train_language,
            publish_in=folder,
            document=document,
            replace=replace,
            published=runs,
        )
    for path in (report.page, report.text, folder, document):
        click.echo(path)
