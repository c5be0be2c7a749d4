"""`xlprompt data check`: what a folder of data holds, and what is wrong with it.

The reading is done by `xlprompt.data.check`; this file only prints its report.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from xlprompt.cli.options import json_option

if TYPE_CHECKING:
    from xlprompt.data.check import FolderReport

EXIT_PROBLEMS = 1


@click.group("data", short_help="Look at data before training on them.")
def command() -> None:
    """Look at data before training on them."""


@command.command("check", short_help="Say what a folder holds and what is wrong with it.")
@click.argument("folder", type=click.Path(path_type=Path))
@json_option
@click.pass_context
def check(ctx: click.Context, folder: Path, as_json: bool) -> None:
    """Say what FOLDER holds (task, language, split, format, count) and what is wrong with it.

    FOLDER may hold the official files as published (XNLI-1.0, MultiNLI, PAWS-X, WikiANN, Universal
    Dependencies) or JSON Lines. Exit code 1 means that something is wrong, or that nothing was found.

    \b
    Examples:
      xlprompt data check ../data
      xlprompt data check ../data --json
    """
    from xlprompt.data.check import check_folder

    report = check_folder(folder)
    if as_json:
        click.echo(json.dumps(report.to_dict(), indent=2, ensure_ascii=False))
    else:
        _print_report(folder, report)
    if report.problems or not report.found:
        ctx.exit(EXIT_PROBLEMS)


def _print_report(folder: Path, report: FolderReport) -> None:
    from rich.console import Console
    from rich.table import Table

    # A piped listing keeps its columns: without a terminal rich would fold them at 80.
    console = Console(soft_wrap=True)
    table = Table(title=str(folder))
    for name in ("task", "language", "split", "format"):
        table.add_column(name, no_wrap=True)
    table.add_column("examples", justify="right", no_wrap=True)
    for found in report.found:
        table.add_row(found.task, found.language, found.split, found.format, f"{found.count:,}")
    if report.found:
        console.print(table)
    else:
        console.print("Nothing was found that xlprompt can read.")
    for problem in report.problems:
        place = f"{problem.file}:{problem.line}" if problem.line is not None else str(problem.file)
        console.print(f"{place}: {problem.message}. {problem.fix or ''}".rstrip(), style="red", markup=False)
    for warning in report.warnings:
        console.print(f"Note: {warning}", style="yellow", markup=False)
    console.print(f"{len(report.found)} data sets, {len(report.problems)} problems")
