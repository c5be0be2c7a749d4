"""`xlprompt report`: what a study came to, as a page and as Markdown.

The work is done by `xlprompt.training.report_runs`; this file names its options and says where the files are.
"""

from __future__ import annotations

from pathlib import Path

import click

from xlprompt.cli.options import mlruns_option, runs_option


@click.command("report", short_help="Write the study's report: tables, figures, claims.")
@click.option("--model", help="Backbone; needed only where the store has studies of several.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("build/report"),
    show_default=True,
    help="Folder of the report.",
)
@click.option(
    "--publish",
    type=click.Path(path_type=Path, file_okay=False),
    help="Also write the figure, report.md and the runs to this folder, and the summary into --readme, "
    "between the lines '<!-- NAME begin -->' and '<!-- NAME end -->', where NAME is the folder's name; of "
    "ablations also between those of NAME-ablations, where it has them.",
)
@click.option(
    "--readme",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("README.md"),
    show_default=True,
    help="With --publish: the document that takes the summary.",
)
@runs_option
@click.option(
    "--train-language",
    metavar="CODE",
    help="Of the runs trained on this language, or these (en+de); default: en, or what was trained on last.",
)
@mlruns_option
def command(
    model: str | None,
    out: Path,
    publish: Path | None,
    readme: Path,
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
      xlprompt report --publish experiments/results/mini
      xlprompt report --runs experiments/results/mini/runs.jsonl.gz
    """
    from xlprompt.training.report_runs import report_study

    paths = report_study(
        mlruns,
        out,
        model,
        train_language=train_language,
        publish_in=publish,
        document=readme,
        published=runs,
    )
    for path in paths:
        click.echo(path)
