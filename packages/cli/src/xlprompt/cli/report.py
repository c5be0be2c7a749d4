"""`xlprompt report`: what a study came to, as a page and as Markdown.

The work is done by `xlprompt.training.report_runs`; this file names its options and says where the files are.
"""

from __future__ import annotations

from pathlib import Path

import click

from xlprompt.cli.options import mlruns_option


@click.command("report", short_help="Write the study's report: tables, figures, claims.")
@click.option("--model", help="Backbone; needed only where the store has studies of several.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("build/report"),
    show_default=True,
    help="Folder of the report.",
)
@mlruns_option
def command(model: str | None, out: Path, mlruns: Path) -> None:
    """Compare the finished runs of a study and write report.html and report.md.

    The page needs no other file. Both are also kept in the store, as artifacts of a run.

    \b
    Examples:
      xlprompt report
      xlprompt report --model xglm-nano --out build/nano
    """
    from xlprompt.training.report_runs import report_study

    for path in report_study(mlruns, out, model):
        click.echo(path)
