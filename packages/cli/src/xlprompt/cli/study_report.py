"""The report of a study, as `xlprompt report` and `xlprompt publish` write it: their options and the call."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from xlprompt.cli.options import Command, mlruns_option
from xlprompt.cli.said import wait

if TYPE_CHECKING:
    from xlprompt.studies.reports.report import StudyReport

_OPTIONS = (
    click.option("--model", help="Backbone; needed only where the store has studies of several."),
    click.option(
        "--out",
        type=click.Path(path_type=Path, file_okay=False),
        default=Path("build/report"),
        show_default=True,
        help="Folder of the report.",
    ),
    click.option(
        "--runs",
        type=click.Path(path_type=Path, dir_okay=False),
        multiple=True,
        help="Also take in the published runs of this file, as if they were the store's, which may be empty; "
        "several times for several.",
    ),
    click.option(
        "--train-language",
        metavar="CODE",
        help="Of the runs trained on this language, or these (en+de); default: en, or what was trained on "
        "last.",
    ),
    mlruns_option,
)


class Publication(NamedTuple):
    """Where a report is published.

    Attributes:
        folder: Takes the report, its figures and runs.
        document: The page that takes the summary, in the section named after the folder.
        replace: Whether what the folder holds may be lost.
    """

    folder: Path
    document: Path
    replace: bool


def study_report_options(command: Command) -> Command:
    """Give a command the options that say which report is written: the arguments of `write_report`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def write_report(
    *,
    model: str | None,
    out: Path,
    runs: tuple[Path, ...],
    train_language: str | None,
    mlruns: Path,
    publication: Publication | None = None,
) -> StudyReport:
    """Write a study's report, and publish it.

    What is missing is told before anything large is imported.

    Raises:
        StudyError, DataError, DocumentError, PublicationError: As `report_study`.
    """
    from xlprompt.studies.reports.given import require_runs
    from xlprompt.studies.reports.publication.document import require_places
    from xlprompt.training.machine.imports import quick_imports

    require_runs(mlruns, runs)
    if publication is not None:
        require_places(publication.document, [publication.folder.resolve().name])
    with wait("Comparing the runs, drawing the page"):
        with quick_imports():
            from xlprompt.studies.reports.report import report_study  # which waits for matplotlib

        return report_study(
            mlruns,
            out,
            model,
            train_language=train_language,
            published=runs,
            publish_in=publication and publication.folder,
            document=publication and publication.document,
            replace=publication is not None and publication.replace,
        )
